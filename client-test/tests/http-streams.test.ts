/** Signals over plain HTTP: an `EventSource` as the standard has it, and long polling, over connections that are cut. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { EventSource } from "eventsource";
import { pushSignal } from "./support/bodies.ts";
import { Inbox, PATIENCE } from "./support/inbox.ts";
import { CuttingProxy } from "./support/proxy.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "./support/server.ts";
import type { KillzoneChange } from "../src/messages.ts";
import type { Signal, Subscribed } from "../src/messages.ts";

const SIGNALS = 60;

let server: OrionServer;
let proxy: CuttingProxy;
let through: string;

before(async () => {
  server = await startServer({ env: PUSH_ONLY });
  proxy = await CuttingProxy.before(server.port);
  through = `http://127.0.0.1:${proxy.port}`;
});
after(async () => {
  await proxy.end();
  await server.end();
});

const cursor = async (): Promise<string> => (await server.get("/api/signals?limit=1")).body.cursor;

/** Pushes signals, every second with its end, and cuts the connections meanwhile. Returns the events of the log. */
async function eventful(confidence: (index: number) => number): Promise<string[]> {
  const log: string[] = [];
  for (let index = 0; index < SIGNALS; index += 1) {
    const id = await pushSignal(server, { confidence: confidence(index) });
    log.push(`${id} pending`);
    if (index % 2 === 0) {
      await server.patch(`/api/signals/${id}`, { status: "confirmed" });
      log.push(`${id} confirmed`);
    }
    // Each connection ends in the middle of some frame.
    if (index % 9 === 4) {
      proxy.cut();
      proxy.mend(200 + Math.floor(Math.random() * 5_000));
    }
  }
  proxy.mend();
  return log;
}

interface Told {
  readonly type: string;
  readonly data: any;
  readonly lastEventId: string;
}

function listen(path: string): { source: EventSource; inbox: Inbox } {
  const inbox = new Inbox();
  const source = new EventSource(through + path);
  for (const type of ["signal", "price_update", "subscribed", "killzone", "cursor"]) {
    source.addEventListener(type, (event: MessageEvent) =>
      inbox.push(type, { type, data: JSON.parse(event.data), lastEventId: event.lastEventId } satisfies Told),
    );
  }
  return { source, inbox };
}

describe("an EventSource", () => {
  test("plays a span once, and stops by itself", async () => {
    const source = new EventSource(`${through}/api/replay?from=2026-01-14T07:00:00Z&to=2026-01-14T07:10:00Z&speed=3600`);
    const seen: string[] = [];
    for (const type of ["replay_start", "replay_end"]) {
      source.addEventListener(type, ({ lastEventId }: MessageEvent) => seen.push(`${type} ${lastEventId}`));
    }
    // It connects again after the end, and is told with 204 that there is nothing more.
    const answered = await new Promise<number | undefined>((resolve) => {
      source.addEventListener("error", ({ code }) => source.readyState === EventSource.CLOSED && resolve(code));
    });
    assert.equal(answered, 204);
    assert.deepEqual(seen, ["replay_start 2026-01-14T07:00:00.000Z", "replay_end 2026-01-14T07:10:00.000Z"]);
  });

  test("resumes by itself, and sees the log", async () => {
    const { source } = listen(`/api/stream?channels=signals&since=${await cursor()}`);
    const seen: string[] = [];
    const cursors: number[] = [];
    let connections = 0;
    source.addEventListener("signal", (event: MessageEvent) => {
      const signal = JSON.parse(event.data) as Signal;
      seen.push(`${signal.id} ${signal.status}`);
      cursors.push(Number(event.lastEventId.split(":")[1]));
    });
    source.addEventListener("subscribed", (event: MessageEvent) => {
      connections += 1;
      assert.equal((JSON.parse(event.data) as Subscribed).recovered, true);
    });
    try {
      const log = await eventful(() => 0.8);
      await until(() => seen.length >= log.length, () => `${seen.length} of ${log.length} events`);
      assert.deepEqual(seen, log);
      assert.deepEqual(cursors, [...cursors].sort((a, b) => a - b));
      assert.ok(connections > 1, "it was cut");
    } finally {
      source.close();
    }
  });

  test("gets what its filters admit, and the killzone clock", async () => {
    const start = await cursor();
    const low = await pushSignal(server, { confidence: 0.2 });
    const high = await pushSignal(server, { confidence: 0.95 });
    const { source, inbox } = listen(`/api/stream?channels=signals,clock&min_confidence=0.9&since=${start}`);
    try {
      const { data, lastEventId } = (await inbox.next("signal"))[0] as Told;
      assert.equal(data.id, high);
      const subscribed = (await inbox.next("subscribed"))[0] as Told;
      assert.deepEqual(subscribed.data.filters, { min_confidence: 0.9 });
      assert.equal(subscribed.lastEventId, lastEventId);
      const clock = ((await inbox.next("killzone"))[0] as Told).data as KillzoneChange;
      const { body } = await server.get("/api/killzones");
      assert.deepEqual([clock.killzone, clock.next.killzone], [body.killzone, body.next.killzone]);
      assert.notEqual(low, high);
    } finally {
      source.close();
    }
  });
});

describe("long polling", () => {
  test("sees the log over cut connections", async () => {
    const seen: string[] = [];
    let since = await cursor();
    let isOver = false;
    const poller = (async () => {
      while (!isOver) {
        try {
          const answer = await fetch(`${through}/api/signals?wait=2s&since=${since}&limit=7`);
          const page = (await answer.json()) as { signals: Signal[]; cursor: string; recovered: boolean };
          assert.equal(page.recovered, true);
          seen.push(...page.signals.map((signal) => `${signal.id} ${signal.status}`));
          since = page.cursor;
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
        }
      }
    })();
    const log = await eventful(() => 0.8);
    await until(() => seen.length >= log.length, () => `${seen.length} of ${log.length} events`);
    isOver = true;
    await poller;
    assert.deepEqual(seen, log);
  });
});

async function until(holds: () => boolean, state: () => string): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!holds()) {
    assert.ok(Date.now() < end, state());
    await new Promise((later) => setTimeout(later, 20));
  }
}
