/** The filters over cards, chart and history, kept in the page's address. */

import type { Signal } from "../messages.ts";
import { param, setParams } from "./address.ts";
import { el, must } from "./dom.ts";
import * as format from "./format.ts";

const NAMES = ["symbol", "killzone", "setup", "score"] as const;
type Name = (typeof NAMES)[number];

export class Filters {
  readonly #form = must<HTMLFormElement>("[data-section='filters']");
  readonly #fields: Record<Name, HTMLSelectElement | HTMLInputElement>;

  /** @param onChange Called after the user has changed a filter. */
  constructor(onChange: () => void) {
    const field = (name: Name) => must<HTMLSelectElement | HTMLInputElement>(`[data-field='filter-${name}']`, this.#form);
    this.#fields = { symbol: field("symbol"), killzone: field("killzone"), setup: field("setup"), score: field("score") };
    const killzones = Object.keys(format.KILLZONES).map((name) => el("option", { value: name }, format.killzone(name)));
    this.#fields.killzone.append(...killzones);
    for (const name of NAMES) this.#set(name, param(name) ?? "");
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("input", () => this.#changed(onChange));
    this.#form.addEventListener("reset", () => {
      for (const name of NAMES) this.#set(name, "");
      this.#changed(onChange);
    });
    this.#print();
  }

  /** Offers symbols. */
  offer(symbols: readonly string[]): void {
    const { symbol } = this.#fields;
    const chosen = symbol.value;
    const options = symbols.map((name) => el("option", { value: name }, name));
    symbol.replaceChildren(el("option", { value: "" }, "all"), ...options);
    this.#set("symbol", chosen);
  }

  get symbol(): string {
    return this.#fields.symbol.value;
  }

  /** What the server can filter by. */
  get query(): Record<string, string> {
    const { symbol, killzone } = this.#fields;
    return { ...(symbol.value === "" ? {} : { symbol: symbol.value }), ...(killzone.value === "" ? {} : { killzone: killzone.value }) };
  }

  matches({ symbol, killzone, reason, confidence }: Signal): boolean {
    const { symbol: wanted, killzone: window, setup, score } = this.#fields;
    return (
      (wanted.value === "" || wanted.value === symbol) &&
      (window.value === "" || window.value === killzone) &&
      reason.toLowerCase().includes(setup.value.trim().toLowerCase()) &&
      confidence >= Number(score.value) / 100
    );
  }

  /** A value that a list does not have is added to it, so that an address means the same before the symbols are known. */
  #set(name: Name, value: string): void {
    const field = this.#fields[name];
    if (field instanceof HTMLSelectElement && ![...field.options].some((option) => option.value === value)) {
      field.append(el("option", { value }, value));
    }
    field.value = value;
  }

  #changed(onChange: () => void): void {
    setParams(Object.fromEntries(NAMES.map((name) => [name, this.#fields[name].value])));
    this.#print();
    onChange();
  }

  #print(): void {
    for (const field of Object.values(this.#fields)) field.dataset["set"] = String(field.value !== "");
  }
}
