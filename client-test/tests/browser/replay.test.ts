/** A day of the history, played again in the console: a signal that is pending at 14:31, confirmed at 14:32 and stopped at 14:39. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launch, screenshot } from "../support/browser.ts";
import type { OrionServer } from "../support/server.ts";
import { serverWithBars, walk } from "../support/stored-bars.ts";

const DAY = "2026-01-14";

let server: OrionServer;
let browser: Browser;
let page: Page;
/** Errors of the pages: scripts, warnings and what their content policy refused. */
const faults: string[] = [];

before(async () => {
  server = await serverWithBars({}, walk());
  browser = await launch();
  page = await open(`?replay=${DAY}&speed=60&at=14:25&interval=5m`);
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
  return page;
}

const seconds = (clock: string) => Date.parse(`${DAY}T${clock}Z`) / 1000;
const card = (page: Page, column: string) => page.locator(`[data-column="${column}"] [data-signal-id]`);
const state = (page: Page, wanted: string) => page.locator(`body[data-replay-state="${wanted}"]`).waitFor();
const clock = (page: Page) => page.locator("[data-field='replay-clock']").innerText();
const candles = (page: Page) => page.evaluate(() => window.orionChart!.view!.candles.data().map((bar) => ({ ...bar })) as any[]);

/** Moves the slider, and waits until the moment is shown. */
async function seek(page: Page, at: string): Promise<void> {
  const minutes = (seconds(at) - seconds("00:00")) / 60;
  await page.getByRole("slider", { name: "Time of the day" }).fill(String(minutes));
  await page.waitForFunction((at) => new URL(location.href).searchParams.get("at")?.startsWith(at), at);
  await page.waitForFunction(() => document.body.dataset["replayState"] !== "loading");
}

/** Waits until the chart shows the forming bar of a moment. */
const formed = (page: Page, time: number, close: number) =>
  page.waitForFunction(
    ([time, close]) => {
      const last = window.orionChart?.view?.candles.data().at(-1) as any;
      return last?.time === time && last.close === close;
    },
    [time, close],
  );

const close = (at: string) => walk()((seconds(at) - seconds("07:00")) / 60 - 1).close;

test("a replay is unmistakable and calls nobody", async () => {
  await state(page, "playing");
  const banner = page.getByRole("region", { name: "Replay" });
  assert.match(await banner.innerText(), /Replay\s+Wednesday,? 14 January 2026[\s\S]*All of this is past/i);
  assert.equal(await page.title(), `Replay ${DAY} – ORION console`);
  for (const hidden of ["[data-action='sound']", "[data-action='notify']", ".connection", "#tab-sources", "[data-banner='replayed']"]) {
    assert.equal(await page.locator(hidden).isVisible(), false, hidden);
  }
  const asked = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
  assert.equal(asked.some((name) => name.includes("socket.io")), false, "a replay has no live stream");
});

test("a pause holds until the next key", async () => {
  const toggle = page.getByRole("button", { name: "Pause" });
  await toggle.focus();
  await page.keyboard.press("Space");
  await state(page, "paused");
  const held = await clock(page);
  assert.match(page.url(), new RegExp(`at=${held.slice(0, 2)}`));
  // Half a second of this page would be half a minute of the day.
  const then = await page.evaluate(() => performance.now());
  await page.waitForFunction((then) => performance.now() > then + 600, then);
  assert.equal(await clock(page), held);
  await page.keyboard.press("Space");
  await state(page, "playing");
  await page.waitForFunction((held) => document.querySelector("[data-field='replay-clock']")!.textContent! > held, held);
  await page.keyboard.press("Space");
  await state(page, "paused");
});

test("the slider shows each moment as it was", async () => {
  await seek(page, "14:31");
  await card(page, "pending").waitFor();
  await formed(page, seconds("14:30"), close("14:31"));
  await page.locator("[data-history-id][data-status='pending']").waitFor();
  await seek(page, "14:33");
  await card(page, "confirmed").waitFor();
  assert.equal(await card(page, "pending").count(), 0);
  await formed(page, seconds("14:30"), close("14:33"));
  await page.waitForFunction(() => window.orionChart!.view!.drawn.some(({ mark }) => mark.ending === "open"));
  const id = (await card(page, "confirmed").getAttribute("data-signal-id"))!;
  await page.locator(`[data-history-id="${id}"]`).click();
  const dialog = page.getByRole("dialog");
  await dialog.locator("[data-list='detail-states'] li").nth(1).waitFor();
  assert.doesNotMatch(await dialog.innerText(), /Closed|Result/, "what came later is not told");
  await page.keyboard.press("Escape");
  // The recording's results are those of replayed prices.
  await page.getByRole("tab", { name: "Track record" }).click();
  await page.locator("[data-field='record-feed']").selectOption("replayed");
  await page.locator("[data-empty='record']").waitFor();
  await screenshot(page, "replay");
  await seek(page, "14:45");
  await page.locator("[data-list='record'] tr").first().waitFor();
  await page.waitForFunction(() => window.orionChart!.view!.drawn.some(({ mark }) => mark.ending === "lost"));
  await seek(page, "14:20");
  await page.waitForFunction(() => document.querySelectorAll("[data-signal-id]").length === 0);
  await formed(page, seconds("14:15"), close("14:20"));
  await page.getByRole("tab", { name: "History" }).click();
  await page.locator("[data-empty='history']").waitFor();
});

test("a replay goes on from minute to minute", async () => {
  await page.locator("[data-field='replay-speed']").selectOption("300");
  assert.match(page.url(), /speed=300/);
  // Pending is shorter than a look from here takes.
  await page.evaluate(() => {
    const states: string[] = ((window as any).states = []);
    new MutationObserver(() => {
      const state = document.querySelector<HTMLElement>("[data-signal-id]")?.dataset["status"];
      if (state !== undefined && state !== states.at(-1)) states.push(state);
    }).observe(document.querySelector(".signals")!, { subtree: true, childList: true, attributes: true });
  });
  await page.getByRole("button", { name: "Play", exact: true }).last().click();
  await state(page, "playing");
  await card(page, "confirmed").waitFor();
  assert.deepEqual(await page.evaluate(() => (window as any).states), ["pending", "confirmed"]);
  await page.waitForFunction(() => window.orionChart!.view!.drawn.some(({ mark }) => mark.label.includes("R")));
  const quality = page.locator('[data-symbol="EURUSD"] [data-field="quality"]');
  assert.equal(await quality.innerText(), "replayed");
  await page.getByRole("button", { name: "Pause" }).click();
});

test("a replay ends where the day ended", async () => {
  const fast = await open(`?replay=${DAY}&speed=3600&at=14:00&interval=5m`);
  await state(fast, "ended");
  assert.match(await fast.locator("[data-field='replay-note']").innerText(), /The end of this day/);
  assert.equal(await clock(fast), "00:00:00");
  const stored = (await server.get(`/api/bars?symbol=EURUSD&interval=5m&limit=500&before=2026-01-15T00:00:00Z`)).body.bars;
  await formed(fast, Date.parse(stored.at(-1).time) / 1000, stored.at(-1).close);
  const expected = stored.map(({ time, open, high, low, close }: any) => ({ time: Date.parse(time) / 1000, open, high, low, close }));
  assert.deepEqual(await candles(fast), expected);
  const room = await fast.evaluate(() => {
    const { chart, candles } = window.orionChart!.view!;
    return chart.timeScale().getVisibleLogicalRange()!.to - candles.data().length;
  });
  assert.ok(Math.abs(room - 8) < 1, `the newest bar stays in view while others are merged: ${room} free bars to its right`);
  const [outcome] = (await server.get("/api/outcomes?feed=replayed")).body.outcomes;
  const mark = await fast.waitForFunction((id) => window.orionChart!.view!.drawn.find(({ mark }) => mark.signal.id === id)?.mark, outcome.signal);
  const { ending, to, signal } = (await mark.jsonValue())!;
  assert.deepEqual([ending, to, signal.status], ["lost", Date.parse(outcome.closed_at) / 1000, "confirmed"]);
  const marker = await fast.evaluate((id) => window.orionChart!.view!.markers.markers().find((one) => one.id === id && "price" in one), outcome.signal);
  assert.equal(marker!.time, seconds("14:30"), "the bar of five minutes in which the entry is");
  await screenshot(fast, "replay-end");
  await fast.getByRole("button", { name: "Play again" }).click();
  await fast.waitForFunction(() => document.querySelector("[data-field='replay-clock']")!.textContent! < "14:00");
  await fast.close();
});

test("the live page leads to a day and back", async () => {
  const live = await open("?symbol=EURUSD&interval=15m#token=none");
  await live.locator('[data-connection-state="connected"]').waitFor();
  await live.locator("[data-field='replay-choice']").fill(DAY);
  await live.getByRole("button", { name: "Play" }).click();
  await state(live, "playing");
  let address = new URL(live.url());
  assert.deepEqual([address.searchParams.get("replay"), address.searchParams.get("symbol"), address.hash], [DAY, "EURUSD", "#token=none"]);
  await live.getByRole("link", { name: "Back to live" }).click();
  await live.locator('[data-connection-state="connected"]').waitFor();
  address = new URL(live.url());
  assert.deepEqual([address.searchParams.get("replay"), address.searchParams.get("interval"), address.hash], [null, "15m", "#token=none"]);
  assert.equal(await live.getByRole("region", { name: "Replay" }).count(), 0);
  await live.close();
});

test("a phone in light has the whole replay", async () => {
  const phone = await open(`?replay=${DAY}&at=14:33&speed=1`, { viewport: { width: 390, height: 844 }, colorScheme: "light", reducedMotion: "reduce", hasTouch: true });
  await card(phone, "confirmed").waitFor();
  assert.equal(await phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0);
  for (const control of [phone.getByRole("slider"), phone.getByRole("button", { name: "Pause" }), phone.locator("[data-field='replay-speed']"), phone.getByRole("link", { name: "Back to live" })]) {
    const box = (await control.boundingBox())!;
    assert.ok(box.x >= 0 && box.x + box.width <= 390, JSON.stringify(box));
  }
  await phone.waitForFunction(() => (window.orionChart?.view?.candles.data().length ?? 0) > 0);
  await screenshot(phone, "replay-phone");
  await phone.close();
});

test("a day that cannot be played says why", async () => {
  const before = faults.length;
  const future = await open("?replay=2999-01-01");
  await state(future, "refused");
  assert.match(await future.locator("[data-field='replay-note']").innerText(), /Not available: .*in the past/);
  await future.close();
  // The browser itself reports the answer 400.
  assert.ok(faults.splice(before).every((fault) => fault.includes("400")), faults.join());
  const wrong = await open("?replay=2026-02-31");
  await wrong.getByText("replay=2026-02-31 is not a day").waitFor();
  await wrong.locator('[data-connection-state="connected"]').waitFor();
  await wrong.close();
});

test("the pages had no errors", () => {
  assert.deepEqual(faults, []);
});
