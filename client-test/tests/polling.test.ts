/** Long polling with a snapshot that takes many answers: 200 signals, at most 16 packets in each. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pushSignal } from "./support/bodies.ts";
import { connectV2, connectV4 } from "./support/clients.ts";
import type { Inbox } from "./support/inbox.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";

const SIGNALS = 200;
const CLIENTS = 5;

let server: OrionServer;

before(async () => {
  server = await startServer({ env: PUSH_ONLY });
  for (let i = 0; i < SIGNALS; i += 1) await pushSignal(server);
});
after(() => server.end());

/** Asserts that the snapshot came whole, in order and once, and what is live after it. */
async function assertWhole(inbox: Inbox, live: Promise<string>): Promise<void> {
  await inbox.next("subscribed");
  const id = await live;
  await inbox.next("signal", (signal) => signal.id === id);
  const numbers = inbox.all("signal").map(([, { cursor }]) => Number(cursor.split(":")[1]));
  assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b), "in order");
  assert.equal(new Set(numbers).size, numbers.length, "each once");
  assert.ok(numbers.length >= SIGNALS, `${numbers.length} signals`);
  assert.equal(inbox.all("disconnect").length, 0);
}

for (const [name, transports] of [
  ["polling", ["polling"]],
  ["polling, and a WebSocket meanwhile", ["polling", "websocket"]],
] as const) {
  for (const [version, connect] of [["4", connectV4], ["2", connectV2]] as const) {
    test(`socket.io-client ${version}, ${name}: nothing is lost or doubled`, async () => {
      const clients = await Promise.all(
        Array.from({ length: CLIENTS }, () => connect(server.url, { transports: [...transports] })),
      );
      try {
        for (const { socket } of clients) socket.emit("subscribe", { channels: ["signals", "prices"] });
        await Promise.all(clients.map(({ inbox }) => inbox.next("signal")));
        const live = pushSignal(server);
        await Promise.all(clients.map(({ inbox }) => assertWhole(inbox, live)));
      } finally {
        for (const { socket } of clients) socket.close();
      }
    });
  }
}
