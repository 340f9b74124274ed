/** The track record as pictures: the R curve with its drawdown, best against worst on the way, and score against hit rate. */

import type { Stats } from "../../messages.ts";
import type { Outcome } from "../api.ts";
import { must } from "../dom.ts";
import * as format from "../format.ts";
import { Plot, shape, ticks, type Axis, type Picture } from "./plot.ts";

/** Points of the scatter; more would hide each other. */
const MAX_POINTS = 600;
/** A trade that went further is drawn at the edge. */
const MAX_R = 6;

export class RecordCharts {
  readonly #curve: Plot;
  readonly #excursions: Plot;
  readonly #calibration: Plot;

  /** @param root Has an element for each picture, by its `data-plot`. */
  constructor(root: ParentNode) {
    const place = (name: string) => must(`[data-plot='${name}']`, root);
    this.#curve = new Plot(place("curve"), "No trade has ended yet");
    this.#excursions = new Plot(place("excursions"), "No trade has ended yet");
    this.#calibration = new Plot(place("calibration"), "No score has a trade yet");
  }

  /** @param byScore Statistics by the tenth of the score. */
  show(outcomes: readonly Outcome[], byScore: Readonly<Record<string, Stats>>): void {
    const trades = outcomes.filter(wasTraded);
    this.#curve.show(trades.length === 0 ? undefined : curve(trades));
    this.#excursions.show(trades.length === 0 ? undefined : excursions(trades.slice(-MAX_POINTS)));
    const scores = Object.entries(byScore).filter(([, stats]) => stats.first_target_rate !== null);
    this.#calibration.show(scores.length === 0 ? undefined : calibration(scores));
  }
}

/** Whether there was a position that was measured to its end; as the server's statistics have it. */
export function wasTraded({ class: kind }: Outcome): boolean {
  return kind !== "not_filled" && kind !== "interrupted" && kind !== "unmeasured";
}

/** The sum of all results after each trade, and the highest sum so far. */
export function sums(trades: readonly Outcome[]): { total: number; top: number }[] {
  let [total, top] = [0, 0];
  return trades.map(({ r }) => {
    total += r;
    top = Math.max(top, total);
    return { total, top };
  });
}

const inR = (value: number): string => `${+value.toFixed(2)} R`;

function curve(trades: readonly Outcome[]): Picture {
  const points = [{ total: 0, top: 0 }, ...sums(trades)];
  const worst = Math.max(...points.map(({ total, top }) => top - total));
  const [low, high] = [Math.min(0, ...points.map(({ total }) => total)), Math.max(1, ...points.map(({ top }) => top))];
  const path = (key: "total" | "top", x: (value: number) => number, y: (value: number) => number, from = points) =>
    from.map((point, place) => `${x(place).toFixed(1)},${y(point[key]).toFixed(1)}`);
  const last = points.at(-1)!.total;
  const [begin, end] = [trades[0]!, trades.at(-1)!].map(({ closed_at }) => closed_at.slice(0, 10));
  return {
    x: { from: 0, to: trades.length, ticks: ticks(0, trades.length, 5).filter(Number.isInteger), label: `trades, ${begin} to ${end}`, print: String },
    y: { from: low, to: high, ticks: ticks(low, high, 4), label: "sum of results", print: inR },
    summary: `Sum of the results of ${trades.length} trades: ${format.multiple(last)}; greatest drawdown ${inR(worst)}`,
    draw: ({ add, x, y }) => {
      const back = path("total", x, y).reverse();
      add(
        shape("path", { class: "drawdown", d: `M${[...path("top", x, y), ...back].join("L")}Z` }),
        shape("path", { class: "top", d: `M${path("top", x, y).join("L")}` }),
        shape("path", { class: last < 0 ? "curve loss" : "curve gain", d: `M${path("total", x, y).join("L")}` }),
      );
    },
  };
}

function excursions(trades: readonly Outcome[]): Picture {
  const cut = (value: number) => Math.min(MAX_R, Math.max(0, value));
  const axis = (values: readonly number[], label: string): Axis => {
    const to = Math.max(1.2, ...values);
    return { from: 0, to, ticks: ticks(0, to, 4), label, print: inR };
  };
  const points = trades.map(({ mae, mfe, r }) => ({ worst: cut(-mae), best: cut(mfe), won: r > 0 }));
  return {
    x: axis(points.map(({ worst }) => worst), "worst on the way"),
    y: axis(points.map(({ best }) => best), "best on the way"),
    summary: `Best against worst on the way of ${points.length} trades, ${points.filter(({ won }) => won).length} of them won`,
    draw: ({ add, x, y }) => add(...points.map(({ worst, best, won }) => shape("circle", { class: won ? "gain" : "loss", cx: x(worst), cy: y(best), r: 3 }))),
  };
}

function calibration(scores: readonly (readonly [string, Stats])[]): Picture {
  const percent: Omit<Axis, "label"> = { from: 0, to: 1, ticks: [0, 0.25, 0.5, 0.75, 1], print: (value) => `${value * 100} %` };
  const points = scores.flatMap(([score, { first_target_rate: rate, trades, few }]) =>
    rate === null ? [] : [{ at: Number(score) + 0.05, trades, few, ...rate }],
  );
  const said = points.map(({ at, rate, trades }) => `${Math.round(at * 100)} %: ${Math.round(rate * 100)} % of ${trades}`);
  return {
    x: { ...percent, label: "score" },
    y: { ...percent, label: "first target reached, 95 %" },
    summary: `Score against the rate of first targets reached: ${said.join(", ")}`,
    draw: ({ add, x, y }) => {
      add(shape("line", { class: "ideal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }));
      for (const { at, rate, low, high, trades, few } of points) {
        add(
          shape("line", { class: few ? "range few" : "range", x1: x(at), x2: x(at), y1: y(low), y2: y(high) }),
          shape("circle", { class: "point", cx: x(at), cy: y(rate), r: 4 }),
          shape("text", { class: "tick", x: x(at), y: y(high) - 5, "text-anchor": "middle" }, String(trades)),
        );
      }
    },
  };
}
