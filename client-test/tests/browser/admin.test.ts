/** The admin page in headless Chromium, as the real binary serves it. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { WebSocket } from "ws";
import { launch, screenshot } from "../support/browser.ts";
import { startServer, type OrionServer } from "../support/server.ts";
import { mint, SECRET } from "../support/tokens.ts";

const ADMIN = "an-admin-token-for-the-browser";

let server: OrionServer;
let browser: Browser;
let page: Page;
let client: WebSocket;
/** Errors of the page, and every address that it asked for. */
const faults: string[] = [];
const asked: string[] = [];

before(async () => {
  server = await startServer({ env: { ORION_ADMIN_TOKEN: ADMIN, ORION_JWT_SECRET: SECRET } });
  client = new WebSocket(`${server.url.replace("http", "ws")}/ws/signals?token=${mint("ana")}`);
  await new Promise((opened, failed) => client.once("open", opened).once("error", failed));
  browser = await launch();
  page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => {
    if (/Content Security Policy/i.test(line.text())) faults.push(line.text());
  });
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(`${server.url}/admin.html`);
});
after(async () => {
  client?.terminate();
  await browser?.close();
  await server?.end();
});

const main = () => page.locator("[data-section='overview']");
const row = (table: string, text: string) => page.locator(`[data-table="${table}"] tbody tr`, { hasText: text });

async function logIn(token: string): Promise<void> {
  await page.locator("[data-field='token']").fill(token);
  await page.getByRole("button", { name: "Show" }).click();
}

test("without the admin token it shows nothing", async () => {
  assert.equal(await main().isVisible(), false);
  await logIn("a-wrong-token");
  await page.locator('[data-connection-state="refused"]').waitFor();
  assert.match(await page.locator("[data-field='fault']").innerText(), /token/i);
  assert.equal(await main().isVisible(), false);
});

test("with it, it shows who is there, what waits, the sources, the log and the rejects", async () => {
  assert.equal((await server.post("/api/signals", { id: "no-signal" })).status, 400);
  await logIn(ADMIN);
  await page.locator('[data-connection-state="connected"]').waitFor();
  await row("rejects", "validation_failed").waitFor();
  assert.match(await row("connections", "/ws/signals").innerText(), /native\s+\/ws\/signals\s+1/);
  assert.match(await row("presence", "native").innerText(), /native\s+1\s+1\s+1\s+0\s+0\s+0/);
  await row("users", "ana").waitFor();
  assert.match(await row("users", "ana").innerText(), /ana\s+1\s+1\s+1\s+0\s+0\s+0/);
  assert.equal(await page.locator("[data-field='users']").innerText(), "1");
  assert.match(await row("sources", "simulator").innerText(), /live/);
  assert.match(await row("parts", "Disk").innerText(), /ok/);
  assert.match(await row("log", "Position").innerText(), /:\d+/);
  assert.match(await row("queues", "Pipeline").innerText(), /\d/);
  assert.match(await row("slowest", "Everybody reads").or(row("slowest", "/ws/signals")).innerText(), /\w/);
  assert.match(await row("refused", "unauthorized").or(row("refused", "Nobody was refused")).innerText(), /\w/);
  await screenshot(page, "admin");
});

/** What a node of a cluster would answer; the server of this suite is none. */
test("on a node of a cluster it shows all nodes and NATS servers", async () => {
  assert.equal(await page.locator("[data-section='cluster']").isVisible(), false);
  const own = { node: "a", state: "writer", term: 7, writer: "a", stream_seq: 41, lag: 0, unready: null };
  const node = { version: "0.1.0", term: 7, writer: "a", stream_seq: 41, stream_end: 41, has_left: false, clock_offset: 0 };
  const nodes = [
    { ...node, node: "a", state: "writer" },
    { ...node, node: "b", state: "follower", stream_seq: 38, clock_offset: -12 },
    { ...node, node: "c", state: "damaged", reason: "stopped following", version: "0.0.9" },
  ];
  const followers = [["nats1", true], ["nats2", false]];
  const stream = { epoch: "e", first: 1, last: 41, bytes: 4096, replicas: 3, leader: "nats0", followers, server: "2.15.1" };
  await page.route("**/api/admin/overview", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...((await response.json()) as object), cluster: own } });
  });
  await page.route("**/api/admin/cluster", (route) => route.fulfill({ json: { node: own, nodes, stream } }));
  assert.match(await row("nodes", "a (this one)").innerText(), /Writer\s+7\s+41\s+0\s+0 ms\s+0\.1\.0/);
  assert.match(await row("nodes", "Follower").innerText(), /b\s+Follower\s+7\s+38\s+3\s+-12 ms/);
  assert.match(await row("nodes", "Damaged").innerText(), /0\.0\.9\s+stopped following/);
  assert.match(await row("stream", "nats0").innerText(), /leads/);
  assert.match(await row("stream", "nats1").innerText(), /in step/);
  assert.match(await row("stream", "nats2").innerText(), /not in step/);
  assert.match(await page.locator("[data-field='stream']").innerText(), /messages 1 to 41, 4.0 KiB, 3 copies, NATS 2.15.1/);
  await screenshot(page, "admin-cluster");
  await page.unrouteAll({ behavior: "wait" });
  await page.locator("[data-section='cluster']").waitFor({ state: "hidden" });
});

test("it goes on by itself", async () => {
  const events = () => row("log", "Events").innerText();
  const before = await events();
  await page.waitForFunction(
    (text) => [...document.querySelectorAll('[data-table="log"] tr')].every((node) => (node as HTMLElement).innerText !== text),
    before,
    { timeout: 60_000 },
  );
});

test("a button reloads the settings and says what needs a restart", async () => {
  const note = page.locator("[data-field='settings-note']");
  const said = async (button: string, text: string): Promise<void> => {
    await page.getByRole("button", { name: button, exact: true }).click();
    await note.getByText(text).waitFor();
  };
  const write = (settings: string): void => writeFileSync(`${server.dataDir}/orion.toml`, settings);
  await said("Reload", "All settings are the ones in force");
  write("heartbeat.app_ping = '20s'\nlimits.replays = 3\n[[instruments]]\nsymbol = 'ABCUSD'\nclass = 'crypto'\ndigits = 2\n");
  await said("What would change", "nothing was changed");
  assert.match(await row("settings", "limits.replays").innerText(), /8\s+3\s+by a reload/);
  await said("Reload", "2 in force, 1 after a restart");
  assert.match(await row("settings", "limits.replays").innerText(), /8\s+3\s+now/);
  assert.match(await row("settings", "heartbeat.app_ping").innerText(), /30s\s+20s\s+after a restart/);
  assert.match(await row("settings", "instruments.ABCUSD").innerText(), /–\s+\{.*"digits":2,"symbol":"ABCUSD"\}\s+now/);
  assert.match(await page.locator("[data-list='settings-warnings']").innerText(), /ORION_INGEST_TOKEN/);
  await screenshot(page, "admin-settings");
  write("limits.replays = 5000\n");
  await said("Reload", "limits.replays: must be 0 to 1024");
  assert.equal(await row("settings", "").count(), 0);
});

test("a reload stays logged in, and logging out forgets the token", async () => {
  await page.reload();
  await main().waitFor({ state: "visible" });
  await page.getByRole("button", { name: "Log out" }).click();
  assert.equal(await main().isVisible(), false);
  await page.reload();
  await page.locator("[data-form='login']").waitFor({ state: "visible" });
  assert.equal(await page.evaluate("sessionStorage.length"), 0);
});

test("on a phone nothing is wider than the screen", async () => {
  await logIn(ADMIN);
  await main().waitFor({ state: "visible" });
  await page.setViewportSize({ width: 390, height: 844 });
  assert.equal(await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0);
  await screenshot(page, "admin-phone");
});

test("the page had no errors, and no address that it asked for has the token", () => {
  assert.deepEqual(faults, []);
  assert.ok(asked.length > 3 && asked.every((address) => !address.includes(ADMIN)), asked.join("\n"));
});
