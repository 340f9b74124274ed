/** The snippets of the README and of docs/ that are marked to be run: `<!-- run: browser -->` before a fenced block. */

import { readdirSync, readFileSync } from "node:fs";

const ROOT = new URL("../../../", import.meta.url);

/** How a marked block is run; `browser` and `page` (what a page's own script imports) in tests/browser. */
export const MARKS = ["browser", "page", "websocat", "node", "node-v2", "push", "frames", "commands", "token"] as const;
export type Mark = (typeof MARKS)[number];

export interface Snippet {
  readonly mark: Mark;
  readonly code: string;
  /** For the name of a test: mark and line. */
  readonly name: string;
}

export interface Document {
  readonly name: string;
  readonly url: URL;
  readonly text: string;
}

export function documents(): Document[] {
  const pages = readdirSync(new URL("docs/", ROOT)).filter((name) => name.endsWith(".md"));
  const names = ["README.md", ...pages.map((name) => `docs/${name}`)];
  return names.map((name) => {
    const url = new URL(name, ROOT);
    return { name, url, text: readFileSync(url, "utf8") };
  });
}

export function snippets(): Snippet[] {
  return documents().flatMap(snippetsOf);
}

function snippetsOf({ name: document, text }: Document): Snippet[] {
  const marked = text.matchAll(/^<!-- run: (?<mark>.*?) -->\n(?:```\w*\n(?<code>.*?)^```$)?/gms);
  return [...marked].map(({ index, groups }) => {
    const { mark, code } = groups ?? {};
    const name = `${mark} (${document}:${text.slice(0, index).split("\n").length})`;
    if (!MARKS.some((known) => known === mark)) throw new Error(`${name}: nothing knows how to run that`);
    if (code === undefined) throw new Error(`${name}: no fenced block follows the mark`);
    return { mark: mark as Mark, code, name };
  });
}

/** The snippet as written but for the place of the server. */
export function pointedAt({ code, name }: Snippet, port: number): string {
  const pointed = code.replaceAll("localhost:8080", `localhost:${port}`).replaceAll("https://<host>", `http://localhost:${port}`);
  if (pointed === code) throw new Error(`${name} names no server: localhost:8080 or https://<host>`);
  return pointed;
}
