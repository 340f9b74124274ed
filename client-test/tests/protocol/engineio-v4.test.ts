/** Engine.IO 4: 25 cases. */

import { after, before, describe } from "node:test";
import { engineCases } from "./engine.ts";
import { startEcho, type Echo } from "./support.ts";

let echo: Echo;

before(async () => {
  echo = await startEcho();
});
after(() => echo.end());

describe("Engine.IO 4", () => engineCases({ version: 4, address: () => echo.engineio, echoes: true }));
