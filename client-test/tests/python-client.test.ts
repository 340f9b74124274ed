/** The Python client (`clients/python`): its types, its examples, and that what it pushes arrives exactly once. */

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { pushSignal } from "./support/bodies.ts";
import { Python } from "./support/python.ts";
import { startServer, TOKEN, type OrionServer } from "./support/server.ts";

const CLIENT = fileURLToPath(new URL("../../clients/python", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "orion-python-"));
const SUITE_TIMEOUT = 120_000;

let server: OrionServer;
let python: Python | string;

before(async () => {
  server = await startServer({ env: { ORION_SOURCES: "none" } });
  python = await Python.with("orion");
  if (typeof python === "string") return;
  const installed = await python.run(["-m", "pip", "install", "--quiet", "--no-deps", "--target", dir, CLIENT], options());
  if (installed.code !== 0) python = `the package cannot be built: ${installed.text.trim().split("\n").at(-1)}`;
});
after(async () => {
  await server?.end();
  rmSync(dir, { recursive: true, force: true });
});

function options(env: Record<string, string> = {}) {
  return { cwd: CLIENT, timeout: SUITE_TIMEOUT, path: [dir], env };
}

/** Runs Python against the server. */
async function run(args: string[], url = server.url): Promise<{ code: number; text: string }> {
  assert.ok(typeof python !== "string");
  return python.run(args, options({ ORION_URL: url, ORION_INGEST_TOKEN: TOKEN }));
}

function script(lines: string): string[] {
  return ["-c", `import os\nfrom orion_client import *\n${lines}`];
}

/** A client that does not wait long. */
const CLIENT_OF = `orion = Client(os.environ["ORION_URL"], os.environ["ORION_INGEST_TOKEN"], retries=Retries(give_up_after=60, first_pause=0.05, longest_pause=0.5))`;

describe("the Python client", () => {
  test("its models are those of the server", async (t) => {
    if (typeof python === "string") return t.skip(python);
    const document = join(dir, "openapi.json");
    writeFileSync(document, await (await fetch(`${server.url}/openapi.json`)).text());
    const made = await run(["generate.py", document]);
    const current = readFileSync(join(CLIENT, "src/orion_client/models.py"), "utf8");
    assert.equal(made.text, current, "python generate.py openapi.json > src/orion_client/models.py");
  });

  test("it is typed, and so are its examples", async (t) => {
    if (typeof python === "string") return t.skip(python);
    const checked = await run(["-m", "mypy", "--strict", "--cache-dir", join(dir, "mypy"), "src", "examples", "generate.py"]);
    assert.equal(checked.code, 0, checked.text);
  });

  test("its examples run", async (t) => {
    if (typeof python === "string") return t.skip(python);
    const pushed = await run(["examples/push_model.py", "EURUSD"]);
    assert.match(pushed.text, /^pushed \S+ pending\nended \S+ confirmed\n$/, pushed.text);
    const stats = await run(["examples/stats.py"]);
    assert.match(stats.text, /newest signal: EURUSD long confirmed/, stats.text);
  });

  test("a bot follows the signals with resume", async (t) => {
    if (typeof python === "string") return t.skip(python);
    const file = join(dir, "cursor.txt");
    const push = (id: string, more: object = {}) => pushSignal(server, { id, confidence: 0.9, ...more });
    const end = (id: string, status: string) => server.patch(`/api/signals/${id}`, { status });
    /** Runs the bot until it has taken so many signals and noted its cursor. */
    const follow = async (lines: number) => {
      assert.ok(typeof python !== "string");
      const bot = python.start(["examples/follow_signals.py", file], options({ ORION_URL: server.url }));
      const seen: string[] = [];
      for await (const line of createInterface({ input: bot.stdout })) {
        if (seen.push(line.split(" ").slice(0, 2).join(" ")) === lines) break;
      }
      const { cursor } = (await server.get("/api/signals?limit=1")).body;
      while (!existsSync(file) || readFileSync(file, "utf8") !== cursor) await pause(10);
      bot.kill("SIGKILL");
      return seen;
    };
    const known = (await server.get("/api/signals?statuses=confirmed&min_confidence=0.6")).body.signals.length;
    await push("bot-1");
    await end("bot-1", "confirmed");
    assert.equal((await follow(known + 1)).at(-1), "confirmed bot-1");
    await push("bot-2", { confidence: 0.1, status: "confirmed" });
    await push("bot-3");
    const following = follow(2);
    await end("bot-3", "invalidated");
    const { port, dataDir } = server;
    await server.stop();
    server = await startServer({ env: { ORION_SOURCES: "none" }, port, dataDir });
    await push("bot-4", { status: "confirmed" });
    assert.deepEqual(await following, ["invalidated bot-3", "confirmed bot-4"]);
  });

  test("a stream for asyncio gives up in time", async (t) => {
    if (typeof python === "string") return t.skip(python);
    const lines = `import asyncio
async def main():
    async with AsyncClient(os.environ["ORION_URL"], retries=Retries(give_up_after=0.5, first_pause=0.05)) as orion:
        async for signal, cursor in orion.signals_stream(statuses="confirmed"):
            print(signal["status"], ":" in cursor)
            break
        try:
            async for _ in orion.signals_stream(statuses="open"):
                pass
        except Rejected as rejected:
            print(rejected.code, *rejected.fields)
    async with AsyncClient("http://127.0.0.1:1", retries=Retries(give_up_after=0.5, first_pause=0.05)) as orion:
        try:
            async for _ in orion.signals_stream():
                pass
        except NotAcknowledged as error:
            print("gave up")
asyncio.run(main())`;
    assert.equal((await run(script(lines))).text, "confirmed True\nvalidation_failed statuses\ngave up\n");
  });

  test("a rejection names the fields", async (t) => {
    if (typeof python === "string") return t.skip(python);
    const lines = `${CLIENT_OF}
try:
    orion.push_signal({"symbol": "EURUSD", "direction": "sideways", "confidence": 500})
except Rejected as rejected:
    print(rejected.status, rejected.code, sorted(rejected.fields))`;
    assert.equal((await run(script(lines))).text, "400 validation_failed ['confidence', 'direction']\n");
  });

  test("a push outlasts a restart of the server", async (t) => {
    if (typeof python === "string") return t.skip(python);
    const { port, dataDir } = server;
    await server.stop();
    const lines = `${CLIENT_OF}\nprint(orion.push_signal({"id": "outlasts", "symbol": "EURUSD", "direction": "long"})["status"])`;
    const pushing = run(script(lines));
    server = await startServer({ env: { ORION_SOURCES: "none" }, port, dataDir });
    assert.deepEqual(await pushing, { code: 0, text: "pending\n" });
    const { signals } = (await server.get("/api/signals?limit=500")).body;
    assert.equal(signals.filter((signal: { id: string }) => signal.id === "outlasts").length, 1);
  });

  test("only what has an id is sent again after a broken connection", async (t) => {
    if (typeof python === "string") return t.skip(python);
    const ids: string[] = [];
    const paths: string[] = [];
    // Reads the request and breaks the connection; the fourth time it is overloaded, then it answers.
    const breaking = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        paths.push(request.url ?? "");
        ids.push(JSON.parse(body).id);
        if (paths.length < 4) return request.socket.destroy();
        response.statusCode = paths.length === 4 ? 503 : 200;
        response.end(JSON.stringify(paths.length === 4 ? { error: "busy", code: "overloaded" } : { signal_id: ids[0] }));
      });
    });
    await new Promise<void>((listening) => breaking.listen(0, "127.0.0.1", listening));
    const url = `http://127.0.0.1:${(breaking.address() as AddressInfo).port}`;
    try {
      const lines = `${CLIENT_OF}
try:
    orion.publish({"type": "wallet", "data": {}})
except NotAcknowledged as error:
    print("not acknowledged")
print(orion.push_signal({"symbol": "EURUSD", "direction": "long"})["signal_id"])`;
      const { text } = await run(script(lines), url);
      assert.equal(paths[0], "/api/events?protocol=1");
      assert.equal(paths.length, 5, text);
      assert.equal(new Set(ids.slice(1)).size, 1, "each attempt is about the same signal");
      assert.match(text, /^not acknowledged\n/);
    } finally {
      breaking.close();
    }
  });
});
