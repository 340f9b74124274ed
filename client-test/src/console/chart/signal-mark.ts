/** A signal as the chart draws it: where its time begins and ends, and what became of it. */

import type { Signal } from "../../messages.ts";
import type { Outcome } from "../api.ts";
import * as format from "../format.ts";

/** The server follows a confirmed signal for at most a day. */
const HORIZON = 24 * 3600;

export type Ending = "pending" | "open" | "won" | "lost" | "flat" | "void";

export interface SignalMark {
  readonly signal: Signal;
  /** In seconds. */
  readonly from: number;
  readonly to: number;
  readonly ending: Ending;
  /** How it ended, for a person. */
  readonly label: string;
}

export function markOf(signal: Signal, outcome: Outcome | undefined, now: number): SignalMark {
  const time = (text: string) => Date.parse(text) / 1000;
  const from = time(signal.entry_time);
  const mark = (to: number, ending: Ending, label: string): SignalMark => ({ signal, from, to: Math.max(to, from), ending, label });
  if (signal.status === "pending") return mark(time(signal.expires_at), "pending", "Pending");
  if (signal.status === "invalidated") {
    return mark(time(signal.updated_at), "void", signal.invalidation === null ? "Invalidated" : format.words(signal.invalidation));
  }
  if (outcome === undefined) return mark(Math.min(now, time(signal.updated_at) + HORIZON), "open", "Confirmed");
  return mark(time(outcome.closed_at), endingOf(outcome), format.outcome(outcome));
}

function endingOf({ class: kind, r }: Outcome): Ending {
  if (kind === "not_filled" || kind === "unmeasured" || kind === "interrupted") return "void";
  if (r === 0) return "flat";
  return r > 0 ? "won" : "lost";
}
