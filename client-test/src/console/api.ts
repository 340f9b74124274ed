/** The reading routes of the server. URLs are relative to the page, because a proxy may serve it below a path. */

import type {
  Bar,
  Bars,
  Detections,
  Instrument,
  KillzoneClock,
  OpenKillzone,
  Outcomes,
  OverviewNode,
  SignalLife,
  Signals,
  Source,
  Statistics,
  TradeOutcome,
} from "../messages.ts";
import { pastNow } from "./clock.ts";
import * as past from "./replay/past.ts";

/** The token from `#token=…`, which never leaves the browser, or from `?token=…`. */
export const token: string | undefined =
  new URLSearchParams(location.hash.slice(1)).get("token") ??
  new URLSearchParams(location.search).get("token") ??
  undefined;

/** Where a tab keeps the admin token. */
export const ADMIN_KEY = "orion-admin-token";

/** The path of Engine.IO, relative to the page. */
export const socketPath: string = new URL("socket.io/", document.baseURI).pathname;

export async function instruments(): Promise<readonly Instrument[]> {
  const body = await get<readonly Instrument[] | { instruments: readonly Instrument[] }>("api/instruments");
  return "instruments" in body ? body.instruments : body;
}

export async function sources(): Promise<readonly Source[]> {
  return (await get<{ sources: readonly Source[] }>("api/sources")).sources;
}

export async function signals(query: Record<string, string>, signal: AbortSignal): Promise<Signals> {
  return pastNow() !== undefined ? past.signals(query) : get(`api/signals?${new URLSearchParams(query)}`, signal);
}

export async function signalHistory(id: string): Promise<SignalLife> {
  return past.life(await get(`api/signals/${encodeURIComponent(id)}`));
}

/** `GET /api/admin/cluster`; without nodes and stream while the log cannot be asked, and outside of a cluster. */
export interface ClusterReport {
  /** What the node that was asked knows. */
  node: OverviewNode | null;
  nodes?: {
    node: string;
    version: string;
    state: string;
    /** Why, when the log cannot be read or is damaged. */
    reason?: string;
    term: number;
    writer: string;
    stream_seq: number;
    stream_end: number;
    has_left: boolean;
    /** How far its clock is ahead of the asked node's, in milliseconds, at most. */
    clock_offset: number;
  }[];
  stream?: {
    epoch: string;
    first: number;
    last: number;
    bytes: number;
    replicas: number;
    leader: string | null;
    /** The other NATS servers, each with whether it is up to date. */
    followers: [string, boolean][];
    server: string;
  };
  error?: string;
}

export async function bars(query: Record<string, string>, signal: AbortSignal): Promise<readonly Bar[]> {
  return past.bars(query, async (query) => (await get<Bars>(`api/bars?${new URLSearchParams(query)}`, signal)).bars);
}

export async function killzones(query: Record<string, string>, signal: AbortSignal): Promise<readonly OpenKillzone[]> {
  return (await get<KillzoneClock>(`api/killzones?${new URLSearchParams(query)}`, signal)).windows ?? [];
}

export function detections(query: Record<string, string>, signal: AbortSignal): Promise<Detections> {
  return get(`api/detections?${new URLSearchParams(past.bounded(query, "to"))}`, signal);
}

export function outcomes(query: Record<string, string>, signal: AbortSignal): Promise<Outcomes> {
  return get(`api/outcomes?${new URLSearchParams(past.bounded(query, "until"))}`, signal);
}

/** The last outcomes of a symbol's signals. */
export async function outcomesOf(symbol: string, limit: number, signal: AbortSignal): Promise<readonly TradeOutcome[]> {
  if (pastNow() !== undefined) return past.outcomes(symbol);
  return (await outcomes({ symbol, limit: String(limit) }, signal)).outcomes;
}

export function stats(query: Record<string, string>, signal: AbortSignal): Promise<Statistics> {
  return get(`api/stats?${new URLSearchParams(past.bounded(query, "until"))}`, signal);
}

/** The public key of the log, as one line. */
export function logKey(): Promise<string> {
  return text("log/key");
}

/** The signed checkpoint of the log: its name, its size and its root are the first three lines. */
export function checkpoint(): Promise<string> {
  return text("log/checkpoint");
}

async function text(path: string): Promise<string> {
  const response = await ask(path);
  if (!response.ok) throw new Error(((await response.json().catch(() => null)) as { error?: string } | null)?.error ?? `the server answered ${response.status}`);
  return response.text();
}

function ask(path: string, signal?: AbortSignal): Promise<Response> {
  const headers: HeadersInit = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  return fetch(path, { headers, signal: signal ?? null });
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await ask(path, signal);
  const body = (await response.json().catch(() => null)) as { error?: string } | null;
  if (!response.ok || body === null) throw new Error(body?.error ?? `the server answered ${response.status}`);
  return body as T;
}
