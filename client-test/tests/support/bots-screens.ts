/**
 * What the bot platform's pages show: the panels of the event bus, and `pages/Dashboard.js` with the socket of its own. Each does
 * what its component does with what it gets, and says what stands on the screen.
 */

import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { Inbox } from "./inbox.ts";
import type { Bus } from "./bots.ts";

async function load(url: string, path: string, token: string): Promise<any> {
  const answer = await fetch(`${url}/api${path}`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200, path);
  return answer.json();
}

/** `LiveTradesPanel.js`: whatever comes as `trades` is put on top, and nothing is compared. */
export class LiveTradesPanel {
  trades: any[] = [];

  constructor(bus: Bus) {
    bus.on("trades", (trade) => (this.trades = [trade, ...this.trades].slice(0, 50)));
  }

  /** What it does once, when it is shown. */
  async load(url: string, token: string): Promise<void> {
    this.trades = (await load(url, "/trades/recent?limit=50", token)).trades ?? [];
  }

  /** Ids from the top down. */
  get rows(): string[] {
    return this.trades.map((trade) => trade.id);
  }
}

/** `WhaleFlowHeatmap.js` of v1, which asks, and of v3, which is told as well. */
export class WhaleFlowHeatmap {
  data: any = null;
  error: string | null = null;

  constructor(bus?: Bus) {
    bus?.on("whale", (data) => (this.data = { ...this.data, ...data }));
  }

  async load(url: string, token: string): Promise<void> {
    const answer = await load(url, "/advanced/whale/summary?time_range=1h", token);
    if (answer.status === "success") [this.data, this.error] = [answer.data, null];
    else this.error = answer.message || "Failed to fetch whale data";
  }

  /** The totals above, and a card of each exchange. */
  show(coin: string): { totals: string[]; cards: Record<string, string[]> } {
    const sum = this.data.summary[coin];
    const amount = (value: number | undefined) => (value ? value.toFixed(2) : "0");
    const cards = Object.entries<any>(this.data.exchanges).map(([exchange, coins]) => {
      const { inflow, outflow, net_flow = 0 } = coins[coin] ?? {};
      return [exchange, [`+${inflow?.toFixed(2) || 0}`, `-${outflow?.toFixed(2) || 0}`, `${net_flow > 0 ? "+" : ""}${net_flow.toFixed(2)}`]];
    });
    return { totals: [sum?.total_inflow, sum?.total_outflow, sum?.net_flow].map(amount), cards: Object.fromEntries(cards) };
  }
}

/** `PlatformPanel.js` with the bots that the page has loaded. */
export function platformPanel(bots: any[]): string[] {
  return bots.map((bot) => {
    const money = (amount: any) => (!amount && amount !== 0 ? "—" : amount.toFixed(2));
    const rate = bot.win_rate ? `${(bot.win_rate * 100).toFixed(1)}%` : "—";
    return [bot.name, bot.symbol, bot.status, bot.trading_mode, money(bot.capital), money(bot.pnl), bot.trades_count || 0, rate].join(" ");
  });
}

/** How fast the dashboard runs; 5 s each on the page. */
export interface DashboardPace {
  readonly ping: number;
  readonly retry: number;
}

/** `pages/Dashboard.js`: its own socket, its trade feed, its platforms and its bots. */
export class DashboardPage {
  readonly inbox = new Inbox();
  readonly errors: unknown[] = [];
  trades: any[] = [];
  bots: any[] = [];
  metrics: Record<string, string> = {};
  #ws: WebSocket | undefined;
  #attempts = 0;
  #closed = false;

  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly pace: DashboardPace = { ping: 100, retry: 200 },
    /** Where its requests go, if not the same way as its socket. */
    private readonly rest = url,
  ) {
    this.#connect();
  }

  /** What it asks when it is loaded. */
  async load(): Promise<void> {
    await load(this.rest, "/auth/me", this.token);
    this.bots = await load(this.rest, "/bots", this.token);
    this.trades = (await load(this.rest, "/trades/recent?limit=50", this.token)).trades || [];
    await this.#loadMetrics();
  }

  close(code?: number): void {
    this.#closed = true;
    this.#ws?.close(code);
  }

  /** The feed, from the top down. */
  get feed(): string[] {
    return this.trades.map((trade) => {
      const isWin = trade.is_profitable || trade.profit_loss > 0;
      const profit = `R${trade.profit_loss?.toFixed(2) || "0.00"}`;
      return `${trade.bot_name || "Bot"} • ${trade.symbol} • ${trade.exchange?.toUpperCase()} • ${isWin ? "WIN" : "LOSS"} ${profit}`;
    });
  }

  get rows(): string[] {
    return this.trades.map((trade) => trade.id);
  }

  /** The card of a platform. */
  platform(id: string): string {
    const trades = this.trades.filter((trade) => trade.exchange?.toLowerCase() === id);
    const wins = trades.filter((trade) => trade.is_profitable || trade.profit_loss > 0).length;
    const profit = trades.reduce((sum, trade) => sum + (trade.profit_loss || 0), 0);
    return trades.length > 0 ? `ACTIVE ${trades.length} ${((wins / trades.length) * 100).toFixed(1)}% R${profit.toFixed(2)}` : "NO DATA";
  }

  /** The cards of its bots. */
  get botCards(): string[] {
    return this.bots.map((bot) => {
      const money = (amount: any) => `R${(amount || 0).toFixed(2)}`;
      return `${bot.name} ${bot.exchange ? bot.exchange.toUpperCase() : "N/A"} ${money(bot.total_profit)} ${money(bot.current_capital)} ${bot.trades_count || 0}`;
    });
  }

  async #loadMetrics(): Promise<void> {
    const { net_pnl, active_bots, total_bots, exposure, risk_level } = await load(this.rest, "/portfolio/summary", this.token);
    this.metrics = {
      totalProfit: `R${net_pnl?.toFixed(2) || "0.00"}`,
      activeBots: `${active_bots || 0} / ${total_bots || 0}`,
      exposure: `${exposure?.toFixed(1) || 0}%`,
      riskLevel: risk_level || "Unknown",
    };
    this.inbox.push("metrics loaded", this.metrics);
  }

  #connect(): void {
    const ws = new WebSocket(`${this.url.replace(/^http/, "ws")}/api/ws?token=${this.token}`);
    this.#ws = ws;
    let pings: NodeJS.Timeout | undefined;
    ws.on("open", () => {
      this.#attempts = 0;
      pings = setInterval(() => ws.send(JSON.stringify({ type: "ping", timestamp: Date.now() })), this.pace.ping);
      this.inbox.push("open");
    });
    ws.on("message", (data) => {
      const frame = JSON.parse(String(data));
      try {
        if (frame.type !== "pong") this.#update(frame);
      } catch (error) {
        this.errors.push(new Error(`the dashboard cannot read ${JSON.stringify(frame)}`, { cause: error }));
      }
      this.inbox.push(frame.type, frame);
    });
    ws.on("error", () => undefined);
    ws.on("close", () => {
      clearInterval(pings);
      this.inbox.push("close");
      if (this.#closed || this.#attempts >= 5) return;
      this.#attempts += 1;
      setTimeout(() => !this.#closed && this.#connect(), this.pace.retry);
    });
  }

  #update(frame: any): void {
    switch (frame.type) {
      case "metrics":
        this.metrics = { ...this.metrics, ...frame.payload };
        break;
      case "trade_executed":
        if (!this.trades.some((trade) => trade.id === frame.trade?.id)) {
          const trade = { ...frame.trade, bot_name: frame.bot_name, timestamp: new Date().toISOString() };
          this.trades = [trade, ...this.trades.slice(0, 49)];
        }
        this.bots = this.bots.map((bot) =>
          bot.id === frame.bot_id
            ? { ...bot, current_capital: frame.new_capital, total_profit: frame.total_profit, name: bot.name || frame.bot_name }
            : bot,
        );
        void this.#loadMetrics().catch((error: unknown) => this.errors.push(error));
        break;
      case "bot_updated":
        this.bots = this.bots.map((bot) => (bot.id === frame.bot_id ? { ...bot, ...frame.changes } : bot));
        break;
    }
  }
}
