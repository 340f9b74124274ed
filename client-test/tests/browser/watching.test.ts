/** The console as a page that is kept open: filters, tabs, sound, notifications, and nothing that moves without need. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { pushSignal } from "../support/bodies.ts";
import { launch, screenshot } from "../support/browser.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "../support/server.ts";

const SYMBOLS: Record<string, number> = {
  EURUSD: 1.085, GBPUSD: 1.27, USDJPY: 99.99, XAUUSD: 999.9, US30: 39000, NAS100: 9999.9, SPX500: 5200, MNQ: 18000, NQ: 18000, MES: 5200, ES: 5200,
};

/** In place of what a headless browser does not have; it notes what it was asked for. As text, because it runs before the page. */
const STAND_INS = `
  const asked = (window.asked = { permissions: 0, notifications: [], contexts: 0, tones: 0 });
  window.Notification = class extends EventTarget {
    static async requestPermission() {
      asked.permissions += 1;
      return "granted";
    }
    constructor(title) {
      super();
      asked.notifications.push(title);
    }
  };
  window.AudioContext = class extends AudioContext {
    constructor() {
      super();
      asked.contexts += 1;
    }
    createOscillator() {
      asked.tones += 1;
      return super.createOscillator();
    }
  };`;

let server: OrionServer;
let browser: Browser;
let page: Page;
/** Errors of the page: scripts, warnings and what its content policy refused. */
const faults: string[] = [];

before(async () => {
  server = await startServer({ env: PUSH_ONLY });
  browser = await launch();
  page = await open("");
});
after(async () => {
  await browser?.close();
  await server?.end();
});

async function open(query: string): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => {
    if (/Content Security Policy/i.test(line.text())) faults.push(line.text());
  });
  await page.addInitScript({ content: STAND_INS });
  await page.goto(`${server.url}/${query}`);
  await page.locator('[data-connection-state="connected"]').waitFor();
  return page;
}

const asked = (page: Page) => page.evaluate(() => (window as any).asked);

async function prices(step: number): Promise<void> {
  const update = ([symbol, base]: [string, number]) => ({ symbol, bid: base * (1 + step / 10_000), ask: base * (1 + (step + 1) / 10_000) });
  assert.equal((await server.post("/api/prices", { prices: Object.entries(SYMBOLS).map(update) })).status, 200);
}

test("everything fits on one screen", async () => {
  await prices(0);
  await page.locator('[data-symbol="ES"] [data-field="price"]').waitFor();
  const { tall, wide } = await page.evaluate(() => {
    const { scrollHeight, clientHeight, scrollWidth, clientWidth } = document.documentElement;
    return { tall: scrollHeight - clientHeight, wide: scrollWidth - clientWidth };
  });
  assert.deepEqual([tall, wide], [0, 0]);
  for (const part of [".prices", "[data-section='chart']", "[data-column='pending']", "[role='tablist']", "[data-section='history']"]) {
    const box = (await page.locator(part).boundingBox())!;
    assert.ok(box.height > 25 && box.y + box.height <= 900, `${part} ${JSON.stringify(box)}`);
  }
  await screenshot(page, "one-screen");
});

test("nothing shifts while prices move", async () => {
  await page.evaluate(() => {
    const shifts: unknown[] = ((window as any).shifts = []);
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as any[]) {
        shifts.push([entry.value, ...entry.sources.map((source: any) => source.node?.outerHTML?.slice(0, 80))]);
      }
    }).observe({ type: "layout-shift" });
  });
  for (let step = 1; step <= 20; step++) {
    const before = await page.locator('[data-symbol="ES"]').getAttribute("data-flash");
    await prices(step * (step % 2 === 0 ? 1 : -1));
    await page.waitForFunction((before) => document.querySelector<HTMLElement>('[data-symbol="ES"]')!.dataset["flash"] !== before, before ?? undefined);
  }
  // The last frame's entries are delivered with the frames after it.
  await page.evaluate(() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))));
  assert.deepEqual(await page.evaluate("shifts"), []);
});

test("the title has the number of pending signals", async () => {
  assert.equal(await page.title(), "ORION console");
  const id = await pushSignal(server);
  await page.waitForFunction(() => document.title === "(1) ORION console");
  await server.patch(`/api/signals/${id}`, { status: "invalidated" });
  await page.waitForFunction(() => document.title === "ORION console");
});

test("sound and notifications wait for a click", async () => {
  const first = await pushSignal(server);
  await server.patch(`/api/signals/${first}`, { status: "confirmed" });
  await page.locator(`[data-column="confirmed"] [data-signal-id="${first}"]`).waitFor();
  assert.deepEqual(await asked(page), { permissions: 0, notifications: [], contexts: 0, tones: 0 });
  await page.getByRole("button", { name: "Sound" }).click();
  await page.getByRole("button", { name: "Notify" }).click();
  await page.locator('[data-action="notify"][aria-pressed="true"]').waitFor();
  const before = await asked(page);
  assert.deepEqual([before.permissions, before.contexts, before.notifications], [1, 1, []]);
  const second = await pushSignal(server, { symbol: "GBPUSD", entry_price: 1.27, stop_loss: 1.268, take_profits: [1.274] });
  await server.patch(`/api/signals/${second}`, { status: "confirmed" });
  await page.waitForFunction(() => (window as any).asked.notifications.length === 1);
  const after = await asked(page);
  assert.deepEqual(after.notifications, ["GBPUSD long confirmed"]);
  assert.equal(after.tones, before.tones + 2);
});

test("filters stay in the address and hold for everything", async () => {
  const setup = await pushSignal(server, { reason: "Order Block retest", confidence: 0.9 });
  const other = await pushSignal(server, { reason: "MSS+FVG setup", confidence: 0.9 });
  const weak = await pushSignal(server, { reason: "Order Block retest", confidence: 0.4 });
  await page.locator('[data-field="filter-setup"]').fill("order block");
  await page.locator('[data-field="filter-score"]').selectOption("70");
  await page.locator('[data-field="filter-symbol"]').selectOption("EURUSD");
  const address = new URL(page.url());
  assert.deepEqual(["setup", "score", "symbol"].map((name) => address.searchParams.get(name)), ["order block", "70", "EURUSD"]);
  for (const shown of [page, await open(address.search)]) {
    await shown.locator(`[data-column="pending"] [data-signal-id="${setup}"]`).waitFor();
    await shown.locator(`[data-history-id="${setup}"]`).waitFor();
    for (const id of [other, weak]) {
      assert.equal(await shown.locator(`[data-signal-id="${id}"]`).isVisible(), false, id);
      assert.equal(await shown.locator(`[data-history-id="${id}"]`).count(), 0, id);
    }
    assert.equal(await shown.locator('[data-column="pending"] .count').innerText(), "1 of 3");
    assert.equal(await shown.title(), "(1) ORION console");
    if (shown !== page) await shown.close();
  }
  await page.getByRole("button", { name: "Clear" }).click();
  await page.locator(`[data-signal-id="${weak}"]`).waitFor();
  assert.equal(new URL(page.url()).search.includes("setup"), false);
});

test("tabs are moved through with the keyboard", async () => {
  await page.getByRole("tab", { name: "History" }).focus();
  await page.keyboard.press("ArrowRight");
  await page.getByRole("tabpanel", { name: /Sources/ }).waitFor();
  assert.equal(await page.getByRole("tabpanel").count(), 1);
  assert.match(page.url(), /tab=sources/);
  await page.keyboard.press("ArrowLeft");
  await page.getByRole("tabpanel", { name: "History" }).waitFor();
});

test("a lost connection is seen everywhere", async () => {
  await server.kill();
  const banner = page.locator('[data-banner="offline"]');
  await banner.waitFor({ state: "visible" });
  assert.match(await banner.innerText(), /Connection lost at \d\d:\d\d:\d\d UTC/);
  assert.match(await page.title(), /Offline/);
  assert.match(await page.evaluate(() => getComputedStyle(document.querySelector("main")!).filter), /grayscale/);
  await screenshot(page, "offline");
  server = await startServer({ port: server.port, dataDir: server.dataDir, env: PUSH_ONLY });
  await banner.waitFor({ state: "hidden" });
  await page.waitForFunction(() => !document.title.includes("Offline"));
});

test("the page had no errors", () => {
  assert.deepEqual(faults, []);
});
