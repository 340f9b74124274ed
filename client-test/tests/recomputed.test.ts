/** The words of "Live against backtest", for what the server answers. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { agrees, differenceCount, differingValues, emptyReason, publishedAt, reasons, signalsOf } from "../src/console/recomputed.ts";
import type { Recomputation, Recomputations } from "../src/messages.ts";

/** The bytes that the test of the route expects. */
const report = JSON.parse(readFileSync(new URL("../../src/http/tests/recomputations.json", import.meta.url), "utf8")) as Recomputations;
const [eventful, lost, quiet] = report.days as readonly [Recomputation, Recomputation, Recomputation];
const [ended, moved, onlyLive, onlyRecomputed] = eventful.differences;

test("a day says how many signals agree", () => {
  assert.equal(signalsOf(eventful), "42 live, 42 recomputed");
  assert.equal(signalsOf(lost), "7 live, 0 recomputed");
  assert.equal(signalsOf(quiet), "all 38 signals agree");
  assert.equal(signalsOf({ ...quiet, live: 1 }), "the only signal agrees");
  assert.equal(signalsOf({ ...quiet, live: 0 }), "no signals");
});

test("a day with a problem does not agree", () => {
  assert.deepEqual([eventful, lost, quiet].map(agrees), [false, false, true]);
  assert.equal(differenceCount(lost), 0);
});

test("only reasons with differences are shown", () => {
  assert.deepEqual(reasons(eventful), [["failover", 1], ["gap", 1], ["late_tick", 1], ["unexplained", 1]]);
  assert.deepEqual(reasons(quiet), []);
});

test("values that differ stand side by side", () => {
  assert.deepEqual(differingValues(moved!), [
    { what: "Entry", live: "4045", recomputed: "4045.5" },
    { what: "Confidence", live: "0.72", recomputed: "0.7" },
  ]);
  assert.deepEqual(differingValues(ended!), [
    { what: "End", live: "confirmed at 08:02:00.210", recomputed: "invalidated: timeout at 08:03:00.000" },
  ]);
});

test("another end counts where more differs", () => {
  const both = { ...moved!, recomputed: { ...moved!.recomputed!, status: "pending", ended_at: null } as const };
  assert.deepEqual(differingValues(both).at(-1), { what: "End", live: "confirmed at 08:02:00.210", recomputed: "pending" });
  const later = { ...moved!, recomputed: { ...moved!.recomputed!, ended_at: "2026-01-14T08:03:00.000Z" } };
  assert.equal(differingValues(later).some(({ what }) => what === "End"), false);
});

test("a signal of one side is shown whole", () => {
  const whole = "long, entry 1.085, stop 1.082, targets 1.088, 1.0915, confidence 0.72, pending";
  assert.deepEqual(differingValues(onlyLive!), [{ what: "Only live", live: whole, recomputed: "–" }]);
  assert.deepEqual(differingValues(onlyRecomputed!), [{ what: "Only recomputed", live: "–", recomputed: whole }]);
  assert.equal(publishedAt(onlyRecomputed!), "2026-01-14T07:58:00.140Z");
});

test("no difference is left without a row", () => {
  assert.equal(differingValues({ ...moved!, recomputed: moved!.live }).length, 1);
});

test("an empty list says why", () => {
  assert.equal(emptyReason(report), "");
  assert.match(emptyReason({ ...report, days: [] }), /first result comes at 00:10 UTC/);
  assert.match(emptyReason({ ...report, days: [], enabled: false }), /data\.tick_retention is 0/);
  assert.match(emptyReason({ ...report, enabled: false }), /data\.tick_retention is 0/);
});
