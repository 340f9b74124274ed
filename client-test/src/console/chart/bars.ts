/** The bars of a chart: those of the server, and the one that the live prices are forming. Times are in seconds. */

import type { UTCTimestamp } from "lightweight-charts";
import type { Bar } from "../../messages.ts";

export const INTERVALS = { "1m": 60, "5m": 300, "15m": 900, "1h": 3600 } as const;
export type Interval = keyof typeof INTERVALS;

export interface Candle {
  readonly time: UTCTimestamp;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
}

export function seconds(time: string): UTCTimestamp {
  return (Date.parse(time) / 1000) as UTCTimestamp;
}

export class CandleBook {
  #candles: Candle[] = [];

  /** @param length Seconds of one bar. */
  constructor(readonly length: number, bars: readonly Bar[] = []) {
    this.#candles = bars.map(candle);
  }

  get candles(): readonly Candle[] {
    return this.#candles;
  }

  get last(): Candle | undefined {
    return this.#candles.at(-1);
  }

  /** Puts older bars in front. */
  prepend(bars: readonly Bar[]): void {
    const first = this.#candles[0]?.time ?? Infinity;
    this.#candles = [...bars.map(candle).filter(({ time }) => time < first), ...this.#candles];
  }

  /** Takes the server's newest bars in place of this page's own, which lack what came before the page was open. */
  merge(bars: readonly Bar[]): void {
    const fresh = bars.map(candle);
    const first = fresh[0]?.time;
    if (first === undefined) return;
    const last = fresh.at(-1)!.time;
    // The bar that is forming is not stored: what the page has seen of the last one extends the server's.
    const after = this.#candles.filter(({ time }) => time >= last).map((own) => (own.time === last ? joined(fresh.at(-1)!, own) : own));
    const seen = new Set(after.map(({ time }) => time));
    this.#candles = [...this.#candles.filter(({ time }) => time < first), ...fresh.filter(({ time }) => !seen.has(time)), ...after];
  }

  /** Adds a price at a time in seconds; returns the bar that it changed. A price before the last bar changes none. */
  push(at: number, price: number): Candle | undefined {
    const time = (Math.floor(at / this.length) * this.length) as UTCTimestamp;
    const last = this.last;
    if (last !== undefined && time < last.time) return undefined;
    if (last === undefined || time > last.time) {
      const opened = { time, open: price, high: price, low: price, close: price };
      this.#candles.push(opened);
      return opened;
    }
    const changed = { ...last, high: Math.max(last.high, price), low: Math.min(last.low, price), close: price };
    this.#candles[this.#candles.length - 1] = changed;
    return changed;
  }

  /** Adds a minute that is over. One before the last bar changes nothing. */
  extend(minute: Bar): void {
    const at = seconds(minute.time);
    const time = (Math.floor(at / this.length) * this.length) as UTCTimestamp;
    const last = this.last;
    if (last === undefined || time > last.time) this.#candles.push({ ...candle(minute), time });
    else if (time === last.time) this.#candles[this.#candles.length - 1] = joined(last, candle(minute));
  }

  /** Index of the bar at a time, with the elapsed part of the bar; beyond both ends as if bars went on. */
  index(time: number): number {
    const candles = this.#candles;
    const first = candles[0];
    const last = candles.at(-1);
    if (first === undefined || last === undefined) return 0;
    if (time <= first.time) return (time - first.time) / this.length;
    if (time >= last.time) return candles.length - 1 + (time - last.time) / this.length;
    let low = 0;
    let high = candles.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (candles[middle]!.time <= time) low = middle;
      else high = middle;
    }
    // A closed market has no bars: its time is the end of the last bar before.
    return low + Math.min(1, (time - candles[low]!.time) / this.length);
  }

  /** The bar that is open at a time, or the last one before; undefined outside of what is loaded. */
  at(time: number): Candle | undefined {
    const first = this.#candles[0];
    if (first === undefined || time < first.time) return undefined;
    const place = Math.floor(this.index(time));
    return place >= this.#candles.length ? undefined : this.#candles[place];
  }
}

function candle({ time, open, high, low, close }: Bar): Candle {
  return { time: seconds(time), open, high, low, close };
}

function joined(first: Candle, next: Candle): Candle {
  return { ...first, high: Math.max(first.high, next.high), low: Math.min(first.low, next.low), close: next.close };
}
