/** The README's snippets for a browser's console and for a page, in headless Chromium. */

import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { launch } from "../support/browser.ts";
import { Inbox } from "../support/inbox.ts";
import { pointedAt, snippets } from "../support/readme.ts";
import { startServer, type OrionServer } from "../support/server.ts";
import { assertPrice, assertSignal } from "../support/shapes.ts";

let server: OrionServer;
let browser: Browser;

before(async () => {
  server = await startServer({ env: { ORION_SIMULATOR__SIGNAL_INTERVAL: "500ms" } });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** A page of the server's host and what it logs, by the first argument. */
async function openPage(): Promise<{ page: Page; logged: Inbox }> {
  const page = await browser.newPage();
  const logged = new Inbox();
  page.on("console", async (line) => {
    const [first, ...rest] = await Promise.all(line.args().map((arg) => arg.jsonValue()));
    logged.push(String(first), ...rest);
  });
  await page.goto(`http://localhost:${server.port}/health`);
  return { page, logged };
}

for (const snippet of snippets()) {
  if (snippet.mark === "browser") {
    test(snippet.name, async () => {
      const { page, logged } = await openPage();
      await page.evaluate(pointedAt(snippet, server.port));
      const [, price] = await logged.next("Received:", (type) => type === "price_update");
      assertPrice(price);
      const [, signal] = await logged.next("Received:", (type) => type === "signal");
      assertSignal(signal);
    });
  }
  // What a page imports goes through a bundler, which finds the package by its name, as after `npm install`.
  if (snippet.mark === "page") {
    test(snippet.name, async () => {
      const { page, logged } = await openPage();
      const resolveDir = fileURLToPath(new URL("../..", import.meta.url));
      const stdin = { contents: pointedAt(snippet, server.port), resolveDir };
      const { outputFiles } = await build({ stdin, bundle: true, format: "iife", write: false });
      await page.evaluate(outputFiles[0]!.text);
      await logged.next("connected");
      const [price] = await logged.next("price_update");
      assertPrice(price);
      const [signal] = await logged.next("signal");
      assertSignal(signal);
    });
  }
}
