/** The picture of the console in the README: `make screenshot` takes it again. */

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "../support/browser.ts";
import { withPalette } from "../support/palette-png.ts";
import { MINUTES, serverWithBars } from "../support/stored-bars.ts";

const PICTURE = fileURLToPath(new URL("../../../docs/images/console.png", import.meta.url));
const AT_MOST = 150_000;
/** Where the simulator's price begins. */
const EURUSD = 1.08;

test("the README's picture is small and whole", { skip: process.env["ORION_WRITE_SCREENSHOT"] === "1" }, () => {
  const png = readFileSync(PICTURE);
  assert.deepEqual([...png.subarray(1, 4)], [...Buffer.from("PNG")]);
  assert.ok(png.length <= AT_MOST, `${png.length} bytes`);
});

test("the console is taken for the README", { skip: process.env["ORION_WRITE_SCREENSHOT"] !== "1" }, async () => {
  const env = { ORION_SOURCES: "simulator", ORION_SIMULATOR__SIGNAL_INTERVAL: "3s", ORION_SIGNAL_TTL: "40s", ORION_PUBLISH_INTERVAL: "250ms" };
  const begin = Math.floor(Date.now() / 60_000 - MINUTES) * 60_000;
  const server = await serverWithBars(env, walk(), begin);
  const browser = await launch();
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 860 }, colorScheme: "dark" });
    page.setDefaultTimeout(300_000);
    await page.goto(server.url);
    // Signals in every column, and one on the chart.
    await page.waitForFunction(() => window.orionChart?.view?.drawn.some(({ mark }) => mark.signal.status === "confirmed"));
    for (const column of ["pending", "confirmed", "invalidated"]) await page.locator(`[data-column="${column}"] [data-signal-id]`).nth(1).waitFor();
    const png = await withPalette(await browser.newPage(), await page.screenshot());
    assert.ok(png.length <= AT_MOST, `${png.length} bytes`);
    mkdirSync(dirname(PICTURE), { recursive: true });
    writeFileSync(PICTURE, png);
  } finally {
    await browser.close();
    await server.end();
  }
});

/** Minutes of a made-up past that end where the simulator begins. */
function walk(): (index: number) => { open: number; high: number; low: number; close: number } {
  let state = 7;
  const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647 - 0.5;
  const steps = Array.from({ length: MINUTES + 1 }, () => 0.0004 * (random() + random()));
  const drift = steps.reduce((sum, step) => sum + step, 0) / steps.length;
  let level = EURUSD;
  const levels = steps.map((step) => (level += step - drift));
  return (index) => {
    const [open, close] = [levels[index]!, levels[index + 1]!];
    return { open, close, high: Math.max(open, close) + 0.0001 * (random() + 0.5), low: Math.min(open, close) - 0.0001 * (random() + 0.5) };
  };
}
