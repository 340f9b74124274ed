/** The server below a path of a real nginx, Caddy and Traefik, as documented: every kind of client. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { io } from "socket.io-client";
import { OrionAdapter } from "../src/index.ts";
import { connectNative } from "./support/clients.ts";
import { PATIENCE } from "./support/inbox.ts";
import { BASE, BLOCKS, RealProxy } from "./support/real-proxy.ts";
import { PUSH_ONLY, startServer, TOKEN, type OrionServer } from "./support/server.ts";

const PATH = `${BASE}/socket.io/`;

let server: OrionServer;
before(async () => {
  server = await startServer({ env: { ...PUSH_ONLY, ORION_BASE_PATH: BASE } });
});
after(() => server?.end());

for (const block of BLOCKS) {
  test(`everything works below a path (${block})`, async (t) => {
    const proxy = await RealProxy.before(server.port, block);
    if (typeof proxy === "string") return t.skip(proxy);
    try {
      const { origin } = new URL(proxy.url);
      await pages(proxy);
      for (const transport of ["polling", "websocket"]) {
        const socket = io(origin, { path: PATH, transports: [transport], reconnection: false });
        try {
          const subscribed = once(socket as never, "subscribed", { signal: AbortSignal.timeout(PATIENCE) });
          socket.on("connect", () => socket.emit("subscribe", ["signals"]));
          await subscribed;
        } finally {
          socket.disconnect();
        }
      }
      const { ws, inbox } = await connectNative(`${proxy.url.replace("http", "ws")}ws/signals`);
      await inbox.next("subscribed");
      const stream = new AbortController();
      const events = await fetch(`${proxy.url}api/stream?channels=prices`, { signal: stream.signal });
      const adapter = new OrionAdapter(origin, { path: PATH });
      const price = new Promise<unknown>((resolve) => adapter.on("price_update", resolve));
      const symbol = "EURUSD";
      const pushed = await fetch(`${proxy.url}api/prices`, {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
        body: JSON.stringify({ symbol, price: 1.085 }),
      });
      assert.equal(pushed.status, 200, await pushed.text());
      await inbox.next("price_update", (frame) => frame.payload.symbol === symbol);
      await price;
      assert.match(await until(events, "price_update"), /"symbol":"EURUSD"/);
      stream.abort();
      adapter.close();
      ws.close();
    } finally {
      await proxy.end();
    }
  });
}

async function pages(proxy: RealProxy): Promise<void> {
  const page = await fetch(proxy.url.slice(0, -1));
  assert.deepEqual([page.status, page.url], [200, proxy.url], "the address without a slash leads to the one with it");
  for (const path of ["admin.html", "docs", "docs/streams", "health", "ready"]) {
    assert.equal((await fetch(proxy.url + path)).status, 200, path);
  }
  const routes = (await (await fetch(`${proxy.url}openapi.json`)).json()) as any;
  assert.deepEqual(routes.servers, [{ url: BASE }]);
  const streams = (await (await fetch(`${proxy.url}asyncapi.json`)).json()) as any;
  assert.equal(streams.servers.socketio.pathname, PATH);
}

/** What an event stream has sent when `text` came. */
async function until(events: Response, text: string): Promise<string> {
  const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes(text) || !seen.endsWith("\n\n")) {
    const { done, value } = await reader.read();
    assert.ok(!done, seen);
    seen += value;
  }
  return seen;
}
