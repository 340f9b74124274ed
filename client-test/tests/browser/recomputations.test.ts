/** "Live against backtest" on the admin page. Days with differences take a night: the page gets the bytes of the route's test. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { Recomputation, Recomputations } from "../../src/messages.ts";
import { launch, screenshot } from "../support/browser.ts";
import { startServer, type OrionServer } from "../support/server.ts";

const ADMIN = "an-admin-token-for-the-browser";
const GOLDEN = readFileSync(new URL("../../../src/http/tests/recomputations.json", import.meta.url), "utf8");
/** How many differences of a day the server lists. */
const MOST = 500;
const report = JSON.parse(GOLDEN) as Recomputations;

let server: OrionServer;
let browser: Browser;
/** Errors of the pages: scripts, and what their content policy refused. */
const faults: string[] = [];

before(async () => {
  server = await startServer({ env: { ORION_ADMIN_TOKEN: ADMIN } });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.end();
});

async function answer(page: Page, body: string): Promise<void> {
  await page.route("**/api/admin/recomputations", (route) => route.fulfill({ contentType: "application/json", body }));
}

/** Opens the admin page; with `body` in place of what the server has. */
async function open(body?: string, options: Parameters<Browser["newPage"]>[0] = {}): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1400, height: 1000 }, ...options });
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => {
    if (/Content Security Policy/i.test(line.text())) faults.push(line.text());
  });
  await page.clock.install();
  if (body !== undefined) await answer(page, body);
  await page.goto(`${server.url}/admin.html#token=${ADMIN}`);
  await panel(page).locator(".line, [data-empty]:visible").first().waitFor();
  return page;
}

const panel = (page: Page) => page.locator("[data-section='recomputations']");
const line = (page: Page, day: string) => panel(page).locator(".line", { hasText: day });
const group = (page: Page, text: string) => panel(page).locator("tbody", { hasText: text });

test("a new server says when the first result comes", async () => {
  const page = await open();
  assert.match(await panel(page).innerText(), /Nothing was compared yet: the first result comes at 00:10 UTC/);
  assert.match(await panel(page).innerText(), /which it keeps for \d+d/);
  await page.close();
});

test("where it is off, the setting is named", async () => {
  const page = await open(JSON.stringify({ days: [], enabled: false, retention_seconds: 0 }));
  assert.match(await panel(page).innerText(), /Off: data\.tick_retention is 0/);
  await page.close();
});

test("each day says what differs, and why", async () => {
  const page = await open(GOLDEN, { colorScheme: "dark" });
  assert.match(await line(page, "2026-01-14").innerText(), /42 live, 42 recomputed\s+Failover 1\s+Gap 1\s+Late tick 1\s+Unexplained 1\s+812,345 ticks/);
  assert.match(await line(page, "2026-01-12").innerText(), /all 38 signals agree/);
  assert.match(await panel(page).innerText(), /7 live, 0 recomputed[^]*no tick of the day was kept/);
  assert.equal(await panel(page).locator("details").count(), 1, "nothing unfolds where nothing differs");
  assert.equal(await panel(page).locator("table").count(), 0);
  // By keyboard, as every reader of the page can.
  await line(page, "2026-01-14").focus();
  await page.keyboard.press("Enter");
  await group(page, "EURUSD").waitFor();
  assert.match(await group(page, "EURUSD").innerText(), /07:58:00\s+End\s+confirmed at 08:02:00\.210\s+invalidated: timeout at 08:03:00\.000\s+Late tick a tick observed at/);
  assert.match(await group(page, "XAUUSD").innerText(), /Entry\s+4045\s+4045\.5\s+Confidence\s+0\.72\s+0\.7\s+Failover/);
  assert.match(await group(page, "Only live").innerText(), /GBPUSD[^]*long, entry 1\.085[^]*–\s+Gap/);
  await panel(page).scrollIntoViewIfNeeded();
  await screenshot(page, "admin-recomputations");
  await page.close();
});

test("a text of the server stays a text", async () => {
  const day = report.days[0]!;
  const markup = "<img src=x onerror=alert(1)>";
  const page = await open(JSON.stringify({ ...report, days: [{ ...day, problem: markup, differences: [{ ...day.differences[0]!, detail: markup }] }] }));
  await line(page, day.day).click();
  assert.match(await group(page, "EURUSD").innerText(), /<img/);
  assert.match(await panel(page).locator(".problem").innerText(), /<img/);
  assert.equal(await panel(page).locator("img").count(), 0);
  await page.close();
});

test("the longest list unfolds, and stays so when the day is computed again", async () => {
  const day = report.days[0]!;
  const differences = Array.from({ length: MOST }, (_, place) => ({ ...day.differences[place % 4]!, signal: `s${place}` }));
  const counts = { ...day.counts, unexplained: 812 };
  const long = (live: number): string => JSON.stringify({ ...report, days: [{ ...day, live, counts, differences } satisfies Recomputation] });
  const page = await open(long(900));
  const isOpen = (): Promise<unknown> => page.waitForFunction(`document.querySelectorAll(".day tbody").length === ${MOST}`);
  await line(page, day.day).click();
  await isOpen();
  assert.match(await panel(page).innerText(), /The first 500 of 815 differences/);
  await page.unrouteAll({ behavior: "wait" });
  await answer(page, long(901));
  // The page asks again once a minute.
  await page.clock.fastForward(61_000);
  await line(page, "901 live").waitFor();
  await isOpen();
  await page.close();
});

test("on a phone, in light colours, nothing is wider than the screen", async () => {
  const page = await open(GOLDEN, { viewport: { width: 390, height: 844 }, colorScheme: "light" });
  await line(page, "2026-01-14").click();
  await group(page, "EURUSD").waitFor();
  assert.equal(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0);
  const wider = "[...document.querySelectorAll('.day, .day .scroll')].filter((node) => node.scrollWidth > node.clientWidth).length";
  assert.equal(await page.evaluate(wider), 0);
  await panel(page).scrollIntoViewIfNeeded();
  await screenshot(page, "admin-recomputations-phone");
  await page.close();
});

test("the pages had no errors", () => {
  assert.deepEqual(faults, []);
});
