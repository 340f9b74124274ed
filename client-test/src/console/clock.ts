/** The server's clock, estimated by this page: ages and countdowns must not depend on the user's own clock. */

let offset = 0;
let bestRoundTrip = Number.POSITIVE_INFINITY;

export function serverNow(): number {
  return Date.now() + offset;
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
