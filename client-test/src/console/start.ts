/**
 * The start page of a new server: three ways on, each with a text to copy, and each turning green when the server has seen it
 * happen. A file of its own, which the console loads only where the page is shown.
 */

import type { CreatedToken, Start } from "../messages.ts";
import { setParams } from "./address.ts";
import { ADMIN_KEY, get, token } from "./api.ts";
import { must, setData, setHidden, setText } from "./dom.ts";
import { withCopyButtons } from "./copy.ts";

const POLL_INTERVAL = 1_000;
/** What stands in the texts until there is a token. */
const NO_TOKEN = "YOUR_INGEST_TOKEN";

/** The address of this server as the browser sees it, without a slash at its end. */
const server = new URL(".", document.baseURI).href.replace(/\/$/, "");
const section = must("[data-section='start']");
const input = must<HTMLInputElement>("[data-field='start-token']", section);
const make = must<HTMLButtonElement>("[data-action='start-make']", section);
const note = must("[data-field='start-note']", section);
let timer: ReturnType<typeof setTimeout> | undefined;

/** The texts by their names. `secret` is a token for writing. */
function snippets(secret: string): Record<string, string> {
  const { origin, pathname } = new URL(`${server}/`);
  const options = [
    ...(pathname === "/" ? [] : [`path: ${JSON.stringify(`${pathname}socket.io/`)}`]),
    ...(token === undefined ? [] : [`auth: { token: ${JSON.stringify(token)} }`]),
  ];
  const second = options.length === 0 ? "" : `, { ${options.join(", ")} }`;
  const post = (route: string, body: object): string =>
    [`curl ${server}${route} \\`, `  -H 'Authorization: Bearer ${secret}' \\`, "  -H 'Content-Type: application/json' \\", `  -d '${JSON.stringify(body, null, 1)}'`].join("\n");
  return {
    dashboard: [
      'import { io } from "socket.io-client";',
      "",
      `const socket = io(${JSON.stringify(origin)}${second});`,
      'socket.on("connect", () => socket.emit("subscribe", { channels: ["signals", "prices"] }));',
      'socket.on("signal", (signal) => console.log(signal.symbol, signal.direction, signal.status));',
      'socket.on("price_update", (price) => console.log(price.symbol, price.price, price.quality));',
    ].join("\n"),
    push: post("/api/signals", { id: "my-first-signal", symbol: "EURUSD", direction: "long", entry_price: 1.085, stop_loss: 1.082, take_profits: [1.088, 1.092] }),
    price: post("/api/prices", { symbol: "EURUSD", bid: 1.08519, ask: 1.08521 }),
  };
}

function fill(): void {
  const secret = input.value.trim() === "" ? NO_TOKEN : input.value.trim();
  for (const [name, text] of Object.entries(snippets(secret))) setText(must(`[data-snippet="${name}"]`, section), text);
  // A quotation mark would end the text of the command.
  const isPlain = !/['\s]/.test(secret);
  if (!isPlain) setText(note, "A token has no quotation marks and no spaces.");
}

async function poll(): Promise<void> {
  clearTimeout(timer);
  try {
    const { dashboard_at, push_at, price_at } = await get<Start>("api/start");
    const steps = { dashboard: dashboard_at, push: push_at, price: price_at };
    for (const [name, at] of Object.entries(steps)) {
      const step = must(`[data-step="${name}"]`, section);
      setData(step, "state", at === null ? "waiting" : "done");
      setText(must(".badge", step), at === null ? "waiting" : "done");
    }
    setText(must("[data-field='start-done']", section), Object.values(steps).every((at) => at !== null) ? "All three are done: this server is in use." : "");
  } catch {
    // The header says that the server does not answer; the next try comes by itself.
  }
  if (!section.hidden) timer = setTimeout(() => void poll(), POLL_INTERVAL);
}

/** Makes a token for writing with the admin token of this tab. */
async function makeToken(admin: string): Promise<void> {
  make.disabled = true;
  const headers = { Authorization: `Bearer ${admin}`, "Content-Type": "application/json" };
  try {
    const response = await fetch("api/admin/tokens", { method: "POST", headers, body: JSON.stringify({ kind: "ingest" }) });
    const body = (await response.json().catch(() => null)) as (CreatedToken & { error?: string }) | null;
    if (!response.ok || body === null) throw new Error(body?.error ?? `the server answered ${response.status}`);
    input.value = body.secret;
    setText(note, `The token ${body.token.name} is in the commands below. It is shown only now; the admin page can revoke it.`);
    fill();
  } catch (error) {
    setText(note, error instanceof Error ? error.message : "No token was made");
  } finally {
    make.disabled = false;
  }
}

/** Shows the page in place of the console, until `leave` is called by its button. */
export function open(leave: () => void): void {
  const admin = sessionStorage.getItem(ADMIN_KEY);
  setHidden(make, admin === null);
  setHidden(must("[data-hint='start-token']", section), admin !== null);
  make.addEventListener("click", () => void makeToken(admin ?? ""));
  input.addEventListener("input", fill);
  withCopyButtons(section);
  fill();
  setHidden(section, false);
  document.body.classList.add("starting");
  must<HTMLButtonElement>("[data-action='start-leave']", section).addEventListener("click", () => {
    clearTimeout(timer);
    setHidden(section, true);
    document.body.classList.remove("starting");
    setParams({ start: undefined });
    leave();
  });
  void poll();
}
