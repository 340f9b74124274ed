/** The list of past signals, page by page. */

import type { Signal, SignalPage } from "../messages.ts";
import * as api from "./api.ts";
import { serverNow } from "./clock.ts";
import type { SignalDialog } from "./detail.ts";
import { el, must, setHidden, setText } from "./dom.ts";
import type { Filters } from "./filters.ts";
import * as format from "./format.ts";

const PAGE = "50";

/** Delay of the refresh after a live signal, so that a burst refreshes the first page only once. */
const REFRESH_DELAY = 1_000;

export class History {
  readonly #body = must("[data-list='history']");
  readonly #empty = must("[data-empty='history']");
  readonly #note = must("[data-field='history-note']");
  readonly #page = must("[data-field='history-page']");
  readonly #newer = must<HTMLButtonElement>("[data-action='newer']");
  readonly #older = must<HTMLButtonElement>("[data-action='older']");
  readonly #status = must<HTMLSelectElement>("[data-field='history-status']");
  /** The `before` cursors of the visited pages; the first page has none. */
  #trail: (string | null)[] = [null];
  #next: string | null = null;
  #shown: readonly Signal[] = [];
  #loading: AbortController | undefined;
  #refresh: ReturnType<typeof setTimeout> | undefined;

  /** @param onShown Called after the shown signals change. */
  constructor(
    private readonly dialog: SignalDialog,
    private readonly filters: Filters,
    private readonly onShown: () => void,
  ) {
    this.#newer.addEventListener("click", () => this.#go(this.#trail.slice(0, -1)));
    this.#older.addEventListener("click", () => this.#go([...this.#trail, this.#next]));
    this.#status.addEventListener("change", () => this.#go([null]));
    this.#body.addEventListener("click", (event) => {
      const row = (event.target as Element).closest<HTMLElement>("[data-history-id]");
      if (row?.dataset["historyId"] !== undefined) void this.dialog.open(row.dataset["historyId"]);
    });
  }

  /** Schedules a refresh of the first page. */
  touch(): void {
    if (this.#trail.length > 1 || this.#refresh !== undefined) return;
    this.#refresh = setTimeout(() => {
      this.#refresh = undefined;
      if (this.#trail.length === 1) void this.load();
    }, REFRESH_DELAY);
  }

  shows(origin: ReturnType<typeof format.origin>): boolean {
    return this.#shown.some((signal) => format.origin(signal) === origin);
  }

  /** Updates the prices after the instruments are loaded. */
  refresh(): void {
    this.#print();
  }

  /** Applies changed filters, from the first page on. */
  filter(): void {
    this.#go([null]);
  }

  async load(): Promise<void> {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    const query: Record<string, string> = { limit: PAGE, ...this.filters.query };
    const before = this.#trail.at(-1);
    if (before !== null && before !== undefined) query["before"] = before;
    if (this.#status.value !== "") query["status"] = this.#status.value;
    try {
      const page = await api.signals(query, loading.signal);
      this.#show(page);
    } catch (error) {
      if (!loading.signal.aborted) setText(this.#note, `Not available: ${String((error as Error).message)}`);
    }
  }

  #go(trail: (string | null)[]): void {
    this.#trail = trail.length === 0 ? [null] : trail;
    void this.load();
  }

  #show(page: SignalPage): void {
    this.#shown = page.signals;
    this.#next = page.next;
    setText(this.#page, String(this.#trail.length));
    this.#newer.disabled = this.#trail.length === 1;
    this.#older.disabled = page.next === null;
    this.#print();
    this.onShown();
  }

  #print(): void {
    const now = serverNow();
    const known = new Map([...this.#body.children].map((row) => [(row as HTMLElement).dataset["historyId"], row]));
    // The server does not filter by setup and score.
    const left = this.#shown.filter((signal) => this.filters.matches(signal));
    const hidden = this.#shown.length - left.length;
    setText(this.#note, hidden === 0 ? "" : `${hidden} of this page do not match setup or score`);
    const rows = left.map((signal) => {
      const fresh = historyRow(signal, now);
      const row = known.get(signal.id);
      if (row === undefined) return fresh;
      // Rows with the same content are reused, which keeps the focus.
      return row.isEqualNode(fresh) ? row : fresh;
    });
    if (rows.some((row, i) => this.#body.children[i] !== row) || rows.length !== this.#body.childElementCount) {
      this.#body.replaceChildren(...rows);
    }
    setHidden(this.#empty, rows.length > 0);
  }
}

function historyRow(signal: Signal, now: number): HTMLElement {
  const { id, symbol, status, direction } = signal;
  const ended = status === "pending" ? "–" : format.dayAndClock(signal.updated_at, now);
  const open = el("button", { type: "button", class: "open", title: "Show the states of this signal" });
  open.append(format.dayAndClock(signal.entry_time, now));
  return el(
    "tr",
    { "data-history-id": id, "data-status": status, "data-direction": direction },
    el("td", {}, open),
    el("td", {}, ended),
    el("th", { scope: "row" }, symbol),
    el("td", {}, el("span", { class: "direction" }, direction)),
    el("td", {}, el("span", { class: "status" }, status)),
    el("td", {}, signal.invalidation === null ? "–" : format.words(signal.invalidation)),
    el("td", { class: "num" }, format.price(symbol, signal.entry_price)),
    el("td", { class: "wide" }, signal.reason),
    el("td", {}, el("span", { class: "badge", "data-quality": format.origin(signal) }, signal.source)),
  );
}
