/**
 * Clients in other languages: python-socketio, current and 4.6 (Socket.IO 2), and the crate rust_socketio.
 *
 * Skipped with a word where PyPI is not at hand. The crate compiles for minutes: `ORION_RUST_CLIENT=1` builds and runs it.
 * `ORION_CLIENT_SECONDS=60` has every client stay for so long.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { pushSignal } from "./support/bodies.ts";
import { noted, Python, type Noted } from "./support/python.ts";
import { startServer, type OrionServer } from "./support/server.ts";

const SIGNALS = 200;
/** Beyond this python-engineio refuses an answer. */
const MOST_PACKETS = 16;
const SECONDS = Number(process.env["ORION_CLIENT_SECONDS"] ?? "3");

let server: OrionServer;

before(async () => {
  // Eleven prices, published often, beside the signals: answers to polls are never small for long.
  server = await startServer({ env: { ORION_SIMULATOR__SIGNAL_INTERVAL: "0s", ORION_PUBLISH_INTERVAL: "200ms" } });
  for (let i = 0; i < SIGNALS; i += 1) await pushSignal(server);
});
after(() => server.end());

function assertWhole(name: string, told: Noted): void {
  const { signals, ...rest } = told;
  const context = `${name}: ${JSON.stringify(rest)}`;
  assert.deepEqual([told.connects, told.disconnects, told.subscribed], [1, 0, 1], context);
  // Some of them run every handler in a thread of its own: in which order those come to their turn is the system's affair.
  const numbers = signals.map(([, cursor]) => Number(cursor.split(":")[1])).sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: SIGNALS }, (_, i) => i + 1), `${name}: every signal, once`);
  assert.ok(told.prices > 11, context);
  assert.ok((told.most_packets ?? 0) <= MOST_PACKETS, context);
}

describe("python-socketio", { concurrency: true }, () => {
  for (const release of ["current", "4.6"]) {
    test(`${release}, sync and async, over every transport`, async (t) => {
      const python = await Python.with(release);
      if (typeof python === "string") return t.skip(python);
      const kinds = ["sync", "async"].flatMap((kind) => ["polling", "websocket", "both"].map((transport) => [kind, transport]));
      await Promise.all(
        kinds.map(async (kind) => {
          assertWhole(kind.join(" over "), await python.client([server.url, ...kind] as string[], SECONDS));
        }),
      );
    });
  }
});

const NO_CRATE = "it compiles 170 crates: ORION_RUST_CLIENT=1 has it run";

test("rust_socketio over every transport", { skip: process.env["ORION_RUST_CLIENT"] === "1" ? false : NO_CRATE }, async (t) => {
  const folder = fileURLToPath(new URL("../rust-socketio", import.meta.url));
  const target = fileURLToPath(new URL("../../target/rust-socketio", import.meta.url));
  try {
    const args = ["build", "--locked", "--quiet", "--target-dir", target];
    await promisify(execFile)("cargo", args, { cwd: folder, timeout: 900_000 });
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    return t.skip(`it could not be built: ${(stderr ?? String(error)).trim().split("\n").at(-1)}`);
  }
  await Promise.all(
    ["polling", "websocket", "both"].map(async (transport) => {
      const args = [server.url, transport, String(SECONDS + 2)];
      assertWhole(transport, await noted(`${target}/debug/rust-socketio-client`, args, SECONDS));
    }),
  );
});
