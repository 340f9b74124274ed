/** The table of sources: the state of each, and the symbols for which it is active. */

import type { Source } from "../messages.ts";
import * as api from "./api.ts";
import { el, must, setData, setHidden, setText } from "./dom.ts";
import * as format from "./format.ts";

/** The explanation of each state. States that a newer server adds are shown without one. */
const MEANING: Record<string, string> = {
  off: "Nobody has sent anything over it",
  connecting: "Opening its connection",
  live: "Connected, prices of this moment",
  delayed: "Connected, prices are some minutes late by contract",
  stalled: "Connected, but nothing comes although its market is open",
  waiting: "Lost; it is connected again after a pause",
  refused: "The provider does not accept the key, the account or the plan",
  finished: "Has said all that it had to say",
  failed: "Will not come back",
};

class SourceRow {
  readonly #badge = el("span", { class: "badge" });
  readonly #inForce = cell("symbols", "in-force");
  readonly #standsBy = cell("symbols", "stands-by");
  readonly #age = cell("num", "age");
  readonly #rate = cell("num", "rate");
  readonly #rejected = cell("num", "rejected");
  readonly #budget = cell("num", "budget");
  readonly node: HTMLTableRowElement;

  constructor(name: string) {
    this.node = el("tr", { "data-source": name });
    const state = el("td", { "data-field": "state" }, this.#badge);
    this.node.append(el("th", { scope: "row" }, name), state, this.#inForce, this.#standsBy);
    this.node.append(this.#age, this.#rate, this.#rejected, this.#budget);
  }

  update(source: Source): void {
    const { state, retry_in, last_tick_age, ticks_per_minute, rejected, budget, symbols } = source;
    const label = retry_in === null ? state : `${state} ${format.age(retry_in)}`;
    setText(this.#badge, label);
    setData(this.#badge, "state", state);
    this.#badge.title = MEANING[state] ?? "";
    setText(this.#inForce, names(symbols.filter((one) => one.in_force)));
    setText(this.#standsBy, names(symbols.filter((one) => !one.in_force)));
    setText(this.#age, last_tick_age === null ? "–" : format.age(last_tick_age));
    setText(this.#rate, String(ticks_per_minute));
    setText(this.#rejected, String(rejected));
    setData(this.#rejected, "some", String(rejected > 0));
    setText(this.#budget, budget === null ? "–" : `${budget.used} / ${budget.limit}`);
    this.#budget.title = budget === null ? "" : `begins anew at ${budget.resets_at}`;
  }
}

export class SourceTable {
  readonly #rows = new Map<string, SourceRow>();
  readonly #body = must("[data-list='sources']");
  readonly #count = must("[data-field='source-count']");
  readonly #empty = must("[data-empty='sources']");

  async load(): Promise<void> {
    let sources: readonly Source[];
    try {
      sources = await api.sources();
    } catch {
      return; // Keeps the previous data; the next poll tries again.
    }
    const gone = new Set(this.#rows.keys());
    for (const source of sources) {
      gone.delete(source.name);
      this.#row(source.name).update(source);
    }
    for (const name of gone) {
      this.#rows.get(name)?.node.remove();
      this.#rows.delete(name);
    }
    setText(this.#count, String(this.#rows.size));
    setHidden(this.#empty, this.#rows.size > 0);
  }

  #row(name: string): SourceRow {
    let row = this.#rows.get(name);
    if (row === undefined) {
      row = new SourceRow(name);
      this.#rows.set(name, row);
      this.#body.append(row.node);
    }
    return row;
  }
}

/** Symbols with the difference from the active source, where there is one. */
function names(symbols: Source["symbols"]): string {
  const name = ({ symbol, diverged, apart }: Source["symbols"][number]) =>
    diverged && apart !== null ? `${symbol} (${format.percent(apart)})` : symbol;
  return symbols.length === 0 ? "–" : symbols.map(name).join(" ");
}

function cell(className: string, field: string): HTMLTableCellElement {
  return el("td", { class: className, "data-field": field });
}
