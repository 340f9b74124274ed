/** An installed Chromium or Chrome. Nothing is ever downloaded. */

import { existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type Page } from "playwright-core";

const PLACES = [process.env["CHROME"], "/usr/bin/google-chrome", "/usr/bin/chromium", "/usr/bin/chromium-browser"];

/** The sandbox needs a user other than root; the rest keeps the browser from calling home. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch(): Promise<Browser> {
  const executablePath = PLACES.find((path) => path !== undefined && existsSync(path));
  if (executablePath === undefined) throw new Error("no browser: install chromium, or name one in CHROME");
  return chromium.launch({ executablePath, args: FLAGS });
}

export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = fileURLToPath(new URL("../../screenshots/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: `${folder}${name}.png` });
}
