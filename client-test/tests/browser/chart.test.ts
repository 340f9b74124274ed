/** The chart in headless Chromium: what it draws is read from its own interface, `window.orionChart`. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { signalBody } from "../support/bodies.ts";
import { launch, screenshot } from "../support/browser.ts";
import type { OrionServer } from "../support/server.ts";
import { BEGIN, serverWithBars } from "../support/stored-bars.ts";

const MINUTE = 60_000;

let server: OrionServer;
let browser: Browser;
let page: Page;
/** Errors of the page: scripts, warnings and what its content policy refused. */
const faults: string[] = [];

before(async () => {
  server = await serverWithBars();
  browser = await launch();
  page = await open("?interval=5m");
});
after(async () => {
  await browser?.close();
  await server?.end();
});

async function open(query: string, options: Parameters<Browser["newPage"]>[0] = {}): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1600, height: 1000 }, ...options });
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => {
    if (line.type() === "error" || line.type() === "warning") faults.push(line.text());
  });
  await page.goto(`${server.url}/${query}`);
  await page.waitForFunction(() => (window.orionChart?.view?.candles.data().length ?? 0) > 0);
  return page;
}

/** Pushes a signal whose entry is at a minute of the recording. */
async function push(minute: number, changes: Record<string, unknown> = {}): Promise<string> {
  const body = signalBody({ entry_time: new Date(BEGIN + minute * MINUTE).toISOString(), ...changes });
  const { status, body: answer } = await server.post("/api/signals", body);
  assert.equal(status, 200, JSON.stringify(answer));
  return body.id;
}

/** The entry's marker, as the library has it. */
async function marker(page: Page, id: string): Promise<{ time: number; price: number; position: string }> {
  const found = await page.waitForFunction(
    (id) => window.orionChart?.view?.markers.markers().find((marker) => marker.id === id && "price" in marker && marker.price !== undefined),
    id,
  );
  return (await found.jsonValue()) as unknown as { time: number; price: number; position: string };
}

test("the bars of the server are drawn", async () => {
  const stored = (await server.get("/api/bars?symbol=EURUSD&interval=5m&limit=500")).body.bars;
  const drawn = await page.evaluate(() => window.orionChart!.view!.candles.data().map((bar) => ({ ...bar })));
  const expected = stored.map(({ time, open, high, low, close }: any) => ({ time: Date.parse(time) / 1000, open, high, low, close }));
  assert.deepEqual(drawn.slice(0, expected.length), expected);
  assert.equal(expected.length, 120);
});

test("a pushed signal is at its bar and price", async () => {
  const id = await push(303, { entry_price: 1.0871, stop_loss: 1.0861, take_profits: [1.0881, 1.0891] });
  const { time, price, position } = await marker(page, id);
  assert.equal(time, (BEGIN + 300 * MINUTE) / 1000, "the bar of five minutes in which the entry is");
  assert.equal(price, 1.0871);
  assert.equal(position, "atPriceBottom", "below the entry of a long signal");
  await page.locator(`[data-signal-id="${id}"] .jump`).click();
  const box = await page.waitForFunction((id) => {
    const view = window.orionChart!.view!;
    const { candles, chart } = view;
    const drawn = view.drawn.find(({ mark }) => mark.signal.id === id);
    if (drawn === undefined) return undefined;
    const { left, top, bottom } = drawn.box;
    return { top: candles.coordinateToPrice(top), bottom: candles.coordinateToPrice(bottom), time: chart.timeScale().coordinateToTime(left + 1) };
  }, id);
  const drawn = (await box.jsonValue()) as { top: number; bottom: number; time: number };
  assert.equal(drawn.time, time, "the box begins at the bar");
  assert.ok(Math.abs(drawn.top - 1.0891) < 0.00003 && Math.abs(drawn.bottom - 1.0861) < 0.00003, JSON.stringify(drawn));
  await screenshot(page, "chart");
});

test("prices are printed on the instrument's grid", async () => {
  const shown = await page.evaluate(() => window.orionChart!.view!.candles.priceFormatter().format(1.0871234));
  assert.equal(shown, "1.08712");
});

test("a click on a signal opens its history", async () => {
  const id = await push(420, { direction: "short", entry_price: 1.0876, stop_loss: 1.0881, take_profits: [1.0866] });
  await server.patch(`/api/signals/${id}`, { status: "invalidated", reason: "stop_touched" });
  await page.locator(`[data-column="invalidated"] [data-signal-id="${id}"] .jump`).click();
  await page.waitForFunction((id) => window.orionChart!.view!.drawn.some(({ mark }) => mark.signal.id === id && mark.label === "Stop touched"), id);
  const { x, y } = await page.evaluate((id) => {
    const frame = document.querySelector("[data-field='chart']")!.getBoundingClientRect();
    const { box } = window.orionChart!.view!.drawn.find(({ mark }) => mark.signal.id === id)!;
    return { x: frame.left + box.left + 3, y: frame.top + (box.top + box.bottom) / 2 };
  }, id);
  await page.mouse.click(x, y);
  const dialog = page.getByRole("dialog");
  await dialog.locator("[data-list='detail-states'] li").nth(1).waitFor();
  assert.equal(await dialog.locator("[data-field='detail-id']").innerText(), id);
  assert.deepEqual(await dialog.locator(".status").allTextContents(), ["pending", "invalidated"]);
  await dialog.getByRole("button", { name: "Show on the chart" }).click();
  assert.equal(await dialog.count(), 0);
});

test("killzones, levels, gaps and blocks come from the server", async () => {
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url().slice(server.url.length)));
  await page.getByRole("button", { name: "Gaps, blocks" }).click();
  await page.waitForFunction(() => performance.getEntriesByType("resource").some(({ name }) => name.includes("/api/detections?")));
  await page.waitForFunction(() => new URL(location.href).searchParams.get("show") === "killzones,levels,zones");
  const detections = asked.find((path) => path.startsWith("/api/detections?"));
  const { body } = await server.get(detections!);
  assert.ok(body.detections.some((zone: any) => zone.kind === "fair_value_gap" && zone.direction === "long"), JSON.stringify(body.detections));
  assert.ok(body.levels.some((level: any) => level.name === "london"), JSON.stringify(body.levels));
  const layers = await page.waitForFunction(() => {
    const { zones, killzones, levels } = window.orionChart!.view!.shown;
    return zones.length > 0 && levels > 0 ? { zones: zones.map(({ known_at }) => known_at), killzones: killzones.map(({ killzone }) => killzone), levels } : undefined;
  });
  const shown = (await layers.jsonValue())!;
  assert.deepEqual(shown.zones, body.detections.map((zone: any) => zone.known_at));
  assert.deepEqual(shown.killzones.slice(0, 3), ["london", "ny_am", "lunch"]);
  assert.equal(shown.levels, 2 * body.levels.length);
  await screenshot(page, "chart-zones");
});

test("a live price goes on at the last bar", async () => {
  await server.post("/api/prices", { symbol: "EURUSD", bid: 1.0869, ask: 1.0871 });
  await page.waitForFunction(() => window.orionChart!.view!.candles.data().at(-1) !== undefined && (window.orionChart!.view!.candles.data().at(-1) as any).close === 1.087);
  const last = await page.evaluate(() => window.orionChart!.view!.candles.data().at(-1)!.time as number);
  assert.ok(Math.abs(last - Date.now() / 1000) < 600 && last % 300 === 0, String(last));
  const lines = await page.evaluate(() => window.orionChart!.view!.candles.priceLines().map((line) => line.options()).filter(({ title }) => /^(bid|ask)$/.test(title)).map(({ title, price }) => [title, price]));
  assert.deepEqual(lines, [["bid", 1.0869], ["ask", 1.0871]]);
});

test("the keyboard moves, steps through signals and opens one", async () => {
  const chart = page.getByRole("application", { name: "Price chart" });
  await chart.focus();
  // The library moves with the next frame.
  const before = await page.evaluate(() => window.orionChart!.view!.chart.timeScale().getVisibleLogicalRange()!);
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction(({ from }) => window.orionChart!.view!.chart.timeScale().getVisibleLogicalRange()!.from < from, before);
  await page.keyboard.press("-");
  await page.waitForFunction(({ from, to }) => {
    const range = window.orionChart!.view!.chart.timeScale().getVisibleLogicalRange()!;
    return range.to - range.from > to - from;
  }, before);
  await page.keyboard.press("Escape");
  await page.keyboard.press("n");
  await page.waitForFunction(() => /EURUSD long at 1.08710, Pending/.test(document.querySelector("[data-field='announcer']")!.textContent!));
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await chart.focus();
  await page.keyboard.press("1");
  await page.waitForFunction(() => window.orionChart!.interval === "1m" && window.orionChart!.view!.candles.data().length === 500);
  assert.match(page.url(), /interval=1m/);
});

test("scrolling back loads older bars", async () => {
  await page.evaluate(() => window.orionChart!.view!.chart.timeScale().setVisibleLogicalRange({ from: -5, to: 60 }));
  await page.waitForFunction(() => window.orionChart!.view!.candles.data().length > 590);
  assert.equal(await page.evaluate(() => window.orionChart!.view!.candles.data()[0]!.time), BEGIN / 1000);
});

test("a phone in light shows it without a wider page", async () => {
  const phone = await open("?interval=15m", { viewport: { width: 390, height: 844 }, colorScheme: "light", reducedMotion: "reduce", hasTouch: true });
  assert.equal(await phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0);
  const { background, kinetic } = await phone.evaluate(() => {
    const { layout, kineticScroll } = window.orionChart!.view!.chart.options();
    return { background: "color" in layout.background ? layout.background.color : "", kinetic: kineticScroll.touch };
  });
  assert.deepEqual([background, kinetic], ["#ffffff", false]);
  const frame = (await phone.locator("[data-field='chart']").boundingBox())!;
  assert.ok(frame.width > 350 && frame.height >= 220, JSON.stringify(frame));
  await phone.locator("[data-section='chart']").scrollIntoViewIfNeeded();
  await screenshot(phone, "chart-phone");
  await phone.close();
});

test("the licence of the library and its maker are named", async () => {
  const link = page.getByRole("link", { name: /TradingView/ });
  assert.equal(await link.getAttribute("href"), "https://www.tradingview.com/");
  const licence = await server.get("/licenses/lightweight-charts.txt");
  assert.equal(licence.status, 200);
  assert.match(licence.body, /Apache License/);
});

test("the pages had no errors", () => {
  assert.deepEqual(faults, []);
});
