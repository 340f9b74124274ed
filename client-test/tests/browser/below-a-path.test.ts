/** Console, admin page and descriptions in headless Chromium, below a path: of our own proxy, a real nginx and a real Caddy. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { launch } from "../support/browser.ts";
import { PrefixProxy } from "../support/prefix-proxy.ts";
import { BASE, RealProxy } from "../support/real-proxy.ts";
import { startServer, type OrionServer } from "../support/server.ts";

const ADMIN = "an-admin-token-for-the-browser";

let server: OrionServer;
let browser: Browser;

before(async () => {
  server = await startServer({ env: { ORION_ADMIN_TOKEN: ADMIN, ORION_BASE_PATH: BASE } });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.end();
});

/** One that keeps the path, one that removes it, and what is always at hand; the other suite has all of them. */
const PROXIES = ["our own", "nginx, keeping", "caddy, removing"] as const;

for (const name of PROXIES) {
  describe(`below a path (${name})`, () => {
    let proxy: PrefixProxy | RealProxy | string;
    before(async () => {
      proxy = name === "our own" ? await PrefixProxy.before(server.port, `${BASE}/`) : await RealProxy.before(server.port, name);
    });
    after(async () => {
      if (typeof proxy !== "string") await proxy.end();
    });

    /** A page that notes every address it asks for. */
    async function open(url: string): Promise<{ page: Page; asked: string[] }> {
      const page = await browser.newPage();
      page.setDefaultTimeout(60_000);
      const asked: string[] = [];
      page.on("request", (request) => asked.push(request.url()));
      page.on("websocket", (socket) => asked.push(socket.url().replace(/^ws/, "http")));
      await page.goto(url);
      return { page, asked };
    }

    test("the console works", async (t) => {
      if (typeof proxy === "string") return t.skip(proxy);
      const { url } = proxy;
      const { page, asked } = await open(url);
      await page.locator('[data-connection-state="connected"]').waitFor();
      await page.locator('[data-symbol="EURUSD"] [data-field="price"]').waitFor();
      await page.getByRole("tab", { name: "Sources" }).click();
      await page.locator("[data-list='sources'] tr").first().waitFor();
      assert.deepEqual(asked.filter((address) => !address.startsWith(url)), []);
      for (const path of ["socket.io/", "api/instruments"]) {
        assert.ok(asked.some((address) => address.startsWith(url + path)), asked.join("\n"));
      }
      await page.close();
    });

    test("the admin page works", async (t) => {
      if (typeof proxy === "string") return t.skip(proxy);
      const { url } = proxy;
      const { page, asked } = await open(`${url}admin.html`);
      await page.locator("[data-field='token']").fill(ADMIN);
      await page.getByRole("button", { name: "Show" }).click();
      await page.locator('[data-connection-state="connected"]').waitFor();
      assert.deepEqual(asked.filter((address) => !address.startsWith(url)), []);
      await page.close();
    });

    test("the descriptions work", async (t) => {
      if (typeof proxy === "string") return t.skip(proxy);
      const { url } = proxy;
      for (const [path, shown] of [["docs", ".opblock"], ["docs/streams", "nav h3"]] as const) {
        const { page, asked } = await open(url + path);
        await page.locator(shown).first().waitFor();
        assert.deepEqual(asked.filter((address) => !address.startsWith(url)), []);
        await page.close();
      }
    });
  });
}
