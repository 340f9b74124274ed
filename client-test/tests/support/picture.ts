/** What a dashboard would show: the last state of every signal, and every event that led there. */

import type { Inbox } from "./inbox.ts";

/** `status` of each signal after all that came, by id. */
export function picture(signals: readonly { id: string; status: string }[]): Record<string, string> {
  return Object.fromEntries(signals.map(({ id, status }) => [id, status]));
}

/** `id status` of each event in order: an event told twice stands there twice. */
export function story(signals: readonly { id: string; status: string }[], ids: readonly string[]): string[] {
  return signals.filter(({ id }) => ids.includes(id)).map(({ id, status }) => `${ids.indexOf(id)} ${status}`);
}

export function signalsOf(inbox: Inbox, from = 0): any[] {
  return inbox.all("signal", from).map(([first]) => first.payload ?? first);
}
