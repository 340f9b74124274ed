/** Engine.IO 3, which Socket.IO 2 uses: 23 cases. */

import { after, before, describe } from "node:test";
import { engineCases } from "./engine.ts";
import { startEcho, type Echo } from "./support.ts";

let echo: Echo;

before(async () => {
  echo = await startEcho();
});
after(() => echo.end());

describe("Engine.IO 3", () => engineCases({ version: 3, address: () => echo.engineio, echoes: true }));
