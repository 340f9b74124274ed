/** The admin page: polls the overview and shows it. The token stays in this tab. */

import type { AdminLogin, Overview, PresenceOfUsers } from "../messages.ts";
import { ADMIN_KEY as KEY, type ClusterReport } from "./api.ts";
import { el, must, setData, setHidden, setText } from "./dom.ts";
import * as format from "./format.ts";
import { RecomputationsPanel } from "./recomputations.ts";
import { SettingsPanel } from "./settings.ts";
import { TokensPanel } from "./tokens.ts";

const POLL_INTERVAL = 2_000;
/** A number with its unit, or the dash for an absent value. */
const NUMBER = /^(–|[\d.]+( ?(ms|s|m|h|d|[KMG]iB|%))?)$/;

/** A table cell: a text, or a badge with a state that the style sheet colours. */
type Cell = string | { text: string; state: string };

const form = must<HTMLFormElement>("[data-form='login']");
const input = must<HTMLInputElement>("[data-field='token']");
const leave = must<HTMLButtonElement>("[data-action='leave']");
const state = must("[data-connection-state]");

const hash = new URLSearchParams(location.hash.slice(1));
let token = hash.get("token") ?? sessionStorage.getItem(KEY) ?? "";
const tokens = new TokensPanel(request);
const settings = new SettingsPanel(request);
const recomputations = new RecomputationsPanel(request);
let timer: ReturnType<typeof setTimeout> | undefined;
/** Number of the last request. Answers to earlier requests are discarded. */
let requests = 0;

function setState(kind: "connected" | "reconnecting" | "refused" | "connecting", text: string): void {
  setData(state, "connectionState", kind);
  setText(must("[data-field='state']"), text);
}

/** Rebuilds a table: it is small, and no other code refers to its nodes. Numbers are right-aligned. */
function table(name: string, heads: readonly string[], rows: readonly (readonly Cell[])[], empty: string): void {
  const node = must<HTMLTableElement>(`[data-table="${name}"]`);
  const numeric = heads.map((_, column) => {
    const cells = rows.map((row) => text(row[column] ?? ""));
    return cells.length > 0 && cells.every((cell) => NUMBER.test(cell));
  });
  const className = (column: number): Record<string, string> => (numeric[column] === true ? { class: "num" } : {});
  const head = el("tr", {}, ...heads.map((title, column) => el("th", { scope: "col", ...className(column) }, title)));
  const body = rows.map((row) => el("tr", {}, ...row.map((cell, column) => el("td", className(column), ...content(cell)))));
  if (body.length === 0) body.push(el("tr", {}, el("td", { class: "empty", colspan: String(heads.length) }, empty)));
  node.replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
}

function text(cell: Cell): string {
  return typeof cell === "string" ? cell : cell.text;
}

function content(cell: Cell): (Node | string)[] {
  return typeof cell === "string" ? [cell] : [el("span", { class: "badge", "data-state": cell.state }, cell.text)];
}

function bytes(count: number): string {
  const units: readonly [string, number][] = [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]];
  const [unit, size] = units.find(([, size]) => count >= size) ?? ["B", 1];
  return unit === "B" ? `${count}` : `${(count / size).toFixed(1)} ${unit}`;
}

function span(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds} ms` : format.age(milliseconds);
}

function orDash(value: number | null, print: (value: number) => string): string {
  return value === null ? "–" : print(value);
}

/** The states of a node that clients may be sent to. */
const SERVING = ["writer", "follower", "candidate"];

/** All nodes that answer, and the NATS servers that have the log. A node that does not answer is not in the list. */
function showCluster({ node, nodes, stream, error }: ClusterReport): void {
  const own = node?.node;
  table(
    "nodes",
    ["Node", "State", "Term", "Message", "Behind", "Clock ahead", "Version", "Why"],
    (nodes ?? []).map((one) => [
      one.node === own ? `${one.node} (this one)` : one.node,
      { text: one.has_left ? "has left" : format.words(one.state), state: SERVING.includes(one.state) ? "live" : "stalled" },
      String(one.term),
      String(one.stream_seq),
      String(Math.max(0, Math.max(one.stream_end, stream?.last ?? 0) - one.stream_seq)),
      `${one.clock_offset} ms`,
      one.version,
      one.reason ?? "",
    ]),
    error ?? "No node answers",
  );
  const servers = (stream?.followers ?? []).map(([name, current]): Cell[] => [
    name,
    { text: current ? "in step" : "not in step", state: current ? "live" : "stalled" },
  ]);
  const leader: Cell[][] = stream === undefined ? [] : [stream.leader === null && stream.replicas > 1 ? ["–", { text: "no leader", state: "failed" }] : [stream.leader ?? stream.server, { text: "leads", state: "live" }]];
  table("stream", ["NATS server", "Log"], [...leader, ...servers], error ?? "No NATS server answers");
  setText(must("[data-field='stream']"), stream === undefined ? "" : `messages ${stream.first} to ${stream.last}, ${bytes(stream.bytes)}, ${stream.replicas} copies, NATS ${stream.server}`);
}

/** How many clients there are, and how many of them get what. */
const COUNTS = ["clients", "prices", "signals", "messages", "clock", "presence"] as const;

function counts(one: Readonly<Record<(typeof COUNTS)[number], number>>): string[] {
  return COUNTS.map((name) => String(one[name]));
}

/** The users with a client on this node. Clients without a user's token have no name. */
function showUsers({ users, users_total }: PresenceOfUsers): void {
  setText(must("[data-field='users']"), users.length < users_total ? `${users.length} of ${users_total}` : String(users_total));
  table("users", ["User", ...COUNTS.map(format.words)], users.map((present) => [present.user, ...counts(present)]), "Nobody has logged in");
}

function show(overview: Overview): void {
  const { parts, alerts, connections, presence, slowest, slow_clients_cut, sources, queues, log, process, refused, duplicates, rejects } = overview;
  setText(must("[data-field='version']"), `${overview.version}, up ${format.age(overview.uptime_seconds * 1000)}`);
  const part = ([name, { status, reason }]: [string, Overview["parts"][string]]): Cell[] => [
    format.words(name),
    { text: status, state: status === "ok" ? "live" : "stalled" },
    reason ?? "",
  ];
  const raised = alerts.filter((alert) => alert.raised > 0);
  const alert = ({ alert }: Overview["alerts"][number]): Cell[] => [format.words(alert), { text: "raised", state: "failed" }, "alert"];
  const receiver = ({ channel, problem, sent_at }: Overview["notices"][number]): Cell[] => [
    `Notices to ${channel}`,
    { text: problem === null ? "ok" : "failing", state: problem === null ? "live" : "stalled" },
    problem ?? (sent_at === null ? "nothing sent yet" : `last sent ${format.clock(sent_at)}`),
  ];
  table("parts", ["Part", "State", "Why"], [...Object.entries(parts).map(part), ...raised.map(alert), ...overview.notices.map(receiver)], "No part is requests");
  table("log", ["What", "Value"], [
    ["Position", log.position],
    ["Events", String(log.events)],
    ["Size of the log", bytes(log.bytes)],
    ["Free on its disk", bytes(log.disk_free_bytes)],
    ["Pending signals", String(log.pending)],
    ["Logins", String(overview.logins)],
    ["Memory", bytes(process.resident_bytes)],
    ["Open files", String(process.open_files)],
    ["Processors", `${(100 * process.cpu_ratio).toFixed(1)} %`],
  ], "");
  const open = connections.filter((kind) => kind.open > 0).sort((a, b) => b.open - a.open);
  setText(must("[data-field='connections']"), String(open.reduce((sum, kind) => sum + kind.open, 0)));
  table("connections", ["Transport", "Endpoint", "Open"], open.map((kind) => [kind.transport, kind.endpoint, String(kind.open)]), "Nobody is connected");
  table(
    "presence",
    ["Transport", ...COUNTS.map(format.words)],
    presence.map((one) => [one.transport, ...counts(one)]),
    "",
  );
  table("queues", ["Queue", "Waiting"], queues.map(({ queue, depth }) => [format.words(queue), String(depth)]), "");
  table(
    "slowest",
    ["Endpoint", "Connection", "Blocked", "Longest", "Behind", "Events", "States", "Replaced", "Connected"],
    slowest.map((one) => [
      one.endpoint,
      one.connection ?? "–",
      orDash(one.blocked_ms, span),
      span(one.longest_ms),
      orDash(one.behind_ms, span),
      orDash(one.ordered, String),
      orDash(one.states, String),
      orDash(one.conflated, String),
      span(one.connected_ms),
    ]),
    "Everybody reads what is written",
  );
  table(
    "sources",
    ["Source", "State", "Last tick", "Ticks/min", "Rejected", "Active for"],
    sources.map((source) => [
      source.name,
      { text: source.state, state: source.state },
      source.last_tick_age === null ? "–" : span(source.last_tick_age),
      String(source.ticks_per_minute),
      String(source.rejected),
      source.symbols.filter((one) => one.in_force).map((one) => one.symbol).join(" ") || "–",
    ]),
    "There is no source",
  );
  table("rejects", ["At", "What", "Why", "Times"], rejects.map((one) => [format.clock(one.at), format.words(one.kind), one.reason, String(one.times)]), "Nothing was rejected");
  const why = (transport: string): string => (transport === "write" ? "took nothing for 10 s" : `queue full, ${transport}`);
  const cut = slow_clients_cut.map(({ transport, count }): Cell[] => [`cut: ${why(transport)}`, String(count)]);
  const again = duplicates.map(({ kind, source, count }): Cell[] => [`came again: ${kind}, ${source}`, String(count)]);
  table("refused", ["Why", "Times"], [...refused.map(({ reason, count }): Cell[] => [reason, String(count)]), ...cut, ...again], "Nobody was refused");
}

/** Sends a request with the token; with a body it is a POST. */
async function request<T>(path: string, body?: object): Promise<T> {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const response = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(10_000) });
  const answer = (await response.json().catch(() => null)) as (T & { error?: string }) | null;
  if (!response.ok || answer === null) throw new Error(answer?.error ?? `the server answered ${response.status}`);
  return answer;
}

async function ask<T>(path: string): Promise<{ response: Response; body: (T & { error?: string }) | null }> {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(10_000) });
  return { response, body: (await response.json().catch(() => null)) as (T & { error?: string }) | null };
}

async function poll(): Promise<void> {
  clearTimeout(timer);
  const mine = ++requests;
  try {
    const { response, body } = await ask<Overview>("api/admin/overview");
    if (mine !== requests) return;
    if (response.status === 401 || response.status === 403) return logOut(body?.error ?? "The token was refused", "refused");
    if (!response.ok || body === null) throw new Error(body?.error ?? `the server answered ${response.status}`);
    sessionStorage.setItem(KEY, token);
    show(body);
    setState("connected", "Live");
    setHidden(form, true);
    setHidden(must("[data-section='overview']"), false);
    setHidden(leave, false);
    const users = await ask<PresenceOfUsers>("api/admin/presence");
    if (mine !== requests) return;
    if (users.response.ok && users.body !== null) showUsers(users.body);
    setHidden(must("[data-section='cluster']"), !body.cluster);
    await tokens.load();
    if (mine !== requests) return;
    await recomputations.load();
    if (mine !== requests) return;
    if (body.cluster) {
      const report = await ask<ClusterReport>("api/admin/cluster");
      if (mine !== requests) return;
      if (report.body !== null) showCluster(report.body);
    }
  } catch (error) {
    if (mine !== requests) return;
    setState("reconnecting", "No answer; asking again");
    setText(must("[data-field='fault']"), error instanceof Error ? error.message : "");
  }
  timer = setTimeout(() => void poll(), POLL_INTERVAL);
}

function logOut(fault: string, kind: "refused" | "connecting"): void {
  clearTimeout(timer);
  requests++;
  token = "";
  sessionStorage.removeItem(KEY);
  tokens.clear();
  settings.clear();
  recomputations.clear();
  setState(kind, kind === "refused" ? "Refused" : "Not logged in");
  setText(must("[data-field='fault']"), fault);
  setHidden(form, false);
  setHidden(must("[data-section='overview']"), true);
  setHidden(leave, true);
  input.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  token = input.value.trim();
  input.value = "";
  setText(must("[data-field='fault']"), "");
  setState("connecting", "Asking");
  void poll();
});
leave.addEventListener("click", () => logOut("", "connecting"));

/** Exchanges the code of the link that the server's first start has printed. */
async function useLink(code: string): Promise<void> {
  // The code is spent; it does not belong into the history of the browser.
  history.replaceState(history.state, "", location.pathname + location.search);
  setState("connecting", "Asking");
  token = code;
  try {
    token = (await request<AdminLogin>("api/admin/login", {})).token;
    void poll();
  } catch {
    logOut("This link was used already, or it is too old. The token is in the file admin-token of the server's data directory.", "refused");
  }
}

const code = hash.get("code");
if (code !== null) void useLink(code);
else if (token !== "") void poll();
else input.focus();
