/** The description of the streams in headless Chromium, as the real binary serves it. */

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
    if (line.type() === "error" || /Content Security Policy/i.test(line.text())) faults.push(line.text());
  });
  page.on("request", (request) => asked.push(request.url()));
});
after(async () => {
  await browser?.close();
  await server?.end();
});

test("the routes lead to the streams, in their groups", async () => {
  await page.goto(`${server.url}/docs`);
  // It opens in a tab of its own.
  const opened = page.waitForEvent("popup");
  await page.locator(".info a", { hasText: "streams" }).click();
  assert.equal((await opened).url(), `${server.url}/docs/streams`);
  await page.goto(`${server.url}/docs/streams`);
  for (const group of ["ORION", "ARIA PRO", "Sentio 2.0", "The bot platform", "Socket.IO"]) {
    await page.locator("nav h3", { hasText: group }).waitFor();
  }
});

test("a message is shown with its fields, an example and what answers it", async () => {
  const stream = page.locator("section#orion_signals");
  const signal = stream.locator("details", { hasText: "A signal is new or has changed." });
  await signal.locator("summary").click();
  await signal.locator("td", { hasText: "invalidation" }).waitFor();
  assert.match(await signal.locator("pre").innerText(), /"type": "signal"/);
  const subscribe = stream.locator("details", { hasText: "Subscribes to channels" });
  await subscribe.locator("summary").click();
  assert.match(await subscribe.innerText(), /Answered by\s+subscribed, error/);
  await stream.locator("td", { hasText: "1012" }).waitFor();
  await screenshot(page, "streams");
});

test("a word is found in messages and fields", async () => {
  await page.fill("#find", "portfolio_value");
  await page.waitForFunction(() => document.querySelector<HTMLElement>("section#orion_signals")!.hidden);
  assert.equal(await page.locator("section#sentio_earnings details:visible").count(), 1);
  await page.fill("#find", "");
  await page.locator("section#orion_signals").waitFor();
});

test("the page asks this server alone and breaks no rule", () => {
  assert.deepEqual(asked.filter((url) => !url.startsWith(server.url) && !url.startsWith("data:")), []);
  assert.deepEqual(faults, []);
});
