/** ORION's page over Socket.IO by the one import: what it shows in an outage, and what is underneath. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { pushPrice, pushSignal } from "./support/bodies.ts";
import { OrionPage } from "./support/orion-page.ts";
import { CuttingProxy } from "./support/proxy.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import { OrionWebSocket } from "../src/orion-websocket.ts";

const QUICK = { reconnectionDelay: 50, reconnectionDelayMax: 200 };
const quick = (url: string) => new OrionWebSocket(url, QUICK);

/** There is no event across the border of a process. */
async function settled(server: OrionServer, connections: number): Promise<void> {
  const deadline = Date.now() + 30_000;
  while ((await server.connections()) !== connections) {
    assert.ok(Date.now() < deadline, `${await server.connections()} connections, not ${connections}`);
    await pause(20);
  }
}

/** Asserts that each of these has come once, and nothing else of them. */
function eachOnce(page: OrionPage, ids: string[], states = ["pending"]): void {
  const tally = page.tally();
  for (const id of ids) {
    for (const state of states) assert.equal(tally[`${id} ${state}`], 1, `${id} ${state}: ${JSON.stringify(tally)}`);
  }
}

test("the server is killed and comes back: the label says so, on one connection, each signal once", async () => {
  const first = await startServer({ env: PUSH_ONLY });
  const page = new OrionPage(`${first.wsUrl}/ws/signals`, quick).mount();
  let second: OrionServer | undefined;
  try {
    await page.inbox.next("subscribed");
    await settled(first, 1);
    const ids = [await pushSignal(first), await pushSignal(first)];
    await page.inbox.next("signal", (id) => id === ids[1]);
    assert.equal(page.label, "connected");

    let mark = page.inbox.mark;
    await first.kill();
    await page.shows("disconnected", mark);
    assert.deepEqual(page.inbox.all("close", mark), [[1006, false]]);
    // Its own reconnect: the page says that it tries, for as long as it takes, and shows nothing that is invented.
    await page.shows("connecting", mark);
    await pause(1_500);
    assert.equal(page.label, "connecting");
    assert.equal(page.inbox.all("new", mark).length, 1, "one attempt, which waits");

    mark = page.inbox.mark;
    second = await startServer({ env: PUSH_ONLY, port: first.port, dataDir: first.dataDir });
    ids.push(await pushSignal(second));
    await page.inbox.next("signal", (id) => id === ids[2]);
    await page.shows("connected", mark);
    await second.patch(`/api/signals/${ids[0]}`, { status: "confirmed" });
    await page.inbox.next("signal", (id, status) => id === ids[0] && status === "confirmed");
    const price = await pushPrice(second);
    await page.inbox.next("price_update", (frame) => frame.payload.price === price);
    assert.equal(page.label, "connected");
    await settled(second, 1);
    eachOnce(page, ids);
    eachOnce(page, [ids[0] ?? ""], ["confirmed"]);
    assert.equal(page.inbox.all("price_update").filter(([frame]) => frame.payload.price === price).length, 1);
    assert.equal(page.isDemo, false);
    page.unmount();
    await settled(second, 0);
  } finally {
    page.unmount();
    await (second ?? first).end();
  }
});

describe("behind a line that is cut", () => {
  let server: OrionServer;
  let proxy: CuttingProxy;
  let url: string;

  before(async () => {
    server = await startServer({ env: PUSH_ONLY });
    proxy = await CuttingProxy.before(server.port);
    url = `ws://127.0.0.1:${proxy.port}/ws/signals`;
  });
  after(async () => {
    await proxy.end();
    await server.end();
  });

  test("a cut shorter than the page's delay, again and again", async () => {
    const page = new OrionPage(url, quick, 1_000).mount();
    try {
      await page.inbox.next("subscribed");
      const ids: string[] = [];
      for (let round = 0; round < 3; round += 1) {
        let mark = page.inbox.mark;
        proxy.cut();
        await page.shows("disconnected", mark);
        ids.push(await pushSignal(server));
        proxy.mend();
        // It is back before the page tries: the same socket opens again, and the attempt that follows takes its place.
        await page.shows("connected", mark);
        await page.inbox.next("new", undefined, { from: mark });
        mark = page.inbox.mark;
        await page.shows("connected", mark);
        ids.push(await pushSignal(server));
        await page.inbox.next("signal", (id) => id === ids.at(-1));
        await settled(server, 1);
      }
      eachOnce(page, ids);
      assert.equal(page.label, "connected");
    } finally {
      proxy.mend();
      page.unmount();
    }
    await settled(server, 0);
  });

  test("signals that come while another instance takes over are told once", async () => {
    const page = new OrionPage(url, quick, 50).mount();
    try {
      await page.inbox.next("subscribed");
      const ids: string[] = [];
      let isDone = false;
      const pushing = (async () => {
        while (!isDone) ids.push(await pushSignal(server));
      })();
      for (let round = 0; round < 4; round += 1) {
        const mark = page.inbox.mark;
        proxy.cut();
        await page.shows("disconnected", mark);
        proxy.mend();
        await page.inbox.next("new", undefined, { from: mark });
        await page.shows("connected", page.inbox.mark - 1);
      }
      isDone = true;
      await pushing;
      await page.inbox.next("signal", (id) => id === ids.at(-1));
      eachOnce(page, ids);
      await settled(server, 1);
    } finally {
      proxy.mend();
      page.unmount();
    }
    await settled(server, 0);
  });

  test("a page without a reconnect of its own is connected again by itself", async () => {
    const page = new OrionPage(url, quick, 200, false).mount();
    try {
      await page.inbox.next("subscribed");
      const mark = page.inbox.mark;
      proxy.cut();
      await page.shows("disconnected", mark);
      const id = await pushSignal(server);
      proxy.mend();
      await page.shows("connected", mark);
      await page.inbox.next("signal", (told) => told === id);
      eachOnce(page, [id]);
      assert.equal(page.inbox.all("new", mark).length, 0);
    } finally {
      proxy.mend();
      page.unmount();
    }
    await settled(server, 0);
  });

  test("silence about a loss is an option", async () => {
    OrionWebSocket.reportLoss = false;
    const page = new OrionPage(url, quick).mount();
    try {
      await page.inbox.next("subscribed");
      const mark = page.inbox.mark;
      proxy.cut();
      const id = await pushSignal(server);
      proxy.mend();
      await page.inbox.next("signal", (told) => told === id);
      assert.deepEqual([page.inbox.all("label", mark), page.inbox.all("close", mark)], [[], []]);
    } finally {
      OrionWebSocket.reportLoss = true;
      proxy.mend();
      page.unmount();
    }
    await settled(server, 0);
  });

  test("two parts of a page that were never cut have a stream each", async () => {
    const pages = [new OrionPage(url, quick).mount(), new OrionPage(url, quick).mount()];
    try {
      for (const page of pages) await page.inbox.next("subscribed");
      await settled(server, 2);
      const mark = pages.map((page) => page.inbox.mark);
      proxy.cut();
      for (const [i, page] of pages.entries()) await page.shows("disconnected", mark[i]);
      proxy.mend();
      for (const [i, page] of pages.entries()) await page.inbox.next("new", undefined, { from: mark[i] ?? 0 });
      const id = await pushSignal(server);
      for (const page of pages) {
        await page.inbox.next("signal", (told) => told === id);
        eachOnce(page, [id]);
      }
      await settled(server, 2);
    } finally {
      proxy.mend();
      for (const page of pages) page.unmount();
    }
    await settled(server, 0);
  });

  test("a page that is left does not come back, and one that is opened anew gets its snapshot", async () => {
    const id = await pushSignal(server);
    const left = new OrionPage(url, quick).mount();
    await left.inbox.next("subscribed");
    proxy.cut();
    await left.shows("disconnected");
    left.unmount();
    proxy.mend();
    const page = new OrionPage(url, quick).mount();
    try {
      const [answer] = await page.inbox.next("subscribed");
      assert.deepEqual([answer.recovered, answer.replay], [null, "1m"]);
      eachOnce(page, [id]);
      await settled(server, 1);
    } finally {
      page.unmount();
    }
    await settled(server, 0);
  });

  test("a signal without targets prints no stray 0", async () => {
    const page = new OrionPage(url, quick).mount();
    try {
      await page.inbox.next("subscribed");
      const id = await pushSignal(server, { take_profits: [] });
      await page.inbox.next("signal", (told) => told === id);
      assert.equal(page.signals.get(id).take_profits, null);
    } finally {
      page.unmount();
    }
    await settled(server, 0);
  });
});
