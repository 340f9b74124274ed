/** An agent at `/mcp`, by the official client of the Model Context Protocol: what it pushes arrives on Socket.IO. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { pushSignal, signalBody } from "./support/bodies.ts";
import { connectV4 } from "./support/clients.ts";
import { PUSH_ONLY, startServer, TOKEN, type OrionServer } from "./support/server.ts";

const READING = ["get_bars", "get_prices", "get_signal", "get_stats", "killzones", "list_signals"];

let server: OrionServer;

before(async () => {
  server = await startServer({ env: { ...PUSH_ONLY, ORION_MCP: "1" } });
});
after(() => server?.end());

/** A connected client; it checks every answer against the schema that the tool promises. */
async function connect(token?: string): Promise<Client> {
  const headers: Record<string, string> = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const client = new Client({ name: "suite", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), { requestInit: { headers } }));
  return client;
}

async function names(client: Client): Promise<string[]> {
  return (await client.listTools()).tools.map((tool) => tool.name).sort();
}

/** Calls a tool; `error` is what the model reads. */
async function call(client: Client, name: string, args: Record<string, unknown>): Promise<{ answer?: any; error?: any }> {
  const result: any = await client.callTool({ name, arguments: args });
  return result.isError ? { error: JSON.parse(result.content[0].text) } : { answer: result.structuredContent };
}

describe("an agent with the ingest token", () => {
  test("repairs its push by what the error says", async () => {
    const { socket, inbox } = await connectV4(server.url);
    socket.emit("subscribe", ["signals"]);
    await inbox.next("subscribed");
    const client = await connect(TOKEN);
    assert.deepEqual(await names(client), [...READING, "push_signal", "update_signal"].sort());

    const known = await pushSignal(server);
    const listed = await call(client, "list_signals", { limit: 5 });
    assert.ok(listed.answer.signals.some((signal: any) => signal.id === known));

    // It makes mistakes, and repairs each field by what the error says about it.
    const args: Record<string, unknown> = signalBody({ direction: "sideways", confidence: 870 });
    const refused = await call(client, "push_signal", { ...args, dry_run: true });
    assert.equal(refused.error.code, "validation_failed");
    assert.deepEqual(refused.error.fields.map((field: any) => field.field).sort(), ["confidence", "direction"]);
    for (const { field, reason, remedy, example } of refused.error.fields) {
      assert.ok(reason && remedy, field);
      args[field] = example;
    }
    const rehearsed = await call(client, "push_signal", { ...args, dry_run: true });
    assert.equal(rehearsed.answer.dry_run, true);
    assert.equal((await server.get(`/api/signals/${args.id}`)).status, 404, "a dry run changes nothing");
    const pushed = await call(client, "push_signal", args);
    assert.equal(pushed.answer.signal_id, args.id);
    const [signal] = await inbox.next("signal", (s) => s.id === args.id);
    assert.equal(signal.confidence, args.confidence);

    // What is new since the first look, and the end of it.
    const since = await call(client, "list_signals", { since: listed.answer.cursor });
    assert.deepEqual(since.answer.signals.map((one: any) => one.id), [args.id]);
    const end = { id: args.id, status: "invalidated", reason: "news" };
    assert.equal((await call(client, "update_signal", { ...end, dry_run: true })).answer.status, "invalidated");
    assert.equal((await call(client, "get_signal", { id: args.id })).answer.signal.status, "pending");
    await call(client, "update_signal", end);
    const [ended] = await inbox.next("signal", (s) => s.id === args.id && s.status === "invalidated");
    assert.equal(ended.invalidation, "news");
    const again = await call(client, "update_signal", { id: args.id, status: "confirmed" });
    assert.equal(again.error.code, "signal_terminal");
    await client.close();
    socket.disconnect();
  });
});

describe("an agent without a token", () => {
  test("reads, and has no tools that write", async () => {
    const client = await connect();
    assert.deepEqual(await names(client), READING);
    for (const name of ["get_prices", "get_stats", "killzones", "list_signals"]) {
      assert.ok((await call(client, name, {})).answer, name);
    }
    const id = signalBody().id;
    assert.equal((await call(client, "push_signal", signalBody({ id }))).error.code, "unauthorized");
    assert.equal((await server.get(`/api/signals/${id}`)).status, 404);
    await client.close();
  });

  test("is not let in with a wrong token", async () => {
    await assert.rejects(connect("wrong"), /Invalid token|401|Unauthorized/);
  });
});
