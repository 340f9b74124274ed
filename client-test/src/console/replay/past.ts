/** What a replay knows at its moment, in place of the server's answers about now. */

import type { Bar, Signal, SignalLife, Signals, TradeOutcome } from "../../messages.ts";
import { pastNow } from "../clock.ts";
import { INTERVALS, type Interval } from "../chart/bars.ts";

const MINUTE = 60_000;
/** The signals that the replay has told of, as they were in its last message about them. */
const known = new Map<string, Signal>();
const ended = new Map<string, TradeOutcome>();

export function forget(): void {
  known.clear();
  ended.clear();
}

export function learn(signal: Signal): void {
  known.set(signal.id, signal);
}

export function learnOutcome(outcome: TradeOutcome): void {
  ended.set(outcome.signal, outcome);
}

/** Returns the outcomes that are known of a symbol. */
export function outcomes(symbol: string): TradeOutcome[] {
  return [...ended.values()].filter((outcome) => outcome.symbol === symbol);
}

/** Returns the query with a bound at the moment that is shown, or with an earlier one that it has. */
export function bounded(query: Record<string, string>, name: string): Record<string, string> {
  const now = pastNow();
  if (now === undefined || Date.parse(query[name] ?? "") <= now) return query;
  return { ...query, [name]: new Date(now).toISOString() };
}

/** Returns a page of the signals that are known, like `GET /api/signals`. */
export function signals({ limit, before, status, symbol, killzone }: Record<string, string>): Signals {
  const wanted = [...known.values()]
    .filter((signal) => (status ?? signal.status) === signal.status)
    .filter((signal) => (symbol ?? signal.symbol) === signal.symbol && (killzone ?? signal.killzone) === signal.killzone)
    .sort((a, b) => Date.parse(b.entry_time) - Date.parse(a.entry_time));
  const begin = Number(before ?? 0);
  const end = begin + Number(limit ?? 50);
  return { signals: wanted.slice(begin, end), cursor: "", next: end < wanted.length ? String(end) : null };
}

/** Leaves out what came later. */
export function life({ signal, history, outcome }: SignalLife): SignalLife {
  const now = pastNow() ?? Infinity;
  const then = { signal: known.get(signal.id) ?? signal, history: history.filter(({ at }) => Date.parse(at) <= now) };
  return outcome === undefined || Date.parse(outcome.closed_at) > now ? then : { ...then, outcome };
}

/** Asks for the bars up to the moment: those that had closed, and of the forming one the minutes that had. */
export async function bars(
  query: Record<string, string>,
  ask: (query: Record<string, string>) => Promise<readonly Bar[]>,
): Promise<readonly Bar[]> {
  const now = pastNow();
  if (now === undefined) return ask(query);
  const length = INTERVALS[query["interval"] as Interval] * 1_000;
  const floor = (span: number) => Math.floor(now / span) * span;
  const began = floor(length);
  if (Date.parse(query["before"] ?? "") <= began) return ask(query);
  const minutes = (floor(MINUTE) - began) / MINUTE;
  const before = (at: number) => ({ ...query, before: new Date(at).toISOString() });
  const forming = minutes === 0 ? [] : ask({ ...before(floor(MINUTE)), interval: "1m", limit: String(minutes) });
  const [closed, begun] = await Promise.all([ask(before(began)), forming]);
  const open = begun.filter(({ time }) => Date.parse(time) >= began).reduce<Bar | undefined>(joined, undefined);
  return open === undefined ? closed : [...closed, { ...open, time: new Date(began).toISOString() }];
}

function joined(before: Bar | undefined, next: Bar): Bar {
  if (before === undefined) return next;
  const { open, high, low, volume } = before;
  return { ...next, open, high: Math.max(high, next.high), low: Math.min(low, next.low), volume: volume + next.volume };
}
