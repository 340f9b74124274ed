/** "Live against backtest" on the admin page: the last days, each with what a backtest over its ticks has otherwise. */

import type { Recomputation, Recomputations, SignalDifference } from "../messages.ts";
import { el, must, setHidden, setText } from "./dom.ts";
import * as format from "./format.ts";
import { agrees, differenceCount, differingValues, emptyReason, publishedAt, reasons, signalsOf } from "./recomputed.ts";
import type { Ask } from "./tokens.ts";

/** There is a new day once a night: the list is not worth a request with every poll. */
const LOAD_INTERVAL = 60_000;
const HEADS = ["Signal", "What differs", "Live", "Recomputed"];

export class RecomputationsPanel {
  readonly #root = must("[data-section='recomputations']");
  readonly #note = must("[data-field='recomputations-note']", this.#root);
  readonly #empty = must("[data-empty='recomputations']", this.#root);
  readonly #list = must("[data-list='recomputations']", this.#root);
  /** The days as they are shown. */
  #shown = "";
  /** When the list is loaded again, in milliseconds since the epoch. */
  #due = 0;
  /** Number of the last request. Answers to earlier requests are discarded. */
  #requests = 0;

  constructor(private readonly ask: Ask) {}

  /** Loads the days, if the last time is long enough ago. */
  async load(): Promise<void> {
    if (Date.now() < this.#due) return;
    this.#due = Date.now() + LOAD_INTERVAL;
    const mine = ++this.#requests;
    try {
      const report = await this.ask<Recomputations>("api/admin/recomputations");
      if (mine === this.#requests) this.#show(report);
    } catch (error) {
      if (mine !== this.#requests) return;
      this.#due = 0;
      setText(this.#note, `Not available: ${error instanceof Error ? error.message : "the server did not answer"}`);
    }
  }

  /** Forgets everything that is shown. */
  clear(): void {
    this.#requests++;
    this.#due = 0;
    this.#shown = "";
    this.#list.replaceChildren();
    setText(this.#note, "");
    setHidden(this.#empty, true);
  }

  #show(report: Recomputations): void {
    const kept = report.enabled ? `, which it keeps for ${format.age(report.retention_seconds * 1000)}` : "";
    setText(this.#note, `Each night the server computes the day's signals again from its ticks${kept}`);
    const empty = emptyReason(report);
    setText(this.#empty, empty);
    setHidden(this.#empty, empty === "");
    const now = JSON.stringify(report.days);
    if (now === this.#shown) return;
    this.#shown = now;
    // What is unfolded stays so.
    const open = new Set([...this.#list.querySelectorAll<HTMLElement>("details[open]")].map((node) => node.dataset["day"]));
    this.#list.replaceChildren(...report.days.map((day) => dayNode(day, open.has(day.day))));
  }
}

/** The line of a day, which unfolds to its differences if it has some. */
function dayNode(day: Recomputation, isOpen: boolean): HTMLElement {
  const line = [
    el("time", { datetime: day.day }, day.day),
    agrees(day) ? badge(signalsOf(day), "live") : el("span", {}, signalsOf(day)),
    ...reasons(day).map(([reason, count]) => reasonBadge(reason, `${format.words(reason)} ${count}`)),
    el("span", { class: "made" }, `${day.ticks.toLocaleString("en-US")} ticks`),
  ];
  const problem = day.problem === null ? [] : [el("p", { class: "problem" }, day.problem)];
  if (day.differences.length === 0) return el("div", { class: "day", "data-day": day.day }, el("p", { class: "line" }, ...line), ...problem);
  const details = el("details", { "data-day": day.day }, el("summary", { class: "line" }, ...line));
  details.open = isOpen;
  // Only what is unfolded is built: a day may list 500 differences.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(...differences(day));
  });
  return el("div", { class: "day" }, details, ...problem);
}

function differences(day: Recomputation): HTMLElement[] {
  const head = el("tr", {}, ...HEADS.map((title) => el("th", { scope: "col" }, title)));
  const label = `Differences of ${day.day}`;
  const table = el("table", { "aria-label": label }, el("thead", {}, head), ...day.differences.map(differenceRows));
  const [total, listed] = [differenceCount(day), day.differences.length];
  const cut = total > listed ? [el("p", { class: "hint" }, `The first ${listed} of ${total} differences`)] : [];
  const made = el("p", { class: "hint" }, `Computed on ${day.computed_at.slice(0, 10)} at ${format.clock(day.computed_at)}. Times are UTC.`);
  return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table), ...cut, made];
}

/** A difference is a group of rows: the values that differ, and below them why. */
function differenceRows(difference: SignalDifference): HTMLElement {
  const { symbol, signal, reason, detail } = difference;
  const values = differingValues(difference);
  const at = publishedAt(difference);
  const of = el("th", { scope: "rowgroup", rowspan: String(values.length + 1), title: `Signal ${signal}` }, symbol, el("time", { datetime: at }, format.clock(at)));
  const rows = values.map(({ what, live, recomputed }) => el("tr", {}, el("td", {}, what), el("td", {}, live), el("td", {}, recomputed)));
  rows[0]?.prepend(of);
  const why = el("td", { class: "why", colspan: "3" }, reasonBadge(reason, format.words(reason)), " ", detail);
  return el("tbody", {}, ...rows, el("tr", {}, why));
}

function reasonBadge(reason: string, text: string): HTMLElement {
  return badge(text, reason === "unexplained" ? "failed" : "waiting");
}

function badge(text: string, state: string): HTMLElement {
  return el("span", { class: "badge", "data-state": state }, text);
}
