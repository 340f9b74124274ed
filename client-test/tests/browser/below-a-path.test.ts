/** Console and admin page in headless Chromium, below a path of a proxy. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { launch } from "../support/browser.ts";
import { PrefixProxy } from "../support/prefix-proxy.ts";
import { startServer, type OrionServer } from "../support/server.ts";

const ADMIN = "an-admin-token-for-the-browser";

let server: OrionServer;
let proxy: PrefixProxy;
let browser: Browser;

before(async () => {
  server = await startServer({ env: { ORION_ADMIN_TOKEN: ADMIN } });
  proxy = await PrefixProxy.before(server.port, "/orion/");
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await proxy?.end();
  await server?.end();
});

/** A page that notes every address it asks for. */
async function open(path: string): Promise<{ page: Awaited<ReturnType<Browser["newPage"]>>; asked: string[] }> {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("websocket", (socket) => asked.push(socket.url().replace(/^ws/, "http")));
  await page.goto(`${proxy.url}${path}`);
  return { page, asked };
}

test("the console works below a path", async () => {
  const { page, asked } = await open("");
  await page.locator('[data-connection-state="connected"]').waitFor();
  await page.locator('[data-symbol="EURUSD"] [data-field="price"]').waitFor();
  await page.getByRole("tab", { name: "Sources" }).click();
  await page.locator("[data-list='sources'] tr").first().waitFor();
  assert.deepEqual(asked.filter((url) => !url.startsWith(proxy.url)), []);
  assert.ok(asked.some((url) => url.startsWith(`${proxy.url}socket.io/`)), asked.join("\n"));
  assert.ok(asked.some((url) => url.startsWith(`${proxy.url}api/instruments`)), asked.join("\n"));
  await page.close();
});

test("the admin page works below a path", async () => {
  const { page, asked } = await open("admin.html");
  await page.locator("[data-field='token']").fill(ADMIN);
  await page.getByRole("button", { name: "Show" }).click();
  await page.locator('[data-connection-state="connected"]').waitFor();
  assert.deepEqual(asked.filter((url) => !url.startsWith(proxy.url)), []);
  await page.close();
});
