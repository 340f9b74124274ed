/** socket.io-client 2.x (Engine.IO v3) against the real binary: both transports, every namespace. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pushPrice, pushSignal } from "./support/bodies.ts";
import { connectV2, ENDPOINTS, parsed } from "./support/clients.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { assertCursor, assertPong, assertPrice, assertSignal, assertSubscribed } from "./support/shapes.ts";

const BOTH = ["signals", "prices"];

let server: OrionServer;
let known: string;

before(async () => {
  server = await startServer({ env: PUSH_ONLY });
  known = await pushSignal(server);
});
after(() => server.end());

for (const transport of ["websocket", "polling"]) {
  for (const { name, namespace, path } of ENDPOINTS) {
    const options = { transports: [transport], ...(path === undefined ? {} : { path }) };

    test(`${transport}, ${name}: subscribe, snapshot, live, unsubscribe`, async () => {
      const { socket, inbox, settle } = await connectV2(server.url + namespace, options);
      try {
        await pushPrice(server);
        await settle();
        assert.equal(inbox.all("price_update").length + inbox.all("signal").length, 0, "nothing before subscribe");

        socket.emit("subscribe", { channels: BOTH }, (answer: unknown) => inbox.push("acknowledged", answer));
        const [answer] = await inbox.next("acknowledged");
        const [event] = await inbox.next("subscribed");
        assert.deepEqual(event, answer);
        assertSubscribed(answer, { channels: BOTH, symbols: null, recovered: null });
        const order = inbox.arrivals.map((arrival) => arrival.name);
        const answered = Math.min(order.indexOf("acknowledged"), order.indexOf("subscribed"));
        const inSnapshot = inbox.arrivals.slice(0, answered).filter((a) => a.name === "signal").map((a) => a.args[0].id);
        assert.ok(inSnapshot.includes(known), "signal in snapshot");

        const price = await pushPrice(server);
        const [update] = await inbox.next("price_update", (p) => p.price === price);
        assertPrice(update);

        const id = await pushSignal(server);
        const [signal, meta] = await inbox.next("signal", (s) => s.id === id);
        assertSignal(signal);
        assertCursor(meta.cursor);

        socket.emit("unsubscribe", BOTH);
        await settle();
        const mark = inbox.mark;
        await pushSignal(server);
        await settle();
        assert.equal(inbox.all("signal", mark).length, 0, "no signal after unsubscribe");
      } finally {
        socket.close();
      }
    });

    test(`${transport}, ${name}: message carries subscribe, ping and errors`, async () => {
      const { socket, inbox } = await connectV2(server.url + namespace, options);
      try {
        socket.send(JSON.stringify({ type: "subscribe", channels: ["signals"] }));
        const [answer] = await inbox.next("message", (m) => parsed(m).type === "subscribed");
        const { type: _, ...fields } = parsed(answer);
        assertSubscribed(fields, { channels: ["signals"], symbols: null, recovered: null });
        assert.ok(inbox.all("signal").some(([s]) => s.id === known));

        socket.send({ type: "ping", timestamp: 42 });
        const [pong] = await inbox.next("message", (m) => parsed(m).type === "pong");
        assertPong(parsed(pong), 42);

        socket.send({ type: "subscribe", channels: ["nonsense"] });
        const [error] = await inbox.next("message", (m) => parsed(m).type === "error");
        assert.match(parsed(error).error, /nonsense/);
      } finally {
        socket.close();
      }
    });
  }
}

for (const [way, query, options] of [
  ["in the address", "?sessionId=2053&revision=develop", {}],
  ["as an option", "", { query: { token: "abc" } }],
] as const) {
  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    test(`${transports.join(", then ")}: a namespace with a query ${way} is that namespace`, async () => {
      const { socket, inbox } = await connectV2(`${server.url}/ws/signals${query}`, { ...options, transports });
      try {
        socket.emit("subscribe", { channels: BOTH });
        await inbox.next("signal", (s) => s.id === known);
        const [answer] = await inbox.next("subscribed");
        assertSubscribed(answer, { channels: BOTH, symbols: null, recovered: null });
      } finally {
        socket.close();
      }
    });
  }
}
