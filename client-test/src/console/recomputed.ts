/** In words: what a backtest over the kept ticks of a day has otherwise than the live server. */

import type { Recomputation, Recomputations, RecomputedSignal, SignalDifference } from "../messages.ts";
import * as format from "./format.ts";

/** When the server compares the day that has ended. */
export const COMPARED_AT = "00:10 UTC";

/** A value that the two sides have differently. */
export interface DifferingValue {
  readonly what: string;
  readonly live: string;
  readonly recomputed: string;
}

const ABSENT = "–";

const FIELDS: readonly [name: string, print: (signal: RecomputedSignal) => string][] = [
  ["Direction", (signal) => signal.direction],
  ["Entry", (signal) => level(signal.entry_price)],
  ["Stop", (signal) => level(signal.stop_loss)],
  ["Targets", (signal) => signal.take_profits.join(", ") || ABSENT],
  ["Confidence", (signal) => String(Number(signal.confidence.toFixed(4)))],
];

function level(value: number | null): string {
  return value === null ? ABSENT : String(value);
}

/** How a signal ended, and when, to the millisecond. */
function end({ status, invalidation, ended_at }: RecomputedSignal): string {
  const how = invalidation === null ? status : `${status}: ${invalidation.replaceAll("_", " ")}`;
  return ended_at === null ? how : `${how} at ${ended_at.slice(11, 23)}`;
}

function described(signal: RecomputedSignal | null): string {
  if (signal === null) return ABSENT;
  const fields = FIELDS.slice(1).map(([name, print]) => `${name.toLowerCase()} ${print(signal)}`);
  return [signal.direction, ...fields, end(signal)].join(", ");
}

/** The values that differ, side by side; the whole signal where only one side has it. */
export function differingValues({ kind, live, recomputed }: SignalDifference): DifferingValue[] {
  const whole = { what: format.words(kind), live: described(live), recomputed: described(recomputed) };
  if (live === null || recomputed === null) return [whole];
  const values = FIELDS.map(([what, print]) => ({ what, live: print(live), recomputed: print(recomputed) }));
  const differing = values.filter((value) => value.live !== value.recomputed);
  // A backtest knows the minute of an end: another time alone is a difference only where the server says so.
  const endsDiffer = live.status !== recomputed.status || live.invalidation !== recomputed.invalidation;
  if (kind === "end" || endsDiffer) differing.push({ what: "End", live: end(live), recomputed: end(recomputed) });
  return differing.length === 0 ? [whole] : differing;
}

/** When the signal was published: live, if it was. */
export function publishedAt({ live, recomputed }: SignalDifference): string {
  return (live ?? recomputed)?.published_at ?? "";
}

/** The number of differences of a day, also of those that are not listed. */
export function differenceCount({ counts }: Recomputation): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** The reasons that a day has, each with its number of differences. */
export function reasons({ counts }: Recomputation): [reason: string, count: number][] {
  return Object.entries(counts).filter(([, count]) => count > 0);
}

/** Whether all signals of a day are the same on both sides. */
export function agrees(day: Recomputation): boolean {
  return day.problem === null && differenceCount(day) === 0;
}

/** The signals of a day: how many there are, and whether they agree. */
export function signalsOf(day: Recomputation): string {
  if (!agrees(day)) return `${day.live} live, ${day.recomputed} recomputed`;
  if (day.live === 0) return "no signals";
  return day.live === 1 ? "the only signal agrees" : `all ${day.live} signals agree`;
}

/** Why there is nothing to see, or will be nothing new; empty otherwise. */
export function emptyReason({ enabled, days }: Recomputations): string {
  if (!enabled) {
    return `Off: data.tick_retention is 0. Set it, for example to 7d, and the signals of each day are compared after its end, at ${COMPARED_AT}.`;
  }
  return days.length > 0 ? "" : `Nothing was compared yet: the first result comes at ${COMPARED_AT}.`;
}
