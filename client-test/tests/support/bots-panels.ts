/** What the bot platform's panels do with an event: each throws where the panel would crash, or would print nonsense. */

import assert from "node:assert/strict";

export function printTime(time: unknown): void {
  assert.notEqual(String(new Date(time as string)), "Invalid Date", `time ${time}`);
}

/** A number as a panel prints it. */
function print(number: any, digits = 2): void {
  assert.doesNotMatch(number.toFixed(digits), /NaN|Infinity/);
}

function printKnown(number: any): void {
  if (number !== null && number !== undefined) print(number);
}

function within(number: any, min: number, max: number): void {
  assert.ok(number >= min && number <= max, `${number} is not from ${min} to ${max}`);
}

function trade(trade: any): void {
  for (const name of ["id", "symbol", "platform", "status"]) assert.equal(typeof trade[name], "string", name);
  assert.match(trade.side.toUpperCase(), /^(BUY|SELL)$/);
  for (const name of ["quantity", "price", "total"]) print(trade[name], 8);
  printKnown(trade.pnl);
  printTime(trade.timestamp);
}

/** What is shown of a decision that is selected. */
export function decision(decision: any): void {
  assert.match(decision.decision, /^(buy|sell|hold)$/);
  within(decision.confidence, 0, 1);
  decision.reasoning.map((reason: string) => reason.toLowerCase());
  if (decision.regime_state) {
    decision.regime_state.regime.replace("_", " ");
    assert.ok(!Number.isNaN(Math.round(decision.regime_state.confidence * 100)), "regime_state.confidence");
  }
  for (const score of Object.values<any>(decision.component_scores ?? {})) {
    print(score);
    within(score, -1, 1);
  }
  for (const name of ["price", "volume", "change_24h", "volatility"]) {
    const value = decision.market_data?.[name];
    if (value !== undefined) print(value);
  }
  for (const name of ["position_size_multiplier", "stop_loss", "take_profit"]) {
    if (decision[name] !== undefined) printKnown(decision[name]);
  }
  printTime(decision.timestamp);
}

export function whales({ exchanges, summary, last_update }: any): void {
  for (const coins of Object.values<any>(exchanges)) {
    for (const { inflow, outflow } of Object.values<any>(coins)) for (const flow of [inflow, outflow]) print(flow);
  }
  for (const total of Object.values<any>(summary)) {
    for (const name of ["total_inflow", "total_outflow", "net_flow"]) print(total[name]);
  }
  if (last_update !== undefined) printTime(last_update);
}

function amounts({ balances, total_value_zar }: any): void {
  for (const [asset, { free, locked }] of Object.entries<any>(balances)) {
    assert.ok(asset.length > 0);
    for (const amount of [free, locked]) print(amount, 8);
  }
  printKnown(total_value_zar);
}

/** By the event's name. A polled body comes as the event of its route, whatever its shape. */
export const panels: Record<string, (data: any) => void> = {
  trades: (data) => (Array.isArray(data.trades) ? data.trades.forEach(trade) : trade(data)),
  bots: (data) => {
    for (const bot of Array.isArray(data) ? data : [data]) assert.match(bot.status, /^(running|stopped|paused|error)$/);
  },
  balances: (data) => {
    if (data.master_wallet === undefined) {
      assert.equal(typeof data.platform, "string");
      amounts(data);
    } else {
      print(data.master_wallet.total_zar);
      Object.values(data.exchanges).forEach(amounts);
    }
  },
  decisions: decision,
  whale: whales,
  wallet: (data) => assert.equal(typeof data.event, "string"),
  ai_tasks: ({ status, task_type, progress, error }) => {
    if (status === "completed") task_type.replace("_", " ");
    if (status === "failed") String(error);
    if (status === "running") assert.ok(!Number.isNaN(Math.round(progress * 100)), `progress ${progress}`);
  },
  alerts: (data) => assert.match(data.severity, /^(info|warning|error|critical)$/),
  system_health: (data) => {
    assert.match(data.status, /^(healthy|degraded)$/);
    printTime(data.timestamp);
  },
  metrics: (data) => {
    for (const name of ["equity", "total_pnl", "win_rate"]) printKnown(data[name]);
  },
};
