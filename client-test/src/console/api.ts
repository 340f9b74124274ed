/** The reading routes of the server. URLs are relative to the page, because a proxy may serve it below a path. */

import type { Instrument, SignalHistory, SignalPage, SourceStatus, TrackRecord } from "../messages.ts";
import type { ServerBar } from "./chart/bars.ts";

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

export async function sources(): Promise<readonly SourceStatus[]> {
  return (await get<{ sources: readonly SourceStatus[] }>("api/sources")).sources;
}

export function signals(query: Record<string, string>, signal: AbortSignal): Promise<SignalPage> {
  return get(`api/signals?${new URLSearchParams(query)}`, signal);
}

export function signalHistory(id: string): Promise<SignalLife> {
  return get(`api/signals/${encodeURIComponent(id)}`);
}

/** The record of a confirmed signal; results in multiples of its risk (R). */
export interface Outcome {
  readonly signal: string;
  readonly symbol: string;
  readonly direction: "long" | "short";
  readonly setup: string | null;
  readonly killzone: string;
  readonly source: string;
  readonly confidence: number;
  readonly feed: string | null;
  readonly confirmed_at: string;
  readonly closed_at: string;
  readonly class: "targets" | "stop" | "ambiguous" | "expired" | "not_filled" | "interrupted" | "unmeasured";
  readonly targets_hit: number;
  readonly targets: number;
  readonly r: number;
  readonly mfe: number;
  readonly mae: number;
  readonly gap_seconds: number;
}

/** A killzone on a day. */
export interface OpenKillzone {
  readonly killzone: string;
  readonly from: string;
  readonly to: string;
}

/** A fair value gap or an order block. */
export interface Detection {
  readonly kind: "fair_value_gap" | "order_block";
  readonly direction: "long" | "short";
  readonly top: number;
  readonly bottom: number;
  readonly begins_at: string;
  readonly known_at: string;
  readonly touched_at: string | null;
  readonly ended_at: string | null;
}

/** High and low of the previous day or of a killzone. */
export interface SessionLevel {
  readonly name: string;
  readonly high: number;
  readonly low: number;
}

export interface Outcomes {
  readonly total: number;
  readonly observed_since: string | null;
  readonly outcomes: readonly Outcome[];
}

export type SignalLife = SignalHistory & { readonly outcome?: Outcome };

export async function bars(query: Record<string, string>, signal: AbortSignal): Promise<readonly ServerBar[]> {
  return (await get<{ bars: readonly ServerBar[] }>(`api/bars?${new URLSearchParams(query)}`, signal)).bars;
}

export async function killzones(query: Record<string, string>, signal: AbortSignal): Promise<readonly OpenKillzone[]> {
  return (await get<{ windows: readonly OpenKillzone[] }>(`api/killzones?${new URLSearchParams(query)}`, signal)).windows;
}

export function detections(
  query: Record<string, string>,
  signal: AbortSignal,
): Promise<{ readonly detections: readonly Detection[]; readonly levels: readonly SessionLevel[] }> {
  return get(`api/detections?${new URLSearchParams(query)}`, signal);
}

export function outcomes(query: Record<string, string>, signal: AbortSignal): Promise<Outcomes> {
  return get(`api/outcomes?${new URLSearchParams(query)}`, signal);
}

export function stats(query: Record<string, string>, signal: AbortSignal): Promise<TrackRecord> {
  return get(`api/stats?${new URLSearchParams(query)}`, signal);
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const headers: HeadersInit = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const response = await fetch(path, { headers, signal: signal ?? null });
  const body = (await response.json().catch(() => null)) as { error?: string } | null;
  if (!response.ok || body === null) throw new Error(body?.error ?? `the server answered ${response.status}`);
  return body as T;
}
