/** The documents: every link and anchor resolves, on GitHub and in the site; every page is in the site's table of contents. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { documents } from "./support/readme.ts";

const ROOT = new URL("../../", import.meta.url);
const OTHERS = ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "ea/README.md", "deploy/README.md", "clients/python/README.md"];

const run = promisify(execFile);
const read = (url: URL) => readFileSync(url, "utf8");

test("every link between the documents leads somewhere", () => {
  const all = [...documents(), ...OTHERS.map((name) => ({ name, url: new URL(name, ROOT), text: read(new URL(name, ROOT)) }))];
  const dead = all.flatMap(({ name, url, text }) => {
    const links = [...text.matchAll(/\]\((?!https?:|mailto:)(.*?)\)/g)].map(([, target = ""]) => target);
    return links.filter((target) => !leads(target, url, (page) => anchors(read(page)))).map((target) => `${name}: ${target}`);
  });
  assert.deepEqual(dead, []);
});

test("every page is in the table of contents", () => {
  const listed = [...read(new URL("docs/SUMMARY.md", ROOT)).matchAll(/\]\((.*?)\)/g)].map(([, page = ""]) => page);
  const pages = readdirSync(new URL("docs/", ROOT)).filter((name) => name.endsWith(".md") && name !== "SUMMARY.md");
  assert.deepEqual([...listed].sort(), [...pages].sort());
});

test("the README stays short", () => {
  assert.ok(read(new URL("README.md", ROOT)).split("\n").length <= 120, "more than 120 lines: the rest belongs into docs/");
});

test("every link of the site leads somewhere", async (t) => {
  if (!(await run("mdbook", ["--version"]).catch(() => null))) return t.skip("mdBook is not installed (cargo install --locked mdbook)");
  const target = mkdtempSync(join(tmpdir(), "orion-docs-"));
  try {
    // Links to files outside of docs/ lead to the repository.
    const env = { ...process.env, CARGO_TARGET_DIR: target, GITHUB_REPOSITORY: "", MAKEFLAGS: "" };
    await run("make", ["docs"], { cwd: fileURLToPath(ROOT), env });
    const site = pathToFileURL(`${target}/docs/`);
    const pages = readdirSync(site).filter((name) => name.endsWith(".html") && !["404.html", "toc.html"].includes(name));
    assert.ok(pages.includes("index.html") && pages.includes("deploy.html"), pages.join(" "));
    const dead = pages.flatMap((name) => {
      const html = read(new URL(name, site));
      const links = [...html.matchAll(/ (?:href|src)="(?!https?:|mailto:|data:)(.*?)"/g)].map(([, link = ""]) => link);
      const ids = (page: URL) => new Set([...read(page).matchAll(/ id="(.*?)"/g)].map(([, id = ""]) => id));
      return links.filter((link) => !leads(link, new URL(name, site), ids)).map((link) => `${name}: ${link}`);
    });
    assert.deepEqual(dead, []);
    assert.ok(readdirSync(site).some((name) => name.startsWith("searchindex")), "it has a search index");
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
});

/** Whether a link from `from` leads to a file, or to one of the anchors that `anchorsOf` finds in it. */
function leads(link: string, from: URL, anchorsOf: (page: URL) => Set<string>): boolean {
  const [path, anchor] = link.split("#");
  const url = path ? new URL(path, from) : from;
  if (!existsSync(url)) return false;
  return !anchor || statSync(url).isDirectory() || anchorsOf(url).has(decodeURIComponent(anchor));
}

/** Of its headings, as GitHub makes them: one that is there already gets a number. */
function anchors(text: string): Set<string> {
  const seen = new Map<string, number>();
  const prose = text.replace(/^```.*?^```$/gms, "");
  return new Set(
    [...prose.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => {
      const anchor = heading.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");
      const times = seen.get(anchor) ?? 0;
      seen.set(anchor, times + 1);
      return times === 0 ? anchor : `${anchor}-${times}`;
    }),
  );
}
