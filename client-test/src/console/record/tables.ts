/** A group of the track record as a row of a table: rates with their intervals, and how its trades ended. */

import type { Stats } from "../../messages.ts";
import type { Outcomes } from "../api.ts";
import { el } from "../dom.ts";
import * as format from "../format.ts";
import { shape } from "./plot.ts";

/** Records that are drawn, the last ones. */
export const RECORDS = "5000";
const WIDTH = 160;
const HEIGHT = 14;

/** The heads of the columns. */
export function heads(): HTMLTableRowElement {
  const head = (text: string, name = "") => el("th", { scope: "col", ...(name === "" ? {} : { class: name }) }, text);
  const unseen = (text: string) => el("th", { scope: "col" }, el("span", { class: "unseen" }, text));
  return el(
    "tr",
    {},
    unseen("Group"),
    head("Trades", "num"),
    head("Win rate, 95 %", "num"),
    unseen("Interval from 0 to 100 %"),
    head("Mean R", "num"),
    unseen("From −1 R to +1 R"),
    head("Profit factor", "num"),
    head("Drawdown R", "num"),
    head("Brier", "num"),
    head("Ends", "wide"),
  );
}

/** The rows of the groups, by the name of what they are grouped by. */
export function groups(by: string, stats: Readonly<Record<string, Stats>>): HTMLTableRowElement[] {
  const name = by === "killzone" ? format.killzone : (key: string) => key;
  return Object.entries(stats).map(([key, group]) => row(name(key), group));
}

/** Since when, and how much. */
export function observedSince({ observed_since, total, outcomes }: Outcomes): string {
  if (observed_since === null) return "";
  const part = total > outcomes.length ? `, the last ${outcomes.length} drawn` : "";
  return `Observed since ${observed_since.slice(0, 10)}: ${total} ${total === 1 ? "record" : "records"}${part}`;
}

/** A rate with its interval: `25 (5–60) %`. */
export function told(rate: Stats["win_rate"]): string {
  const percent = (value: number) => `${Math.round(value * 100)}`;
  return rate === null ? "–" : `${percent(rate.rate)} (${percent(rate.low)}–${percent(rate.high)}) %`;
}

export function row(name: string, stats: Stats): HTMLTableRowElement {
  const number = (value: number | null) => (value === null ? "–" : value.toFixed(2));
  const rate = stats.win_rate;
  const ends = Object.entries(stats.classes).map(([end, count]) => `${format.words(end)} ${count}`);
  if (stats.with_gap > 0) ends.push(`over a gap ${stats.with_gap}`);
  const cell = (text: string) => el("td", { class: "num" }, text);
  return el(
    "tr",
    { "data-record": name },
    el("th", { scope: "row" }, name),
    cell(String(stats.trades)),
    cell(told(rate)),
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
  const chart = svg(few ? "small few" : "small");
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
  const chart = svg("small");
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
  const node = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  node.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  node.setAttribute("class", name);
  node.setAttribute("aria-hidden", "true");
  return node;
}
