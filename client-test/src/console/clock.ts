/** The server's clock, estimated by this page: ages and countdowns must not depend on the user's own clock. */

let offset = 0;
let bestRoundTrip = Number.POSITIVE_INFINITY;
let past: (() => number) | undefined;

/** The moment that the page shows: the server's time, or that of a replay. */
export function serverNow(): number {
  return past?.() ?? Date.now() + offset;
}

/** The moment of a replay, after which nothing is known; undefined on a live page. */
export function pastNow(): number | undefined {
  return past?.();
}

/** From now on the page shows the moments of a replay. */
export function showPast(moment: () => number): void {
  past = moment;
}

/** The fastest answer so far gives the best estimate. */
export function learnServerTime(serverTime: string, roundTrip: number): void {
  const time = Date.parse(serverTime);
  if (Number.isNaN(time) || roundTrip > bestRoundTrip) return;
  bestRoundTrip = roundTrip;
  offset = time + roundTrip / 2 - Date.now();
}

/** Resets the estimate: a new connection may reach another machine. */
export function forgetServerTime(): void {
  bestRoundTrip = Number.POSITIVE_INFINITY;
}
