/** The page to share: the whole track record, with what it can and cannot show. */

import type { Outcomes, Statistics, Stats } from "../../messages.ts";
import { param, setParams } from "../address.ts";
import * as api from "../api.ts";
import { withCopyButtons } from "../copy.ts";
import { el, must, setHidden, setText } from "../dom.ts";
import * as format from "../format.ts";
import { RecordCharts } from "./charts.ts";
import { groups, heads, observedSince, RECORDS, told } from "./tables.ts";

const REFRESH = 60_000;
const NAMES = ["symbol", "source", "feed"] as const;

const selects = NAMES.map((name) => must<HTMLSelectElement>(`[data-field='${name}']`));
const charts = new RecordCharts(document);
let loading: AbortController | undefined;

function query(): Record<string, string> {
  return Object.fromEntries(NAMES.map((name, place) => [name, selects[place]!.value]).filter(([, value]) => value !== ""));
}

/** Offers values beside those that are there, and keeps what is chosen. */
function offer(select: HTMLSelectElement, values: readonly string[]): void {
  const known = new Set([...select.options].map((option) => option.value));
  select.append(...values.filter((value) => !known.has(value)).map((value) => el("option", { value }, value)));
}

function figures(all: Stats, open: number): HTMLElement[] {
  const number = (value: number | null) => (value === null ? "–" : value.toFixed(2));
  const rows: [string, string][] = [
    ["Trades", String(all.trades)],
    ["Open", String(open)],
    ["Win rate, 95 %", told(all.win_rate)],
    ["Mean result", all.expectancy_r === null ? "–" : format.multiple(all.expectancy_r)],
    ...(all.net ? ([["Mean result, net of costs", format.multiple(all.net.expectancy_r)]] as [string, string][]) : []),
    ["Sum of results", format.multiple(all.total_r)],
    ["Greatest drawdown", `${all.max_drawdown_r.toFixed(2)} R`],
    ["Profit factor", number(all.profit_factor)],
    ["Brier score", number(all.brier)],
  ];
  return rows.map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value)));
}

function show(record: Statistics, records: Outcomes): void {
  must("[data-list='figures']").replaceChildren(...figures(record.all, record.open));
  for (const by of ["setup", "killzone", "source"] as const) must(`[data-list='${by}']`).replaceChildren(...groups(by, record[by]));
  charts.show(records.outcomes, record.confidence);
  setText(must("[data-field='since']"), observedSince(records) || "No confirmed signal has come to its end yet");
  setText(must("[data-field='note']"), record.all.signals > 0 && record.all.few ? "Fewer than 30 trades: the rates say next to nothing" : "");
}

async function load(): Promise<void> {
  loading?.abort();
  const mine = (loading = new AbortController());
  try {
    const asked = query();
    const [record, records] = await Promise.all([api.stats(asked, mine.signal), api.outcomes({ ...asked, limit: RECORDS }, mine.signal)]);
    show(record, records);
    offer(selects[0]!, Object.keys(record.symbol));
    offer(selects[1]!, Object.keys(record.source));
  } catch (error) {
    if (!mine.signal.aborted) setText(must("[data-field='since']"), `Not available: ${String((error as Error).message)}`);
  }
}

function save(content: string, type: string, name: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1_000);
}

async function download(): Promise<void> {
  const note = must("[data-field='download-note']");
  try {
    const records = await api.outcomes({ ...query(), limit: RECORDS }, AbortSignal.timeout(30_000));
    save(JSON.stringify(records, null, 1), "application/json", "orion-records.json");
    setText(note, records.total > records.outcomes.length ? `The last ${records.outcomes.length} of ${records.total}` : "");
  } catch (error) {
    setText(note, `Not available: ${String((error as Error).message)}`);
  }
}

/** Shows the key of the log and the size of its checkpoint. Returns the checkpoint. */
async function showLog(): Promise<string | undefined> {
  const note = must("[data-field='log-note']");
  try {
    const [key, checkpoint] = await Promise.all([api.logKey(), api.checkpoint()]);
    const [name = "", size = "", root = ""] = checkpoint.split("\n");
    setText(must("[data-field='log-key']"), key.trim());
    setText(must("[data-field='checkpoint']"), `${name}: ${size} entries, root ${root}`);
    setHidden(must("[data-section='log']"), false);
    setText(note, "");
    return checkpoint;
  } catch (error) {
    setText(note, `The checkpoint is not available: ${String((error as Error).message)}`);
    return undefined;
  }
}

/** Saves the checkpoint as it is now, which is the one that the page then shows. */
async function keepCheckpoint(): Promise<void> {
  const checkpoint = await showLog();
  if (checkpoint !== undefined) save(checkpoint, "text/plain", "orion-checkpoint.txt");
}

setText(must("[data-field='host']"), location.host);
setText(must("[data-field='witness']"), `orion-server witness ${new URL(".", document.baseURI).href.replace(/\/$/, "")}`);
withCopyButtons(document);
for (const head of document.querySelectorAll(".record thead")) head.append(heads());
NAMES.forEach((name, place) => {
  const [select, value] = [selects[place]!, param(name) ?? ""];
  offer(select, [value]);
  select.value = value;
  select.addEventListener("change", () => {
    setParams({ [name]: select.value });
    void load();
  });
});
must("[data-action='download']").addEventListener("click", () => void download());
must("[data-action='checkpoint']").addEventListener("click", () => void keepCheckpoint());
setInterval(() => {
  if (!document.hidden) void load();
}, REFRESH);
void load();
void showLog();
