/** The track record in pictures: the page to share, with records that this suite makes up, and without any. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launch, screenshot } from "../support/browser.ts";
import { PUSH_ONLY, startServer, type OrionServer } from "../support/server.ts";

let server: OrionServer;
let browser: Browser;
/** Errors of the pages: scripts, and what their content policy refused. */
const faults: string[] = [];

before(async () => {
  server = await startServer({ env: PUSH_ONLY });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** Four trades of +2, −1, −1, +1 R, again and again; one in five is not filled. */
const RESULTS = [2, -1, -1, 1, null];
const outcomes = Array.from({ length: 50 }, (_, place) => {
  const r = RESULTS[place % 5]!;
  const time = (hours: number) => new Date(Date.UTC(2026, 0, 5, hours)).toISOString();
  return {
    signal: `s${place}`, symbol: "EURUSD", direction: "long", setup: "MSS+FVG", killzone: "london", source: "push", confidence: 0.72, feed: "live",
    entry: 1.085, stop: 1.082, fill: 1.085, confirmed_at: time(place), closed_at: time(place + 1),
    class: r === null ? "not_filled" : r > 0 ? "targets" : "stop", targets_hit: r !== null && r > 0 ? 1 : 0, targets: 2, r: r ?? 0, mfe: Math.max(r ?? 0, 0.4), mae: Math.min(r ?? 0, -0.3), gap_seconds: 0,
  };
});
const stats = {
  signals: 50, trades: 40, few: false, classes: { stop: 20, targets: 20, not_filled: 10 }, with_gap: 0, win_rate: { rate: 0.5, low: 0.35, high: 0.65 },
  first_target_rate: { rate: 0.5, low: 0.35, high: 0.65 }, expectancy_r: 0.25, total_r: 10, profit_factor: 1.5, max_drawdown_r: 2, mean_mfe: 1, mean_mae: -0.7, brier: 0.3,
};
const groups = { symbol: { EURUSD: stats }, setup: { "MSS+FVG": stats }, killzone: { london: stats }, source: { push: stats }, confidence: { "0.7": stats } };

async function open(path: string, options: Parameters<Browser["newPage"]>[0] = {}, made = true): Promise<{ page: Page; asked: string[] }> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1000 }, ...options });
  page.setDefaultTimeout(30_000);
  const asked: string[] = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => {
    if (line.type() === "error" || line.type() === "warning") faults.push(line.text());
  });
  page.on("request", (request) => asked.push(request.url().slice(server.url.length)));
  if (made) {
    await page.route("**/api/stats*", (route) => route.fulfill({ json: { feeds: ["live"], note: "", open: 3, all: stats, ...groups } }));
    await page.route("**/api/outcomes*", (route) => route.fulfill({ json: { feeds: ["live"], total: 50, observed_since: "2026-01-05T00:00:00.000Z", outcomes } }));
  }
  await page.goto(`${server.url}/${path}`);
  return { page, asked };
}

const picture = (page: Page, name: string) => page.locator(`[data-plot="${name}"]`).getByRole("img");

test("the page shows figures, pictures and groups", async () => {
  const { page } = await open("record.html");
  await page.getByText("Observed since 2026-01-05: 50 records").waitFor();
  const figures = (await page.locator("[data-list='figures']").innerText()).replaceAll(/\s+/g, " ");
  assert.match(figures, /Trades 40 Open 3 Win rate, 95 % 50 \(35–65\) % Mean result \+0\.25 R Sum of results \+10\.00 R Greatest drawdown 2\.00 R/);
  assert.equal(await picture(page, "curve").getAttribute("aria-label"), "Sum of the results of 40 trades: +10.00 R; greatest drawdown 2 R");
  assert.equal(await picture(page, "excursions").locator("circle").count(), 40, "a signal without a position is no point");
  for (const [list, name] of [["setup", "MSS+FVG"], ["killzone", "London"], ["source", "push"]] as const) {
    assert.match(await page.locator(`[data-list="${list}"] [data-record="${name}"]`).innerText(), /50 \(35–65\) %/);
  }
  await screenshot(page, "record");
  await page.close();
});

test("the pictures are drawn to scale", async () => {
  const { page } = await open("record.html");
  await picture(page, "calibration").waitFor();
  const numbers = (selector: string, ...names: string[]) =>
    page.locator(selector).first().evaluate((node, names) => names.map((name) => Number(node.getAttribute(name))), names);
  const drawn = {
    ideal: await numbers('[data-plot="calibration"] .ideal', "x1", "x2", "y1", "y2"),
    point: await numbers('[data-plot="calibration"] .point', "cx", "cy"),
    range: await numbers('[data-plot="calibration"] .range', "y1", "y2"),
    curve: (await page.locator('[data-plot="curve"] .curve').getAttribute("d"))!.slice(1).split("L").map((pair) => pair.split(",").map(Number) as [number, number]),
  };
  const [x1, x2, y1, y2] = drawn.ideal as [number, number, number, number];
  const share = (value: number, from: number, to: number) => +((value - from) / (to - from)).toFixed(2);
  assert.deepEqual([share(drawn.point[0]!, x1, x2), share(drawn.point[1]!, y1, y2)], [0.75, 0.5], "the middle of the tenth, and the rate");
  assert.deepEqual(drawn.range.map((at) => share(at, y1, y2)), [0.35, 0.65]);
  const heights = drawn.curve.map(([, y]) => y);
  const unit = (heights[0]! - heights[1]!) / 2;
  assert.equal(heights.length, 41);
  assert.deepEqual(heights.slice(0, 6).map((y) => Math.round((heights[0]! - y) / unit)), [0, 2, 1, 0, 1, 3], "the sum after each trade");
  assert.equal(Math.round((heights[0]! - heights.at(-1)!) / unit), 10);
  await page.close();
});

test("what is chosen is in the address and in the question", async () => {
  const { page, asked } = await open("record.html?symbol=EURUSD");
  await page.getByText("Observed since").waitFor();
  await page.getByLabel("Prices").selectOption("replayed");
  await page.waitForFunction(() => location.search === "?symbol=EURUSD&feed=replayed");
  await page.waitForFunction(() => performance.getEntriesByType("resource").some(({ name }) => name.endsWith("/api/stats?symbol=EURUSD&feed=replayed")));
  assert.ok(asked.includes("/api/stats?symbol=EURUSD"), asked.join("\n"));
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download the records" }).click();
  assert.equal((await saved).suggestedFilename(), "orion-records.json");
  await page.close();
});

test("the page shows the key of the log and keeps a checkpoint", async () => {
  const { page } = await open("record.html");
  const [key, checkpoint] = await Promise.all(["key", "checkpoint"].map(async (name) => (await fetch(`${server.url}/log/${name}`)).text()));
  await page.getByText(/: \d+ entries, root /).waitFor();
  assert.equal(await page.locator("[data-field='log-key']").innerText(), key!.trim());
  const [name, size, root] = checkpoint!.split("\n");
  assert.equal(await page.locator("[data-field='checkpoint']").innerText(), `${name}: ${size} entries, root ${root}`);
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download the checkpoint" }).click();
  const file = await saved;
  assert.equal(file.suggestedFilename(), "orion-checkpoint.txt");
  assert.equal(await readFile((await file.path())!, "utf8"), checkpoint);
  assert.equal(await page.getByLabel("Command that follows the log").innerText(), `orion-server witness ${server.url}`);
  assert.match(await page.getByLabel("Commands on the server").innerText(), /orion-server verify --checkpoint orion-checkpoint\.txt/);
  await page.close();
});

test("without records it says so", async () => {
  const { page } = await open("record.html", {}, false);
  await page.getByText("No confirmed signal has come to its end yet").waitFor();
  await page.getByText("No trade has ended yet").first().waitFor();
  await page.close();
});

test("the console's tab has the same pictures", async () => {
  const { page } = await open("?tab=record");
  await picture(page, "curve").waitFor();
  assert.equal(await page.getByText("Observed since 2026-01-05: 50 records").count(), 1);
  assert.equal(await page.getByRole("link", { name: "Page to share" }).getAttribute("href"), "record.html");
  await screenshot(page, "record-tab");
  await page.close();
});

test("a phone in light shows it without a wider page", async () => {
  const { page } = await open("record.html", { viewport: { width: 390, height: 844 }, colorScheme: "light" });
  await picture(page, "curve").waitFor();
  assert.equal(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0);
  await screenshot(page, "record-phone");
  await page.close();
});

test("the pages had no errors", () => {
  assert.deepEqual(faults, []);
});
