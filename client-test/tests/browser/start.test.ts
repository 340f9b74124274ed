/** A new server in headless Chromium: the link of its first start, the tokens of the admin page, and the start page, whose texts are run. */

import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launch, screenshot } from "../support/browser.ts";
import { startServer, type OrionServer } from "../support/server.ts";

/** Beside the suites, so that Node finds socket.io-client as it would beside a user's page. */
const SCRIPT = fileURLToPath(new URL("../../first-dashboard.mjs", import.meta.url));

let server: OrionServer;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let dashboard: ChildProcess | undefined;
/** Errors of the pages, and every address that they asked for. */
const faults: string[] = [];
const asked: string[] = [];
/** The secret of the token that is made in the form. */
let secret = "";

before(async () => {
  server = await startServer({ env: { ORION_FIRST_RUN: "1", ORION_INGEST_TOKEN: "", ORION_LOG: "debug" } });
  browser = await launch();
  context = await browser.newContext({ viewport: { width: 1440, height: 900 }, permissions: ["clipboard-read", "clipboard-write"] });
  page = await open(context);
});
after(async () => {
  dashboard?.kill();
  rmSync(SCRIPT, { force: true });
  await browser?.close();
  await server?.end();
});

async function open(context: BrowserContext): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => {
    // What the tests ask for in vain is told by the browser, too.
    if (line.type() === "error" && !/status of 40[01]/.test(line.text())) faults.push(line.text());
  });
  page.on("request", (request) => asked.push(request.url()));
  return page;
}

const start = (on = page) => on.locator("[data-section='start']");
const main = (on = page) => on.locator("main");
const step = (name: string, state: string) => page.locator(`[data-step="${name}"][data-state="${state}"]`);
const snippet = (name: string): Promise<string> => page.locator(`[data-snippet="${name}"]`).innerText();
const overflow = (): Promise<unknown> => page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");

/** Runs a command as it stands on the page. */
function run(command: string): string {
  const { status, stdout, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8", timeout: 30_000 });
  assert.equal(status, 0, `${command}\n${stderr}`);
  return stdout;
}

test("a new server shows three ways on, with its own address", async () => {
  await page.goto(server.url);
  await start().waitFor({ state: "visible" });
  assert.equal(await main().isVisible(), false);
  for (const name of ["dashboard", "push", "price"]) {
    await step(name, "waiting").waitFor();
    assert.ok((await snippet(name)).includes(server.url), `${name}: ${await snippet(name)}`);
  }
  assert.match(await snippet("push"), /Bearer YOUR_INGEST_TOKEN/);
  await screenshot(page, "start");
});

test("by keyboard every text can be copied", async () => {
  for (const name of ["dashboard", "push", "price", "provider"]) {
    const button = page.locator(`[data-copy="[data-snippet='${name}']"]`);
    await button.focus();
    await page.keyboard.press("Enter");
    await button.getByText("Copied").waitFor();
    assert.equal(await page.evaluate("navigator.clipboard.readText()"), await snippet(name));
  }
  await page.locator("[data-field='start-token']").focus();
  await page.keyboard.type("typed-token");
  assert.match(await snippet("push"), /Bearer typed-token'/);
  await page.locator("[data-field='start-token']").fill("");
});

test("who leaves it is not shown it again", async () => {
  const other = await browser.newContext();
  const visitor = await open(other);
  await visitor.goto(server.url);
  await start(visitor).waitFor({ state: "visible" });
  await visitor.getByRole("button", { name: "Go to the console" }).click();
  await main(visitor).waitFor({ state: "visible" });
  await visitor.waitForFunction("document.querySelector('.chart-box canvas')?.clientWidth > 0");
  await visitor.reload();
  await visitor.locator('[data-connection-state="connected"]').waitFor();
  await visitor.locator("[data-list='sources'] tr").first().waitFor({ state: "attached" });
  assert.equal(await start(visitor).isVisible(), false);
  await visitor.goto(`${server.url}/?start`);
  await start(visitor).waitFor({ state: "visible" });
  await other.close();
});

test("the link of the first start opens the admin page once", async () => {
  const link = /http:\/\/[\d.:]+\/admin\.html#code=[\w-]+/.exec(server.log)?.[0];
  assert.ok(link, `the log has the link\n${server.log}`);
  await page.goto(link);
  await page.locator('[data-connection-state="connected"]').waitFor();
  assert.equal(await page.evaluate("location.hash"), "");
  const file = `${server.dataDir}/admin-token`;
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const token = readFileSync(file, "utf8").trim();
  assert.equal(await page.evaluate("sessionStorage.getItem('orion-admin-token')"), token);
  assert.ok(!server.log.includes(token), "the token is not in the log");

  const other = await browser.newContext();
  const late = await open(other);
  await late.goto(link);
  await late.locator('[data-connection-state="refused"]').waitFor();
  assert.match(await late.locator("[data-field='fault']").innerText(), /used already/);
  await other.close();
});

test("the admin page makes a token and shows its secret once", async () => {
  const form = page.locator("[data-form='token']");
  assert.equal(await form.locator("[name='user']").isVisible(), false);
  await form.locator("[name='kind']").selectOption("user");
  await form.locator("[name='user']").fill("ana");
  await form.locator("[name='delay']").fill("soon");
  await form.locator("[name='name']").fill("ana's");
  await form.getByRole("button", { name: "Make a token" }).click();
  await page.locator("[data-field='token-note']").getByText("delay").waitFor();
  await form.locator("[name='delay']").fill("15m");
  await form.getByRole("button", { name: "Make a token" }).click();
  await page.locator("[data-table='tokens'] tr", { hasText: "user ana" }).waitFor();

  await form.locator("[name='kind']").selectOption("ingest");
  assert.equal(await form.locator("[name='delay']").isVisible(), false);
  await form.locator("[name='name']").fill("desk");
  await page.keyboard.press("Enter");
  await page.locator("[data-table='tokens'] tr", { hasText: "desk" }).waitFor();
  secret = await page.locator("[data-field='secret']").innerText();
  assert.match(secret, /^orion_ingest_[\w-]{43}$/);
  assert.equal((await server.post("/api/signals", { id: "x", status: "confirmed" }, secret)).status, 404);
  await page.locator("[data-table='tokens'] tr", { hasText: "desk" }).getByText("never").first().waitFor();
  await screenshot(page, "admin-tokens");
  await page.reload();
  await page.locator("[data-table='tokens'] tr", { hasText: "desk" }).waitFor();
  assert.ok(!(await page.content()).includes(secret), "a reload does not show it again");
});

test("the three texts work, and each step turns green by itself", async () => {
  await page.goto(server.url);
  await start().waitFor({ state: "visible" });
  await page.getByRole("button", { name: "Make one" }).click();
  await page.waitForFunction("!document.querySelector('[data-snippet=push]').innerText.includes('YOUR_INGEST_TOKEN')");

  assert.match(run(await snippet("push")), /"my-first-signal"/);
  await step("push", "done").waitFor();
  await step("price", "waiting").waitFor();
  assert.match(run(await snippet("price")), /EURUSD|accepted|success/);
  await step("price", "done").waitFor();

  // Its own page is no dashboard.
  await step("dashboard", "waiting").waitFor();
  writeFileSync(SCRIPT, await snippet("dashboard"));
  const child = spawn(process.execPath, [SCRIPT], { stdio: ["ignore", "pipe", "inherit"] });
  dashboard = child;
  let said = "";
  const priced = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (/EURUSD long/.test(said) && /EURUSD 1\.08/.test(said)) resolve();
    });
  });
  await step("dashboard", "done").waitFor();
  await priced;
  assert.match(await page.locator("[data-field='start-done']").innerText(), /All three/);
  await screenshot(page, "start-done");
});

test("on a phone nothing is wider than the screen", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  assert.equal(await overflow(), 0);
  await screenshot(page, "start-phone");
  await page.goto(`${server.url}/admin.html`);
  await page.locator("[data-table='tokens'] tr", { hasText: "desk" }).waitFor();
  assert.equal(await overflow(), 0);
  const revoke = await page.getByRole("button", { name: "Revoke desk" }).boundingBox();
  assert.ok(revoke !== null && revoke.x + revoke.width <= 390, "the button is in view");
  await page.locator("[data-section='tokens']").scrollIntoViewIfNeeded();
  await screenshot(page, "admin-tokens-phone");
  await page.setViewportSize({ width: 1440, height: 900 });
});

test("a revoked token is refused at once", async () => {
  page.once("dialog", (dialog) => void dialog.accept());
  await page.getByRole("button", { name: "Revoke desk" }).focus();
  await page.keyboard.press("Enter");
  await page.locator("[data-field='token-note']").getByText("desk was revoked").waitFor();
  assert.equal(await page.locator("[data-table='tokens'] tr", { hasText: "desk" }).count(), 0);
  assert.equal((await server.post("/api/signals", { id: "x", status: "confirmed" }, secret)).status, 401);
});

test("the pages had no errors, and no address or log has a secret", () => {
  assert.deepEqual(faults, []);
  const files = readFileSync(`${server.dataDir}/tokens.json`, "utf8") + server.log + asked.join("\n");
  assert.ok(!files.includes(secret.slice("orion_ingest_".length)), "the secret of the revoked token");
});
