/** The server's clock as seen from this page: ages and countdowns must not depend on the viewer's own clock. */

let offset = 0;
let bestRoundTrip = Number.POSITIVE_INFINITY;

export function serverNow(): number {
  return Date.now() + offset;
}

/** The quickest answer so far tells the time best. */
export function learnServerTime(serverTime: string, roundTrip: number): void {
  const time = Date.parse(serverTime);
  if (Number.isNaN(time) || roundTrip > bestRoundTrip) return;
  bestRoundTrip = roundTrip;
  offset = time + roundTrip / 2 - Date.now();
}

/** A connection may lead to another machine: measure anew. */
export function forgetServerTime(): void {
  bestRoundTrip = Number.POSITIVE_INFINITY;
}
