/** The console page: connects the adapter to the views. */

import type { Emitter } from "../emitter.ts";
import type { Signal, Start } from "../messages.ts";
import { OrionAdapter, type AdapterEvents } from "../orion-adapter.ts";
import * as api from "./api.ts";
import { Attention } from "./attention.ts";
import { ChartPanel } from "./chart/panel.ts";
import { forgetServerTime, learnServerTime, showPast } from "./clock.ts";
import { ConnectionView } from "./connection.ts";
import { SignalDialog } from "./detail.ts";
import { must, setHidden, setText } from "./dom.ts";
import { Filters } from "./filters.ts";
import { learnInstruments, symbols } from "./format.ts";
import { History } from "./history.ts";
import { PriceTable } from "./prices.ts";
import { RecordView } from "./record/view.ts";
import { offerReplays, ReplayBar } from "./replay/bar.ts";
import { ReplayPlayer } from "./replay/player.ts";
import { SignalBoard } from "./signals.ts";
import { SourceTable } from "./sources.ts";
import { Tabs } from "./tabs.ts";

const PING_EVERY = 5_000;

/** A day of the history, in place of the live stream. */
const replay = ReplayPlayer.ofAddress();
if (replay !== undefined) showPast(() => replay.moment);

const filters = new Filters(filter);
const dialog: SignalDialog = new SignalDialog((signal) => void chart.jump(signal));
const matches = (signal: Signal) => filters.matches(signal);
const chart: ChartPanel = new ChartPanel(dialog, matches, (symbol) => prices.mark(symbol));
// Nothing of the past calls the user, and it has a title of its own.
const attention = replay === undefined ? new Attention((signal) => void chart.jump(signal)) : undefined;
const connection = new ConnectionView((offline) => attention?.offline(offline));
const prices = new PriceTable((symbol) => void chart.choose(symbol));
const board = new SignalBoard((signal) => void chart.jump(signal), matches, (count) => attention?.pending(count));
const history = new History(dialog, filters, showBanners);
const record = new RecordView();
const sources = new SourceTable();
new Tabs((name) => {
  if (name === "record") void record.load();
});
const announcer = must("[data-field='announcer']");
/** The query tells the server that it is not a dashboard. */
const orion: Emitter<AdapterEvents> & Pick<OrionAdapter, "connect" | "ping"> =
  replay ?? new OrionAdapter(`${location.origin}/?page=console`, { path: api.socketPath, token: api.token, autoConnect: false });
offerReplays(replay === undefined);
if (replay !== undefined) {
  const bar = new ReplayBar(replay);
  replay.handlers = {
    onChange: (reason) => bar.changed(reason),
    onSeek: () => {
      board.clear();
      prices.clear();
    },
    onOutcome: (outcome) => {
      chart.ended(outcome);
      void record.load();
    },
  };
}

/** Only signals after the end of the snapshot are announced. */
let live = false;

function showBanners(): void {
  for (const origin of ["simulated", "replayed"] as const) {
    const shown = prices.shows(origin) || board.shows(origin) || history.shows(origin);
    setHidden(must(`[data-banner="${origin}"]`), !shown);
  }
}

function filter(): void {
  board.filter();
  chart.filter();
  history.filter();
  if (filters.symbol !== "") void chart.choose(filters.symbol);
}

function showSignal(signal: Signal): void {
  const changed = board.update(signal);
  if (changed && live) setText(announcer, `${signal.symbol} ${signal.direction} ${signal.status}`);
  if (changed && live && signal.status === "confirmed" && filters.matches(signal)) attention?.confirmed(signal);
  history.touch();
  chart.signal(signal);
  showBanners();
}

async function loadInstruments(): Promise<void> {
  try {
    learnInstruments(await api.instruments());
  } catch {
    return; // Prices are shown as they were sent; the next connect tries again.
  }
  filters.offer(symbols());
  chart.offer(symbols());
  prices.refresh();
  board.refresh();
  history.refresh();
}

orion.on("state", (state, transport) => {
  if (state === "connected" && !live) {
    forgetServerTime();
    orion.ping(performance.now());
    void loadInstruments().then(() => chart.load());
    void history.load();
    void record.load();
    void sources.load();
  }
  if (state !== "connected") live = false;
  connection.show(state, transport);
});
orion.on("price_update", (price) => {
  prices.update(price);
  chart.price(price);
  showBanners();
});
orion.on("signal", showSignal);
orion.on("subscribed", () => {
  live = true;
});
orion.on("resync", ({ signals }) => {
  board.forgetPendingExcept(signals);
  showBanners();
});
orion.on("pong", ({ timestamp, server_time }) => {
  const roundTrip = performance.now() - Number(timestamp);
  learnServerTime(server_time, roundTrip);
  connection.measured(roundTrip);
});

setInterval(() => {
  connection.tick();
  prices.tick();
  board.tick();
}, 1_000);
setInterval(() => {
  orion.ping(performance.now());
  if (live) void sources.load();
}, PING_EVERY);

/** Where the browser remembers that its user has left the start page. */
const LEFT_START = "orion-left-start";

async function showStart(): Promise<void> {
  const asked = new URLSearchParams(location.search).has("start");
  if (!asked && (localStorage.getItem(LEFT_START) !== null || !(await api.get<Start>("api/start")).is_new)) return;
  const page = await import("./start.ts");
  page.open(() => {
    localStorage.setItem(LEFT_START, "yes");
    const main = must("main");
    main.tabIndex = -1;
    main.focus();
  });
}

orion.connect();
// Without an answer there is no start page; the header says that the server is not there.
void showStart().catch(() => undefined);
