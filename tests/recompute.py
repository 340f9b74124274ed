"""Computes the statistics of a backtest's report anew from its records and compares them. Uses nothing but Python itself.

usage: recompute.py REPORT.json
Prints how much was compared; fails where two numbers are more than 1e-9 apart."""
import json
import math
import sys
from collections import Counter, defaultdict

report = json.load(open(sys.argv[1]))
SETUPS = {
    "mss_fvg": "MSS+FVG", "order_block": "Order Block retest", "liquidity_sweep": "Liquidity sweep",
    "bos": "BOS confirmation", "premium_discount": "Premium/Discount entry", None: "other",
}
numbers = 0


def wilson(k, n, z=1.96):
    if n == 0:
        return None
    p = k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {"rate": p, "low": max(0.0, centre - half), "high": min(1.0, centre + half)}


def stats(outcomes):
    outcomes = sorted(outcomes, key=lambda o: (o["closed_at"], o["signal"]))
    trades = [o for o in outcomes if o["class"] not in ("not_filled", "interrupted", "unmeasured")]
    n = len(trades)
    results = [o["r"] for o in trades]
    wins, losses = sum(r for r in results if r > 0), -sum(r for r in results if r < 0)
    total = peak = deepest = 0.0
    for r in results:
        total += r
        peak = max(peak, total)
        deepest = max(deepest, peak - total)
    mean = lambda values: math.fsum(values) / n if n else None
    net = [o["net"]["r"] for o in trades if "net" in o]
    return {
        "signals": len(outcomes), "trades": n, "few": n < 30, "with_gap": sum(o["gap_seconds"] > 0 for o in trades), "classes": dict(Counter(o["class"] for o in outcomes)),
        "win_rate": wilson(sum(r > 0 for r in results), n),
        "first_target_rate": wilson(sum(o["targets_hit"] > 0 for o in trades), n),
        "expectancy_r": mean(results), "total_r": math.fsum(results),
        "profit_factor": wins / losses if losses > 0 else None, "max_drawdown_r": deepest,
        "mean_mfe": mean([o["mfe"] for o in trades]), "mean_mae": mean([o["mae"] for o in trades]),
        "brier": mean([(o["confidence"] - (o["targets_hit"] > 0)) ** 2 for o in trades]),
    } | ({"net": net_stats(net)} if net else {})


def net_stats(results):
    wins, losses = sum(r for r in results if r > 0), -sum(r for r in results if r < 0)
    sums = [math.fsum(results[:k]) for k in range(len(results) + 1)]
    return {
        "trades": len(results), "win_rate": wilson(sum(r > 0 for r in results), len(results)), "expectancy_r": math.fsum(results) / len(results),
        "total_r": math.fsum(results), "profit_factor": wins / losses if losses > 0 else None,
        "max_drawdown_r": max(max(sums[:k + 1]) - sums[k] for k in range(len(sums))),
    }


def compare(path, told, computed):
    global numbers
    if isinstance(computed, dict):
        assert isinstance(told, dict) and told.keys() == computed.keys(), (path, told, computed)
        for key in computed:
            compare(f"{path}.{key}", told[key], computed[key])
    elif isinstance(computed, float):
        assert abs(told - computed) <= 1e-9, (path, told, computed)
        numbers += 1
    elif isinstance(computed, list):
        compare(path, dict(enumerate(told)), dict(enumerate(computed)))
    else:
        assert told == computed, (path, told, computed)
        numbers += 1


KEYS = {
    "symbol": lambda o: o["symbol"], "setup": lambda o: SETUPS[o["setup"]], "killzone": lambda o: o["killzone"],
    "source": lambda o: o["source"], "confidence": lambda o: f"0.{min(9, int(o['confidence'] * 10 + 1e-6))}",
}
outcomes = report["outcomes"]
compare("all", report["statistics"]["all"], stats(outcomes))
for group, key in KEYS.items():
    parts = defaultdict(list)
    for outcome in outcomes:
        parts[key(outcome)].append(outcome)
    compare(group, report["statistics"][group], {name: stats(part) for name, part in parts.items()})

# The course of the results, net of costs.
def course(results):
    points = []
    for k in range(1, len(results) + 1):
        total = math.fsum(results[:k])
        points.append((total, max(0.0, *(math.fsum(results[:j]) for j in range(k + 1))) - total))
    return points


def spread_of(factor, results):
    return {
        "factor": factor, "trades": len(results), "total_r": math.fsum(results), "mean_r": math.fsum(results) / len(results) if results else None,
        "max_drawdown_r": max([fall for _, fall in course(results)], default=0.0), "results": results,
    }


if "curve" in report:
    trades = sorted((o for o in outcomes if o["class"] not in ("not_filled", "interrupted", "unmeasured")), key=lambda o: (o["closed_at"], o["signal"]))
    results = [o.get("net", o)["r"] for o in trades]
    points = course(results)
    compare("curve", dict(enumerate(report["curve"])), {
        place: {"closed_at": trade["closed_at"], "total_r": total, "drawdown_r": fall} for place, (trade, (total, fall)) in enumerate(zip(trades, points))
    })
    months = defaultdict(list)
    for trade, r, (_, fall) in zip(trades, results, points):
        months[trade["closed_at"][:7]].append((r, fall))
    compare("months", dict(enumerate(report["months"])), {
        place: {
            "month": month, "trades": len(of), "winners": sum(r > 0 for r, _ in of), "total_r": math.fsum(r for r, _ in of),
            "mean_r": math.fsum(r for r, _ in of) / len(of), "max_drawdown_r": max(fall for _, fall in of),
        }
        for place, (month, of) in enumerate(sorted(months.items()))
    })
    # What the trades were with another spread is given; what it comes to is not.
    given = [spread["results"] for spread in report.get("spreads", [])]
    compare("spreads", dict(enumerate(report.get("spreads", []))), {
        place: spread_of(factor, results) for place, (factor, results) in enumerate(zip((1.0, 1.5, 2.0), [results, *given[1:]][: len(given)]))
    })

# Each result from the levels alone: what the targets that were hit closed, and the rest at one price for all of it.
changes = {change["id"]: change for change in report["changes"]}
for outcome in outcomes:
    signal = changes[outcome["signal"]]
    assert signal["status"] == "confirmed" and (signal["entry_price"], signal["stop_loss"]) == (outcome["entry"], outcome["stop"])
    if outcome["class"] in ("interrupted", "unmeasured") or outcome["fill"] is None:
        assert outcome["r"] == 0 and outcome["fill"] is None and outcome["class"] not in ("targets", "stop", "ambiguous", "expired"), outcome
        continue
    sign, risk = (1 if signal["direction"] == "long" else -1), abs(signal["entry_price"] - signal["stop_loss"])
    shares = [float(mode.split()[-1].rstrip("%")) / 100 for mode in signal["tp_modes"]]
    targets = [sign * (target - outcome["fill"]) / risk for target in signal["take_profits"]]
    hit = outcome["targets_hit"]
    closed = sum(share * target for share, target in zip(shares[:hit], targets[:hit]))
    rest = sum(shares[hit:])
    if outcome["class"] == "targets":
        assert abs(outcome["r"] - closed) <= 1e-9, outcome
    elif outcome["class"] in ("stop", "ambiguous"):
        assert abs(closed + rest * outcome["mae"] - outcome["r"]) <= 1e-9 and outcome["mae"] <= sign * (signal["stop_loss"] - outcome["fill"]) / risk + 1e-9, outcome
    numbers += 1
    if "net" in outcome:
        # Half of the slippage of a round trip at the market for the entry, unless by a limit order, and the rest for what no target closed.
        fills = (outcome.get("order", "market") == "market") + rest
        net, costs = outcome["net"], report.get("costs", {})
        assert outcome["class"] not in ("not_filled", "interrupted", "unmeasured"), outcome
        assert abs(outcome["r"] - net["slippage_r"] - net["commission_r"] - net["r"]) <= 1e-9, outcome
        for cost, of in (("slippage", fills), ("commission", 1)):
            if cost in costs:
                assert abs(net[f"{cost}_r"] - costs[cost] * of / risk) <= 1e-9, (cost, outcome)
                numbers += 1
print(json.dumps({"numbers": numbers, "trades": report["statistics"]["all"]["trades"]}))
