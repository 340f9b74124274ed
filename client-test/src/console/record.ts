/** The track record: results of confirmed signals, with confidence intervals. */

import type { Stats } from "../messages.ts";
import * as api from "./api.ts";
import { el, must, setHidden, setText } from "./dom.ts";
import * as format from "./format.ts";

const REFRESH = 60_000;
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 160;
const HEIGHT = 14;

export class RecordView {
  readonly #body = must("[data-list='record']");
  readonly #empty = must("[data-empty='record']");
  readonly #note = must("[data-field='record-note']");
  readonly #by = must<HTMLSelectElement>("[data-field='record-by']");
  readonly #feed = must<HTMLSelectElement>("[data-field='record-feed']");
  #loading: AbortController | undefined;

  constructor() {
    for (const select of [this.#by, this.#feed]) select.addEventListener("change", () => void this.load());
    setInterval(() => void this.load(), REFRESH);
  }

  async load(): Promise<void> {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    const query: { feed?: string } = this.#feed.value === "" ? {} : { feed: this.#feed.value };
    try {
      const record = await api.stats(query, loading.signal);
      const by = this.#by.value as "setup" | "symbol" | "killzone" | "source" | "confidence";
      const name = by === "killzone" ? format.killzone : (key: string) => key;
      const rows = Object.entries(record[by]).map(([key, stats]) => row(name(key), stats));
      this.#body.replaceChildren(...rows, ...(record.all.signals > 0 ? [row("All", record.all)] : []));
      setHidden(this.#empty, record.all.signals > 0);
      setText(this.#note, record.all.signals > 0 && record.all.few ? "Fewer than 30 trades: the rates say next to nothing" : "");
    } catch (error) {
      if (!loading.signal.aborted) setText(this.#note, `Not available: ${String((error as Error).message)}`);
    }
  }
}

function row(name: string, stats: Stats): HTMLTableRowElement {
  const number = (value: number | null) => (value === null ? "–" : value.toFixed(2));
  const rate = stats.win_rate;
  const percent = (value: number) => `${Math.round(value * 100)}`;
  const told = rate === null ? "–" : `${percent(rate.rate)} (${percent(rate.low)}–${percent(rate.high)}) %`;
  const ends = Object.entries(stats.classes).map(([end, count]) => `${format.words(end)} ${count}`);
  if (stats.with_gap > 0) ends.push(`over a gap ${stats.with_gap}`);
  const cell = (text: string) => el("td", { class: "num" }, text);
  return el(
    "tr",
    { "data-record": name },
    el("th", { scope: "row" }, name),
    cell(String(stats.trades)),
    cell(told),
    el("td", {}, rate === null ? "" : interval(rate, stats.few)),
    cell(number(stats.expectancy_r)),
    el("td", {}, stats.expectancy_r === null ? "" : result(stats.expectancy_r)),
    cell(number(stats.profit_factor)),
    cell(number(stats.max_drawdown_r)),
    cell(number(stats.brier)),
    el("td", { class: "wide" }, ends.join(", ")),
  );
}

/** Draws a rate and its interval on a line from 0 to 100 %. */
function interval({ rate, low, high }: { rate: number; low: number; high: number }, few: boolean): SVGSVGElement {
  const x = (value: number) => (4 + value * (WIDTH - 8)).toFixed(1);
  const middle = HEIGHT / 2;
  const chart = svg(few ? "chart few" : "chart");
  chart.append(
    shape("line", { class: "axis", x1: x(0), x2: x(1), y1: `${middle}`, y2: `${middle}` }),
    shape("line", { class: "range", x1: x(low), x2: x(high), y1: `${middle}`, y2: `${middle}` }),
    shape("circle", { class: "point", cx: x(rate), cy: `${middle}`, r: "4" }),
  );
  return chart;
}

/** Draws a mean result as a bar from the middle, which is 0; the ends are −1 R and +1 R. */
function result(mean: number): SVGSVGElement {
  const middle = WIDTH / 2;
  const length = (Math.min(1, Math.abs(mean)) * (WIDTH - 8)) / 2;
  const chart = svg("chart");
  chart.append(
    shape("rect", {
      class: mean < 0 ? "loss" : "gain",
      x: `${mean < 0 ? middle - length : middle}`,
      y: "3",
      width: length.toFixed(1),
      height: `${HEIGHT - 6}`,
    }),
    shape("line", { class: "axis", x1: `${middle}`, x2: `${middle}`, y1: "0", y2: `${HEIGHT}` }),
  );
  return chart;
}

function svg(name: string): SVGSVGElement {
  const node = document.createElementNS(SVG, "svg");
  node.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  node.setAttribute("class", name);
  node.setAttribute("aria-hidden", "true");
  return node;
}

function shape(tag: "line" | "circle" | "rect", attributes: { [name: string]: string }): SVGElement {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
