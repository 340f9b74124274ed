/** The console page in headless Chromium, as the real binary serves it. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { signalBody } from "../support/bodies.ts";
import { launch, screenshot } from "../support/browser.ts";
import { startServer, type OrionServer } from "../support/server.ts";
import { assertPrice, assertSignal } from "../support/shapes.ts";

const SYMBOLS = ["EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "US30", "NAS100", "SPX500", "MNQ", "NQ", "MES", "ES"];

let server: OrionServer;
let browser: Browser;
let page: Page;
/** Errors of the page: scripts, and what its content policy refused. */
const faults: string[] = [];

before(async () => {
  server = await startServer();
  browser = await launch();
  page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => {
    if (/Content Security Policy/i.test(line.text())) faults.push(line.text());
  });
  await page.goto(server.url);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

const price = (symbol: string) => page.locator(`[data-symbol="${symbol}"] [data-field="price"]`);
const card = (column: string, id: string) => page.locator(`[data-column="${column}"] [data-signal-id="${id}"]`);

test("it connects and shows every instrument with its own digits", async () => {
  await page.locator('[data-connection-state="connected"]').waitFor();
  for (const symbol of SYMBOLS) await price(symbol).waitFor();
  assert.match(await price("EURUSD").innerText(), /^\d\.\d{5}$/);
  assert.match(await price("USDJPY").innerText(), /^\d+\.\d{3}$/);
  assert.match(await price("MNQ").innerText(), /^\d+\.(00|25|50|75)$/);
});

test("prices move", async () => {
  const before = await price("EURUSD").innerText();
  await page.waitForFunction(
    ([selector, text]) => document.querySelector(selector!)?.textContent !== text,
    ['[data-symbol="EURUSD"] [data-field="price"]', before],
  );
});

test("it says that the data is simulated", async () => {
  const banner = page.locator('[data-banner="simulated"]');
  await banner.waitFor({ state: "visible" });
  assert.match(await banner.innerText(), /Simulated data/);
  assert.equal(await page.locator('[data-symbol="EURUSD"] [data-field="quality"]').innerText(), "simulated");
  assert.equal(await page.locator('[data-banner="replayed"]').isVisible(), false);
});

test("it shows the sources, and which symbols each is in force for", async () => {
  await page.getByRole("tab", { name: "Sources" }).click();
  const row = page.locator('[data-source="simulator"]');
  await row.waitFor();
  assert.equal(await row.locator('[data-field="state"]').innerText(), "live");
  await page.waitForFunction(
    (symbols) => {
      const shown = document.querySelector('[data-source="simulator"] [data-field="in-force"]')?.textContent?.split(" ") ?? [];
      return symbols.every((symbol) => shown.includes(symbol));
    },
    SYMBOLS,
  );
  assert.match(await row.locator('[data-field="rate"]').innerText(), /^\d+$/);
  assert.equal(await page.locator('[data-source="mt5"] [data-field="state"]').innerText(), "off");
  await screenshot(page, "sources");
});

test("a pushed signal appears as pending and moves to confirmed when it is", async () => {
  const text = '<img src=x onerror="window.injected=1"> & <b>text</b>';
  const body = signalBody({ reason: text });
  assert.equal((await server.post("/api/signals", body)).status, 200);
  const pending = card("pending", body.id);
  await pending.waitFor();
  assert.equal(await pending.locator('[data-field="reason"]').textContent(), text, "text stays text");
  assert.match(await pending.locator('[data-field="countdown"]').innerText(), /^[45]:\d\d$/);
  assert.equal(await pending.locator('[data-field="entry"]').innerText(), "1.08500");
  await screenshot(page, "pending");
  const node = await pending.elementHandle();

  assert.equal((await server.patch(`/api/signals/${body.id}`, { status: "confirmed" })).status, 200);
  await card("confirmed", body.id).waitFor();
  assert.equal(await pending.count(), 0);
  const same = await card("confirmed", body.id).evaluate((now, then) => now === then, node);
  assert.ok(same, "it is the same node");
  assert.equal(await page.evaluate("window.injected"), undefined);

  await page.getByRole("tab", { name: "History" }).click();
  const row = page.locator(`[data-history-id="${body.id}"][data-status="confirmed"]`);
  await row.getByRole("button").click();
  const states = page.locator("[data-list='detail-states'] li");
  await states.nth(1).waitFor();
  assert.deepEqual(await states.locator(".status").allTextContents(), ["pending", "confirmed"]);
  await screenshot(page, "states");
  await page.keyboard.press("Escape");
});

test("an invalidated signal shows why", async () => {
  const body = signalBody();
  await server.post("/api/signals", body);
  await card("pending", body.id).waitFor();
  await server.patch(`/api/signals/${body.id}`, { status: "invalidated", reason: "stop_touched" });
  const ended = card("invalidated", body.id).locator('[data-field="invalidation"]');
  await ended.waitFor();
  assert.equal(await ended.innerText(), "Stop touched");
  await screenshot(page, "console");
});

test("OrionWebSocket takes the place of WebSocket in a page", async () => {
  const client = fileURLToPath(new URL("../../src/orion-websocket.ts", import.meta.url));
  const { outputFiles } = await build({
    stdin: {
      resolveDir: fileURLToPath(new URL(".", import.meta.url)),
      contents: `
        import { OrionWebSocket as WebSocket } from ${JSON.stringify(client)};
        const got = (globalThis.got = []);
        const ws = (globalThis.ws = new WebSocket("ws://" + location.host + "/ws/signals"));
        ws.onopen = () => ws.send(JSON.stringify({ type: "subscribe", channels: ["signals", "prices"], timestamp: new Date().toISOString() }));
        ws.onmessage = (event) => got.push(JSON.parse(event.data));`,
    },
    bundle: true,
    format: "iife",
    write: false,
  });
  const body = signalBody();
  await server.post("/api/signals", body);
  await page.evaluate(outputFiles[0]!.text);
  // Functions, not text: the page's content policy forbids eval to waitForFunction.
  const frame = await page.waitForFunction(
    (id) => (globalThis as any).got.find((f: any) => f.type === "signal" && f.payload.id === id),
    body.id,
  );
  const signal: any = await frame.jsonValue();
  assert.deepEqual(Object.keys(signal), ["type", "payload", "cursor"]);
  assertSignal(signal.payload);
  const update: any = await (
    await page.waitForFunction(() => (globalThis as any).got.find((f: any) => f.type === "price_update"))
  ).jsonValue();
  assertPrice(update.payload);
  await page.evaluate("ws.close()");
});

test("it shows a loss and comes back by itself", async () => {
  await server.stop();
  await page.locator('[data-connection-state="reconnecting"]').waitFor();
  await page.locator('[data-banner="offline"]').waitFor({ state: "visible" });
  await screenshot(page, "reconnecting");
  server = await startServer({ port: server.port, dataDir: server.dataDir });
  await page.locator('[data-connection-state="connected"]').waitFor();
  await page.locator('[data-banner="offline"]').waitFor({ state: "hidden" });
  await page.locator('[data-symbol="EURUSD"][data-flash]').waitFor();
});

for (const width of [1280, 1361, 1400, 1500, 1501, 1920, 390]) {
  test(`at ${width} px nothing of a card or a price is cut off`, async () => {
    await page.setViewportSize({ width, height: 1000 });
    const cut = await page.evaluate(() =>
      [...document.querySelectorAll(".card *, .cards, .prices .scroll")]
        .filter((node) => {
          const frame = (node.closest(".card") ?? node.closest(".panel"))!.getBoundingClientRect();
          const box = node.getBoundingClientRect();
          const shortened = getComputedStyle(node).textOverflow === "ellipsis";
          return box.right > frame.right + 0.5 || (!shortened && node.scrollWidth > node.clientWidth && node.clientWidth > 0);
        })
        .map((node) => `${node.tagName} ${node.className}`),
    );
    assert.deepEqual(cut, []);
  });
}

test("the track record shows what became of signals, and how sure that is", async () => {
  await page.getByRole("tab", { name: "Track record" }).click();
  const section = page.locator('[data-section="record"]');
  assert.match(await section.innerText(), /No confirmed signal has come to its end yet/);
  const stats = (trades: number, mean: number) => ({
    signals: trades, trades, few: trades < 30, classes: { stop: trades - 2, targets: 2 }, with_gap: 1,
    win_rate: { rate: 2 / trades, low: 0.05, high: 0.6 }, first_target_rate: null, expectancy_r: mean, total_r: mean * trades,
    profit_factor: 0.5, max_drawdown_r: 3, mean_mfe: 1, mean_mae: -1, brier: 0.3,
  });
  const groups = { symbol: { EURUSD: stats(8, -0.25) }, setup: { "MSS+FVG": stats(8, -0.25) }, killzone: {}, source: {}, confidence: {} };
  const asked: string[] = [];
  await page.route("**/api/stats*", async (route) => {
    asked.push(new URL(route.request().url()).search);
    await route.fulfill({ json: { feeds: ["live"], note: "", open: 0, all: stats(8, -0.25), ...groups } });
  });
  await page.locator('[data-field="record-by"]').selectOption("symbol");
  const row = page.locator('[data-record="EURUSD"]');
  await row.waitFor();
  assert.match((await row.innerText()).replaceAll(/\s+/g, " "), /EURUSD 8 25 \(5–60\) % -0\.25 0\.50 3\.00 0\.30 Stop 6, Targets 2, over a gap 1/);
  assert.equal(await row.locator("svg").count(), 2);
  assert.match(await page.locator('[data-field="record-note"]').innerText(), /Fewer than 30 trades/);
  await page.locator('[data-field="record-feed"]').selectOption("replayed");
  await page.waitForFunction(() => performance.getEntriesByName(`${location.origin}/api/stats?feed=replayed`).length > 0);
  assert.deepEqual(asked, ["", "?feed=replayed"]);
  await page.unroute("**/api/stats*");
});

test("on a phone nothing is wider than the screen", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  const overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
  assert.equal(overflow, 0);
  await screenshot(page, "phone");
});

test("the page had no errors and kept its content policy", () => {
  assert.deepEqual(faults, []);
});
