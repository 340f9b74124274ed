/** The dialog with everything about one signal: its levels, its states and what became of it. */

import type { HistoryEntry, Signal } from "../messages.ts";
import * as api from "./api.ts";
import { el, must, setText } from "./dom.ts";
import * as format from "./format.ts";

export class SignalDialog {
  readonly #dialog = must<HTMLDialogElement>("[data-dialog='signal']");
  readonly #title = must("#detail-title");
  readonly #id = must("[data-field='detail-id']");
  readonly #facts = must("[data-list='detail-facts']");
  readonly #states = must("[data-list='detail-states']");
  #signal: Signal | undefined;

  /** @param onJump Called to show the signal on the chart. */
  constructor(onJump: (signal: Signal) => void) {
    must("[data-action='detail-jump']").addEventListener("click", () => {
      this.#dialog.close();
      if (this.#signal !== undefined) onJump(this.#signal);
    });
  }

  async open(id: string): Promise<void> {
    setText(this.#title, "Signal");
    setText(this.#id, id);
    this.#signal = undefined;
    this.#facts.replaceChildren();
    this.#states.replaceChildren(el("li", {}, "Loading"));
    if (!this.#dialog.open) this.#dialog.showModal();
    try {
      const { signal, history, outcome } = await api.signalHistory(id);
      if (this.#id.textContent !== id) return;
      this.#signal = signal;
      setText(this.#title, `${signal.symbol} ${signal.direction}`);
      this.#facts.replaceChildren(...facts(signal, outcome));
      this.#states.replaceChildren(...history.map((entry) => state(entry)));
    } catch (error) {
      this.#states.replaceChildren(el("li", {}, `Not available: ${String((error as Error).message)}`));
    }
  }
}

function facts(signal: Signal, outcome: api.Outcome | undefined): HTMLElement[] {
  const { symbol } = signal;
  const rows: [string, string][] = [
    ["Entry", format.price(symbol, signal.entry_price)],
    ["Stop", format.price(symbol, signal.stop_loss)],
    ...signal.take_profits.map((value, i): [string, string] => [
      signal.tp_modes[i] ?? `TP${i + 1}`,
      format.price(symbol, value),
    ]),
    ["R:R", format.ratio(signal.rr_target)],
    ["Confidence", format.confidence(signal.confidence)],
    ["Killzone", format.killzone(signal.killzone)],
    ["Setup", signal.reason],
    ["Source", signal.source],
    ...(outcome === undefined ? [] : result(outcome)),
  ];
  return rows.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value)));
}

function result(outcome: api.Outcome): [string, string][] {
  return [
    ["Result", format.outcome(outcome)],
    ["Best and worst on the way", `${format.multiple(outcome.mfe)} / ${format.multiple(outcome.mae)}`],
    ["Closed", `${outcome.closed_at.slice(0, 10)} ${format.clock(outcome.closed_at)}`],
  ];
}

function state({ status, at, reason, source }: HistoryEntry): HTMLElement {
  const what = [reason === null || reason === undefined ? "" : format.words(reason), source ? `by ${source}` : ""];
  return el(
    "li",
    { "data-status": status },
    el("span", { class: "status" }, status),
    el("time", { datetime: at }, `${at.slice(0, 10)} ${at.slice(11, 23)}`),
    el("span", { class: "why" }, what.filter((part) => part !== "").join(", ")),
  );
}
