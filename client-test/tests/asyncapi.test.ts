/** The description of the streams: AsyncAPI's own parser accepts it, and the client's types are made from it. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Parser } from "@asyncapi/parser";
import { generated } from "../generate.mjs";
import { startServer, type OrionServer } from "./support/server.ts";

/** Of a finding that makes a document invalid. */
const ERROR = 0;

let server: OrionServer;
let openapi: object;
let asyncapi: { operations: Record<string, { messages: { $ref: string }[] }> };

before(async () => {
  server = await startServer({});
  const read = async (name: string) => (await fetch(`${server.url}/${name}`)).json();
  [openapi, asyncapi] = [(await read("openapi.json")) as typeof openapi, (await read("asyncapi.json")) as typeof asyncapi];
});
after(() => server?.end());

describe("asyncapi.json", () => {
  test("the official parser accepts it", async () => {
    const parser = new Parser();
    const { document, diagnostics } = await parser.parse(JSON.stringify(asyncapi));
    const found = diagnostics.filter(({ code }) => code !== "asyncapi-latest-version");
    assert.deepEqual(found.map(({ path, message }) => `${path.join(".")}: ${message}`), []);
    assert.ok((document?.channels().length ?? 0) > 10);
    assert.ok((document?.messages().length ?? 0) > 80);

    // It does notice what is wrong.
    const wrong = structuredClone(asyncapi);
    wrong.operations["orion_signals.send"]!.messages[0]!.$ref = "#/channels/orion_signals/messages/nonsense";
    const noticed = await parser.parse(JSON.stringify(wrong));
    assert.ok(noticed.diagnostics.some(({ severity }) => severity === ERROR));
  });

  test("the types of the client are made from it", () => {
    const written = readFileSync(new URL("../src/messages.ts", import.meta.url), "utf8");
    const remedy = "src/messages.ts is stale: node generate.mjs http://localhost:8080 > src/messages.ts";
    assert.ok(generated(openapi, asyncapi) === written, remedy);
  });
});
