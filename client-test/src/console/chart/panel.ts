/** The chart with its controls: loads what it shows, goes on live, and leads from a signal to its place and back. */

import type { Bar, Price, Signal, TradeOutcome } from "../../messages.ts";
import { param, setParams } from "../address.ts";
import * as api from "../api.ts";
import { pastNow, serverNow } from "../clock.ts";
import type { SignalDialog } from "../detail.ts";
import { el, must, setHidden, setText } from "../dom.ts";
import * as format from "../format.ts";
import { CandleBook, INTERVALS, type Interval } from "./bars.ts";
import { markOf, type SignalMark } from "./signal-mark.ts";
import type { ChartView } from "./view.ts";

/** Bars of the first load; the detections of more cannot be asked for. */
const BARS = 500;
/** Most bars that are kept while the user scrolls back. */
const MAX_BARS = 5_000;
const SIGNALS = 300;
/** The shortest time between two drawings of live prices. */
const REDRAW = 250;
/** The server stores a minute shortly after it has ended. */
const STORED_AFTER = 1_500;
/** In a replay the layers follow its moment. */
const REPLAY_REFRESH = 5_000;
/** Most bars that come between two drawings. */
const MAX_NEW = 50;
const NO_BARS = "No bars of this symbol yet";
const SHOWN = ["killzones", "levels", "zones"] as const;
type Shown = (typeof SHOWN)[number];

export class ChartPanel {
  readonly #section = must("[data-section='chart']");
  readonly #box = must("[data-field='chart']");
  readonly #symbols = must<HTMLSelectElement>("[data-field='chart-symbol']");
  readonly #note = must("[data-field='chart-note']");
  readonly #now = must<HTMLButtonElement>("[data-action='chart-now']");
  readonly #announcer = must("[data-field='announcer']");
  #view: ChartView | undefined;
  #symbol = param("chart") ?? "";
  #interval: Interval = (param("interval") ?? "5m") in INTERVALS ? ((param("interval") ?? "5m") as Interval) : "5m";
  #shown = new Set<Shown>(SHOWN.filter((name) => (param("show") ?? "killzones,levels").split(",").includes(name)));
  #book = new CandleBook(INTERVALS[this.#interval]);
  /** Whether the newest bars are shown; else those around an older signal, which do not go on. */
  #live = true;
  #signals = new Map<string, Signal>();
  /** Those that come while others are loaded, and how some of them end. */
  #arriving: { signals: Map<string, Signal>; outcomes: Map<string, TradeOutcome> } | undefined;
  #outcomes = new Map<string, TradeOutcome>();
  #marks: readonly SignalMark[] = [];
  #selected: string | undefined;
  #loading = new AbortController();
  #older = false;
  #quote: Price | undefined;
  #observed = "";
  #redraw: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param matches Whether the filters leave a signal.
   * @param onSymbol Called with the symbol that is shown.
   */
  constructor(
    private readonly dialog: SignalDialog,
    private readonly matches: (signal: Signal) => boolean,
    private readonly onSymbol: (symbol: string) => void,
  ) {
    this.#symbols.addEventListener("change", () => void this.choose(this.#symbols.value));
    this.#now.addEventListener("click", () => void this.load());
    for (const button of this.#buttons("interval")) button.addEventListener("click", () => this.#setInterval(button.dataset["interval"] as Interval));
    for (const button of this.#buttons("show")) button.addEventListener("click", () => this.#toggle(button.dataset["show"] as Shown));
    this.#box.addEventListener("keydown", (event) => this.#key(event));
    this.#print();
    this.#everyMinute();
    window.orionChart = this;
  }

  get symbol(): string {
    return this.#symbol;
  }

  get interval(): Interval {
    return this.#interval;
  }

  /** The drawn chart with its library's own interface; undefined until it is loaded. */
  get view(): ChartView | undefined {
    return this.#view;
  }

  /** Offers symbols; chooses the first one if none is chosen. */
  offer(symbols: readonly string[]): void {
    const known = [...this.#symbols.options].map((option) => option.value);
    if (symbols.join() !== known.join()) this.#symbols.replaceChildren(...symbols.map((symbol) => el("option", { value: symbol }, symbol)));
    if (!symbols.includes(this.#symbol)) this.#symbol = symbols[0] ?? "";
    this.#symbols.value = this.#symbol;
    this.onSymbol(this.#symbol);
  }

  /** Shows another symbol. */
  async choose(symbol: string): Promise<void> {
    if (symbol === this.#symbol) return;
    this.#symbol = symbol;
    this.#symbols.value = symbol;
    this.#select(undefined);
    this.onSymbol(symbol);
    setParams({ chart: symbol });
    await this.load();
  }

  /** Loads the newest bars and everything on them. */
  async load(): Promise<void> {
    await this.#load(undefined);
  }

  /** Applies changed filters. */
  filter(): void {
    this.#drawSignals();
  }

  /** Takes a price; one of a replay has the minute that it ends. */
  price(update: Price & { readonly bar?: Bar }): void {
    if (update.symbol !== this.#symbol) return;
    this.#quote = update;
    // A price that is sent again says only that nothing is new.
    if (this.#live && update.timestamp !== this.#observed && update.quality !== "closed") {
      this.#observed = update.timestamp;
      if (this.#view !== undefined) {
        if (update.bar === undefined) this.#book.push(Date.parse(update.timestamp) / 1000, update.price);
        else this.#book.extend(update.bar);
      }
    }
    this.#redraw ??= setTimeout(() => {
      this.#redraw = undefined;
      this.#drawQuote();
    }, REDRAW);
  }

  signal(signal: Signal): void {
    if (signal.symbol !== this.#symbol) return;
    this.#signals.set(signal.id, signal);
    this.#arriving?.signals.set(signal.id, signal);
    if (signal.status === "confirmed") void this.#loadOutcomes();
    this.#drawSignals();
  }

  /** Shows how a confirmed signal has ended. */
  ended(outcome: TradeOutcome): void {
    if (outcome.symbol !== this.#symbol) return;
    this.#outcomes.set(outcome.signal, outcome);
    this.#arriving?.outcomes.set(outcome.signal, outcome);
    this.#drawSignals();
  }

  /** Shows the place of a signal. */
  async jump(signal: Signal): Promise<void> {
    await this.choose(signal.symbol);
    this.#signals.set(signal.id, signal);
    const at = Date.parse(signal.entry_time) / 1000;
    const first = this.#book.candles[0]?.time ?? Infinity;
    if (at < first || (!this.#live && this.#book.at(at) === undefined)) await this.#load(at);
    this.#drawSignals();
    this.#select(signal.id);
    setText(this.#note, this.#book.at(at) === undefined ? "No bars are stored for the time of this signal" : "");
    this.#view?.showTime(at);
    this.#section.scrollIntoView({ block: "nearest" });
  }

  /** @param around Seconds; undefined for the newest bars. */
  async #load(around: number | undefined): Promise<void> {
    if (this.#symbol === "") return;
    this.#loading.abort();
    const loading = (this.#loading = new AbortController());
    const [symbol, interval] = [this.#symbol, this.#interval];
    const arriving = (this.#arriving = { signals: new Map<string, Signal>(), outcomes: new Map<string, TradeOutcome>() });
    setText(this.#note, this.#view === undefined ? "Loading the chart" : "");
    try {
      this.#view ??= await this.#createView();
      const length = INTERVALS[interval];
      const before = around === undefined ? {} : { before: new Date((around + (BARS / 2) * length) * 1000).toISOString() };
      const query = { symbol, limit: String(SIGNALS) };
      const [bars, signals] = await Promise.all([
        api.bars({ symbol, interval, limit: String(BARS), ...before }, loading.signal),
        api.signals(query, loading.signal),
      ]);
      if (loading.signal.aborted) return;
      this.#book = new CandleBook(length, bars);
      this.#live = around === undefined;
      this.#older = bars.length === BARS;
      this.#signals = new Map([...signals.signals.map((signal): [string, Signal] => [signal.id, signal]).reverse(), ...arriving.signals]);
      this.#outcomes = arriving.outcomes;
      this.#arriving = undefined;
      setHidden(this.#now, this.#live);
      setText(this.#note, bars.length === 0 ? NO_BARS : "");
      this.#view.setQuote(undefined, undefined);
      this.#view.setBook(symbol, this.#book, true);
      this.#drawSignals();
      await Promise.all([this.#loadOutcomes(), this.#loadLayers()]);
    } catch (error) {
      if (!loading.signal.aborted) setText(this.#note, `Not available: ${String((error as Error).message)}`);
    }
  }

  async #createView(): Promise<ChartView> {
    const { ChartView } = await import("./view.ts");
    return this.#view ?? new ChartView(this.#box, (id) => this.#open(id), () => void this.#loadOlder());
  }

  async #loadOlder(): Promise<void> {
    const first = this.#book.candles[0];
    if (!this.#older || first === undefined || this.#book.candles.length >= MAX_BARS) return;
    this.#older = false;
    const [book, symbol, interval] = [this.#book, this.#symbol, this.#interval];
    const before = new Date(first.time * 1000).toISOString();
    const bars = await api.bars({ symbol, interval, limit: String(BARS), before }, this.#loading.signal).catch(() => []);
    if (book !== this.#book || bars.length === 0) return;
    this.#older = bars.length === BARS;
    book.prepend(bars);
    this.#view?.setBook(symbol, book, false);
    this.#drawSignals();
    await this.#loadKillzones();
  }

  async #loadOutcomes(): Promise<void> {
    const symbol = this.#symbol;
    const outcomes = await api.outcomesOf(symbol, SIGNALS, this.#loading.signal).catch(() => []);
    if (symbol !== this.#symbol || outcomes.length === 0) return;
    // One that came meanwhile stays: an outcome is final.
    for (const outcome of outcomes) this.#outcomes.set(outcome.signal, outcome);
    this.#drawSignals();
  }

  async #loadLayers(): Promise<void> {
    await Promise.all([this.#loadKillzones(), this.#loadDetections()]);
  }

  async #loadKillzones(): Promise<void> {
    const [first, last] = [this.#book.candles[0], this.#book.last];
    if (first === undefined || last === undefined || !this.#shown.has("killzones")) return this.#view?.setKillzones([]);
    const day = 86_400;
    // The longest span that the server lists.
    const from = Math.max(first.time, last.time - 60 * day);
    const at = (time: number) => new Date(time * 1000).toISOString();
    const windows = await api.killzones({ from: at(from), to: at(last.time + day) }, this.#loading.signal).catch(() => []);
    if (last.time <= (this.#book.last?.time ?? 0)) this.#view?.setKillzones(windows);
  }

  async #loadDetections(): Promise<void> {
    const candles = this.#book.candles;
    const [first, last] = [candles[Math.max(0, candles.length - BARS)], candles.at(-1)];
    const [zones, levels] = [this.#shown.has("zones"), this.#shown.has("levels")];
    const [book, symbol, interval] = [this.#book, this.#symbol, this.#interval];
    if (first === undefined || last === undefined || !(zones || levels)) {
      this.#view?.setZones([]);
      this.#view?.setLevels([]);
      return;
    }
    const at = (time: number) => new Date(time * 1000).toISOString();
    // Nothing is known of bars that are not closed.
    const to = this.#live ? {} : { to: at(last.time + INTERVALS[interval]) };
    const found = await api.detections({ symbol, interval, from: at(first.time), ...to }, this.#loading.signal).catch(() => undefined);
    if (book !== this.#book || found === undefined) return;
    this.#view?.setZones(zones ? found.detections : []);
    this.#view?.setLevels(levels ? found.levels : []);
  }

  #everyMinute(): void {
    const minute = 60_000;
    const wait = minute - (serverNow() % minute) + STORED_AFTER;
    setTimeout(() => {
      this.#everyMinute();
      void this.#refresh();
    }, pastNow() === undefined ? wait : REPLAY_REFRESH);
  }

  /** Takes over what the server has stored since. */
  async #refresh(): Promise<void> {
    if (this.#view === undefined || !this.#live || document.hidden) return;
    const [book, symbol, interval] = [this.#book, this.#symbol, this.#interval];
    // A page in the background has missed some.
    const missed = (serverNow() / 1000 - (book.last?.time ?? 0)) / book.length;
    const limit = String(Math.min(BARS, Math.max(3, Math.ceil(missed) + 2)));
    const bars = await api.bars({ symbol, interval, limit }, this.#loading.signal).catch(() => []);
    if (book !== this.#book || bars.length === 0) return;
    const isFirst = book.candles.length === 0;
    book.merge(bars);
    this.#view.setBook(symbol, book, isFirst);
    setText(this.#note, "");
    if (this.#marks.some(({ ending }) => ending === "open")) await this.#loadOutcomes();
    this.#drawSignals();
    await this.#loadLayers();
  }

  #drawQuote(): void {
    const last = this.#book.last;
    if (this.#view === undefined || this.#quote === undefined) return;
    if (this.#live && last !== undefined && !document.hidden) {
      const drawn = Number(this.#view.candles.data().at(-1)?.time ?? 0);
      // A fast replay opens several bars between two drawings.
      for (const candle of this.#book.candles.slice(-MAX_NEW)) if (candle.time >= drawn) this.#view.update(candle);
      if (this.#note.textContent === NO_BARS) setText(this.#note, "");
    }
    this.#view.setQuote(this.#quote.bid, this.#quote.ask);
  }

  #drawSignals(): void {
    const now = serverNow() / 1000;
    const signals = [...this.#signals.values()].filter((signal) => this.matches(signal) || signal.id === this.#selected);
    const marks = signals.map((signal) => markOf(signal, this.#outcomes.get(signal.id), now));
    this.#marks = marks.sort((a, b) => a.from - b.from);
    this.#view?.setSignals(this.#marks);
  }

  #select(id: string | undefined): void {
    this.#selected = id;
    this.#view?.select(id);
  }

  #open(id: string): void {
    this.#select(id);
    void this.dialog.open(id);
  }

  /** Selects the next signal in time, or the previous one. */
  #step(by: 1 | -1): void {
    const marks = this.#marks.filter(({ from }) => this.#book.at(from) !== undefined);
    const place = marks.findIndex(({ signal }) => signal.id === this.#selected);
    const next = place < 0 ? marks.at(by < 0 ? -1 : 0) : marks[place + by];
    if (next === undefined) return;
    this.#select(next.signal.id);
    this.#view?.showTime(next.from);
    const { direction, entry_price, symbol } = next.signal;
    setText(this.#announcer, `${symbol} ${direction} at ${format.price(symbol, entry_price)}, ${next.label}`);
  }

  #key(event: KeyboardEvent): void {
    const view = this.#view;
    if (view === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const interval = Object.keys(INTERVALS)[Number(event.key) - 1] as Interval | undefined;
    const actions: Record<string, () => void> = {
      ArrowLeft: () => view.scroll(-0.1),
      ArrowRight: () => view.scroll(0.1),
      PageUp: () => view.scroll(-0.9),
      PageDown: () => view.scroll(0.9),
      "+": () => view.zoom(0.8),
      "-": () => view.zoom(1.25),
      End: () => (this.#live ? view.showNow() : void this.load()),
      n: () => this.#step(1),
      p: () => this.#step(-1),
      Enter: () => this.#selected !== undefined && this.#open(this.#selected),
      Escape: () => this.#select(undefined),
      ...(interval === undefined ? {} : { [event.key]: () => this.#setInterval(interval) }),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  }

  #setInterval(interval: Interval): void {
    if (interval === this.#interval) return;
    this.#interval = interval;
    setParams({ interval });
    this.#print();
    void this.load();
  }

  #toggle(name: Shown): void {
    if (!this.#shown.delete(name)) this.#shown.add(name);
    const shown = SHOWN.filter((one) => this.#shown.has(one)).join(",");
    setParams({ show: shown === "killzones,levels" ? undefined : shown === "" ? "none" : shown });
    this.#print();
    void this.#loadLayers();
  }

  #print(): void {
    for (const button of this.#buttons("interval")) button.ariaPressed = String(button.dataset["interval"] === this.#interval);
    for (const button of this.#buttons("show")) button.ariaPressed = String(this.#shown.has(button.dataset["show"] as Shown));
  }

  #buttons(name: "interval" | "show"): NodeListOf<HTMLButtonElement> {
    return this.#section.querySelectorAll(`button[data-${name}]`);
  }
}

declare global {
  interface Window {
    /** The chart, for tests and for the browser's console; `docs/console.md` describes it. */
    orionChart?: ChartPanel;
  }
}
