/** What the README and docs/ show, run as written against the real binary; only the port is another. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import { WebSocket } from "ws";
import { connectNative } from "./support/clients.ts";
import { Inbox } from "./support/inbox.ts";
import { MARKS, pointedAt, snippets, type Mark, type Snippet } from "./support/readme.ts";
import { binary, startServer, type OrionServer } from "./support/server.ts";
import { assertPrice, assertSignal } from "./support/shapes.ts";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
/** The token in the README's examples of pushing. */
const TOKEN = "secret";
/** What stands for "…" in the README. */
const READER = "suite-reader";
const CURSOR = /^[^:]+:\d+$/;

/** The one that is simulated shows; the other takes pushes and asks readers for a token. */
let shown: OrionServer;
let pushed: OrionServer;

before(async () => {
  shown = await startServer({ env: { ORION_SIMULATOR__SIGNAL_INTERVAL: "500ms" } });
  pushed = await startServer({
    env: { ORION_SOURCES: "none", ORION_INGEST_TOKEN: TOKEN, ORION_READ_AUTH: "required", ORION_READ_TOKEN: READER },
  });
});
after(async () => {
  await shown?.end();
  await pushed?.end();
});

const all = snippets();

function marked(mark: Mark, run: (snippet: Snippet, t: TestContext) => Promise<void> | void): void {
  for (const snippet of all.filter((one) => one.mark === mark)) {
    test(snippet.name, async (t) => run(snippet, t));
  }
}

test("README and docs have a snippet of every kind", () => {
  assert.deepEqual(MARKS.filter((mark) => !all.some((snippet) => snippet.mark === mark)), []);
});

describe("reading", () => {
  // tests/browser runs it in a browser; here with ws in the browser's place.
  marked("browser", async (snippet) => {
    const inbox = new Inbox();
    const sockets: WebSocket[] = [];
    class Recorded extends WebSocket {
      constructor(url: string) {
        super(url);
        sockets.push(this);
      }
    }
    const console = { log: (...line: unknown[]) => inbox.push("line", ...line) };
    runInNewContext(pointedAt(snippet, shown.port), { WebSocket: Recorded, console });
    const [, , price] = await inbox.next("line", (_, type) => type === "price_update");
    assertPrice(price);
    const [, , signal] = await inbox.next("line", (_, type) => type === "signal");
    assertSignal(signal);
    for (const socket of sockets) socket.close();
  });

  marked("websocat", async (snippet, t) => {
    const command = pointedAt(snippet, shown.port).trim();
    const [program, url = "", ...rest] = command.split(/\s+/);
    assert.deepEqual([program, rest], ["websocat", []], "one line, to be checked by its URL");
    if (spawnSync("websocat", ["--version"]).status === 0) {
      await withProgram("bash", ["-c", `exec ${command}`], async (lines) => {
        await lines.next("line", (line) => JSON.parse(line).type === "price_update");
      });
    } else {
      const { inbox, ws } = await connectNative(url);
      await inbox.next("price_update");
      ws.close();
      t.skip("websocat is not installed; its URL was checked with ws");
    }
  });

  marked("node", async (snippet) => {
    const code = pointedAt(snippet, shown.port);
    await withProgram(process.execPath, ["--input-type=module", "--eval", code], async (lines) => {
      await lines.next("line", (line) => /^[A-Z0-9]+ [\d.]+ simulated$/.test(line));
      const [signal] = await lines.next("line", (line) => / (long|short) /.test(line));
      const [, , status, cursor] = signal.split(" ");
      assert.match(status, /^(pending|confirmed|invalidated)$/);
      assert.match(cursor, CURSOR);
    });
  });

  // The suites have both versions installed; this one under another name. The snippet prints nothing by itself.
  marked("node-v2", async (snippet) => {
    const preload = `const { Module } = require("node:module"), find = Module._resolveFilename;
      Module._resolveFilename = (name, ...rest) => find(name === "socket.io-client" ? "socket.io-client-2" : name, ...rest);`;
    const listen = `socket.on("subscribed", ({ channels }) => console.log("subscribed", channels.join()));`;
    const code = preload + pointedAt(snippet, pushed.port).replace("…", READER) + listen;
    await withProgram(process.execPath, ["--input-type=commonjs", "--eval", code], async (lines) => {
      await lines.next("line", (line) => line === "subscribed signals,prices");
    });
  });
});

describe("writing", () => {
  marked("push", async (snippet) => {
    const code = pointedAt(snippet, pushed.port);
    const run = bash(code);
    assert.equal(run.status, 0, run.stderr);
    assert.doesNotMatch(run.stdout, /"error"/);
    const ids = new Set([...code.matchAll(/"id": "(\w+)"/g)].map(([, id]) => id));
    assert.ok(ids.size > 0, "it pushes signals");
    for (const id of ids) {
      const { status, body } = await read(`/api/signals/${id}`);
      assert.equal(status, 200, `${id} is there`);
      assert.notEqual(body.signal.status, "pending", `${id} has ended`);
    }
    const symbols = new Set([...code.split("/api/prices").slice(1).join().matchAll(/"symbol": "(\w+)"/g)].map(([, s]) => s));
    // A price is published once per interval.
    const watcher = await connectNative(`${pushed.wsUrl}/ws/signals?token=${READER}`);
    for (const symbol of symbols) await watcher.inbox.next("price_update", (frame) => frame.payload.symbol === symbol);
    watcher.ws.close();
  });

  marked("frames", async (snippet) => {
    const { ws, inbox, send } = await connectNative(`${pushed.wsUrl}/api/websocket?token=${READER}`);
    for (const frame of snippet.code.trim().split("\n")) {
      const mark = inbox.mark;
      send(frame);
      await new Promise<void>((resolve) => ws.once("message", () => setImmediate(resolve)));
      const [answer] = inbox.arrivals.slice(mark).map(({ args }) => args[0]);
      assert.equal(answer.type === "error" || "error" in answer, false, `${frame} → ${JSON.stringify(answer)}`);
    }
    ws.close();
  });
});

marked("commands", (snippet) => {
  const folder = mkdtempSync(join(tmpdir(), "orion-readme-"));
  try {
    const path = `${dirname(binary())}${delimiter}${process.env["PATH"]}`;
    const run = bash(snippet.code, { PATH: path, ORION_DATA_DIR: shown.dataDir }, folder);
    assert.equal(run.status, 0, run.stderr);
    assert.match(run.stdout, /^ok: copied to /m);
    assert.match(run.stdout, /^ok: \d+ events, seq /m);
    const [csv = ""] = readdirSync(folder).filter((name) => name.endsWith(".csv"));
    assert.match(readFileSync(join(folder, csv), "utf8"), /^seq,at,.*\n1,/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

marked("token", (snippet) => {
  const path = `${dirname(binary())}${delimiter}${process.env["PATH"]}`;
  const run = bash(snippet.code, { PATH: path });
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
});

function bash(code: string, env: Record<string, string> = {}, cwd = PACKAGE) {
  return spawnSync("bash", ["-eu", "-o", "pipefail", "-c", code], {
    cwd,
    env: { ...process.env, ...env },
    encoding: "utf8",
    timeout: 60_000,
  });
}

/** Runs `body` with what the program prints, under the name `line`, and ends the program. */
async function withProgram(program: string, args: string[], body: (lines: Inbox) => Promise<void>): Promise<void> {
  const child = spawn(program, args, { cwd: PACKAGE, stdio: ["pipe", "pipe", "inherit"] });
  const lines = new Inbox();
  createInterface({ input: child.stdout }).on("line", (line) => lines.push("line", line));
  try {
    await body(lines);
  } finally {
    child.kill();
  }
}

async function read(path: string): Promise<{ status: number; body: any }> {
  const answer = await fetch(pushed.url + path, { headers: { authorization: `Bearer ${READER}` } });
  return { status: answer.status, body: await answer.json() };
}
