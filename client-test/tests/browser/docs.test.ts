/** The description of the HTTP interface in headless Chromium, as the real binary serves it. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launch, screenshot } from "../support/browser.ts";
import { startServer, type OrionServer } from "../support/server.ts";

let server: OrionServer;
let browser: Browser;
let page: Page;
/** Errors of the page, and every address that it asked for. */
const faults: string[] = [];
const asked: string[] = [];

before(async () => {
  server = await startServer({});
  browser = await launch();
  page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => {
    if (/Content Security Policy/i.test(line.text())) faults.push(line.text());
  });
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(`${server.url}/docs`);
});
after(async () => {
  await browser?.close();
  await server?.end();
});

test("the routes are shown in their groups, and one can be tried out", async () => {
  for (const group of ["Signals and prices", "Operations", "ARIA PRO", "Sentio 2.0", "The bot platform"]) {
    await page.locator(".opblock-tag", { hasText: group }).waitFor();
  }
  const route = page.locator("#operations-Operations-get_health");
  await route.locator(".opblock-summary-control").click();
  await route.getByRole("button", { name: "Try it out" }).click();
  await route.getByRole("button", { name: "Execute" }).click();
  await route.locator(".live-responses-table", { hasText: "uptime_seconds" }).waitFor();
  await screenshot(page, "docs");
});

test("the page asks this server alone and breaks no rule", () => {
  assert.deepEqual(asked.filter((url) => !url.startsWith(server.url) && !url.startsWith("data:")), []);
  assert.deepEqual(faults, []);
});
