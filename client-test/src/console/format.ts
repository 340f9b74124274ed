/** Formats numbers and times for the console. */

import type { Instrument, Signal } from "../messages.ts";
import type { Outcome } from "./api.ts";

/** Largest number of digits shown. */
const FINEST = 3;

const digitsOf = new Map<string, number>();
const tickOf = new Map<string, number>();
const nameOf = new Map<string, string>();
const order = new Map<string, number>();

/** Sets the instruments. Before this call, numbers are shown as they were sent. */
export function learnInstruments(instruments: readonly Instrument[]): void {
  for (const { symbol, digits, name, tick_size } of instruments) {
    digitsOf.set(symbol, digits);
    tickOf.set(symbol, tick_size);
    nameOf.set(symbol, name);
    order.set(symbol, order.get(symbol) ?? order.size);
  }
}

export function instrumentName(symbol: string): string {
  return nameOf.get(symbol) ?? "";
}

/** The symbols of the instruments, in the server's order. */
export function symbols(): readonly string[] {
  return [...digitsOf.keys()];
}

/** The instrument's smallest step of a price. */
export function tickSize(symbol: string): number {
  return tickOf.get(symbol) ?? 0.00001;
}

/** Sorts symbols in the server's order, then other ones. */
export function instrumentOrder(symbol: string): number {
  return order.get(symbol) ?? Number.MAX_SAFE_INTEGER;
}

export function price(symbol: string, value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const digits = digitsOf.get(symbol);
  if (digits === undefined) return String(value);
  // Sources of indices and metals may have more digits than the instrument.
  const written = String(value).split(".")[1]?.length ?? 0;
  return value.toFixed(Math.max(digits, Math.min(written, FINEST)));
}

/** Splits a price into head and tail; the tail is the tenth of a pip, which is shown smaller. */
export function splitPrice(symbol: string, value: number): [head: string, tail: string] {
  const text = price(symbol, value);
  const digits = digitsOf.get(symbol);
  return digits === 5 || digits === 3 ? [text.slice(0, -1), text.slice(-1)] : [text, ""];
}

export function change(symbol: string, value: number): string {
  if (!Number.isFinite(value)) return "–";
  return sign(value) + price(symbol, Math.abs(value));
}

export function percent(value: number): string {
  if (!Number.isFinite(value)) return "–";
  // Changes within a second are tiny: two decimals would always show 0.00.
  return `${sign(value)}${Math.abs(value).toFixed(Math.abs(value) < 1 ? 3 : 2)} %`;
}

export function confidence(value: number): string {
  return Number.isFinite(value) ? `${Math.round(value * 100)} %` : "–";
}

export function ratio(value: number): string {
  return Number.isFinite(value) ? `${+value.toFixed(2)} : 1` : "–";
}

function sign(value: number): string {
  if (value > 0) return "+";
  return value < 0 ? "−" : "";
}

/** 4s, 12m, 3h, 2d. */
export function age(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** 4:07 until a deadline, 0:00 once it is past. */
export function countdown(milliseconds: number): string {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  if (!Number.isFinite(seconds)) return "–";
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export function clock(time: string | number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "–" : date.toISOString().slice(11, 19);
}

/** Formats a time, with the day before it unless it is today. */
export function dayAndClock(time: string, now: number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "–";
  const text = date.toISOString();
  const today = new Date(now).toISOString().slice(0, 10);
  return text.startsWith(today) ? text.slice(11, 19) : `${text.slice(0, 10)} ${text.slice(11, 19)}`;
}

/** The names of the killzones, in the order of the day. */
export const KILLZONES: Readonly<Record<string, string>> = {
  asia: "Asia",
  london: "London",
  ny_am: "New York AM",
  lunch: "Lunch",
  pm: "New York PM",
};

export function killzone(name: string): string {
  return KILLZONES[name] ?? words(name);
}

/** `stop_touched` → `Stop touched`. */
export function words(code: string): string {
  const text = code.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** How a confirmed signal ended: `Targets 2 of 3, +1.40 R`. */
export function outcome({ class: kind, targets_hit, targets, r }: Outcome): string {
  if (kind === "not_filled" || kind === "unmeasured" || kind === "interrupted") return words(kind);
  const reached = kind === "targets" || targets_hit > 0 ? ` ${targets_hit} of ${targets}` : "";
  const what = kind === "stop" && targets_hit > 0 ? "Targets" : words(kind);
  return `${what}${reached}, ${multiple(r)}`;
}

/** A result in multiples of the risk: `+1.40 R`. */
export function multiple(r: number): string {
  return Number.isFinite(r) ? `${sign(r)}${Math.abs(r).toFixed(2)} R` : "–";
}

/** Returns the origin of a signal's data, if it is not a market. */
export function origin(signal: Signal): "simulated" | "replayed" | "market" {
  if (signal.reason.startsWith("Simulated:") || signal.source.startsWith("simulat")) return "simulated";
  return signal.source.startsWith("replay") ? "replayed" : "market";
}
