/** Reading with `ORION_READ_AUTH=required`: who gets in, and how each kind of client learns that it does not. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { io } from "socket.io-client";
import { pushSignal } from "./support/bodies.ts";
import { connectNative, connectV2, connectV4 } from "./support/clients.ts";
import { Inbox, PATIENCE, record } from "./support/inbox.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { OrionAdapter } from "../src/orion-adapter.ts";
import { OrionWebSocket } from "../src/orion-websocket.ts";

const READER = "reader-token";

let server: OrionServer;
let known: string;

before(async () => {
  server = await startServer({ env: { ...PUSH_ONLY, ORION_READ_AUTH: "required", ORION_READ_TOKEN: READER } });
  known = await pushSignal(server);
});
after(() => server.end());

test("socket.io 4 with auth: {token}", async () => {
  const { socket, inbox } = await connectV4(server.url, { auth: { token: READER } });
  socket.emit("subscribe", "signals");
  await inbox.next("signal", (s) => s.id === known);
  socket.close();
});

test("socket.io 4 with ?token=, 2 with ?token=, native with ?token=", async () => {
  const v4 = await connectV4(server.url, { query: { token: READER } });
  v4.socket.close();
  const v2 = await connectV2(server.url, { query: { token: READER } });
  v2.socket.emit("subscribe", "signals");
  await v2.inbox.next("signal", (s) => s.id === known);
  v2.socket.close();
  // In the address of a namespace, version 2 sends it with the namespace alone.
  const named = await connectV2(`${server.url}/ws/signals?token=${READER}`);
  named.socket.emit("subscribe", "signals");
  await named.inbox.next("signal", (s) => s.id === known);
  named.socket.close();
  const native = await connectNative(`${server.wsUrl}/ws/signals?token=${READER}`);
  await native.inbox.next("signal", (f) => f.payload.id === known);
  native.ws.close();
});

for (const auth of [{}, { token: "wrong" }]) {
  test(`socket.io 4 with auth ${JSON.stringify(auth)} gets connect_error and nothing else`, async () => {
    const socket = io(`${server.url}/ws/signals`, { forceNew: true, reconnection: false, auth });
    const inbox = record(socket, "connect", "connect_error", "signal");
    socket.emit("subscribe", "signals");
    const [error] = await inbox.next("connect_error");
    assert.ok(error instanceof Error);
    assert.deepEqual(inbox.arrivals.map((a) => a.name), ["connect_error"]);
    socket.close();
  });
}

for (const query of ["", "?token=wrong"]) {
  test(`native with "${query}" is refused at the handshake`, async () => {
    const ws = new WebSocket(`${server.wsUrl}/ws/signals${query}`);
    ws.on("error", () => undefined);
    const [request, response] = await once(ws, "unexpected-response", { signal: AbortSignal.timeout(PATIENCE) });
    assert.ok([401, 403].includes(response.statusCode), String(response.statusCode));
    request.destroy();
  });
}

test("the adapter says refused and stops asking; with a token it connects", async () => {
  let token: string | undefined;
  const adapter = new OrionAdapter(server.url, { token: () => token });
  const inbox = new Inbox();
  adapter.on("state", (state) => inbox.push(state));
  adapter.on("error", (error) => inbox.push("error", error));
  adapter.on("subscribed", () => inbox.push("subscribed"));
  await inbox.next("refused");
  assert.equal(inbox.all("error").length, 1);
  token = READER;
  adapter.connect();
  await inbox.next("subscribed");
  adapter.close();
});

test("OrionWebSocket ends with error and 1008", async () => {
  const ws = new OrionWebSocket(`${server.wsUrl}/ws/signals`, { token: "wrong" });
  const inbox = new Inbox();
  ws.onopen = () => inbox.push("open");
  ws.onerror = () => inbox.push("error");
  ws.onclose = (event) => inbox.push("close", event.code);
  const [code] = await inbox.next("close");
  assert.equal(code, 1008);
  assert.deepEqual(inbox.arrivals.map((a) => a.name), ["error", "close"]);
});
