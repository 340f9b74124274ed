/** The reading routes of the server. URLs are relative to the page, because a proxy may serve it below a path. */

import type { Instrument, SignalLife, Signals, Source, Statistics } from "../messages.ts";

/** The token from `#token=…`, which never leaves the browser, or from `?token=…`. */
export const token: string | undefined =
  new URLSearchParams(location.hash.slice(1)).get("token") ??
  new URLSearchParams(location.search).get("token") ??
  undefined;

/** The path of Engine.IO, relative to the page. */
export const socketPath: string = new URL("socket.io/", document.baseURI).pathname;

export async function instruments(): Promise<readonly Instrument[]> {
  const body = await get<readonly Instrument[] | { instruments: readonly Instrument[] }>("api/instruments");
  return "instruments" in body ? body.instruments : body;
}

export async function sources(): Promise<readonly Source[]> {
  return (await get<{ sources: readonly Source[] }>("api/sources")).sources;
}

export function signals(query: Record<string, string>, signal: AbortSignal): Promise<Signals> {
  return get(`api/signals?${new URLSearchParams(query)}`, signal);
}

export function signalHistory(id: string): Promise<SignalLife> {
  return get(`api/signals/${encodeURIComponent(id)}`);
}

export function stats(query: Record<string, string>, signal: AbortSignal): Promise<Statistics> {
  return get(`api/stats?${new URLSearchParams(query)}`, signal);
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const headers: HeadersInit = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(path, { headers, signal: signal ?? null });
  const body = (await response.json().catch(() => null)) as { error?: string } | null;
  if (!response.ok || body === null) throw new Error(body?.error ?? `the server answered ${response.status}`);
  return body as T;
}
