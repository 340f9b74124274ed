"""Computes the figures of `orion-server backtest --sweep … --json` again, from the results of each day and trade.

    python3 tests/recompute_sweep.py report.json

Shares no code with the server. Exits with 1, and names the figure, where one differs by more than 1e-9.
"""

import itertools
import json
import math
import sys
from fractions import Fraction
from statistics import NormalDist, fmean, median, stdev, variance

NORMAL = NormalDist()
EULER = 0.5772156649015329
FOLDS = 5
PARTS = 16
SAMPLES = 2000


def moments(days):
    if len(days) < 2 or all(day == days[0] for day in days):
        return None
    mean = math.fsum(days) / len(days)
    central = lambda power: math.fsum((day - mean) ** power for day in days) / len(days)
    return mean / stdev(days), central(3) / central(2) ** 1.5, central(4) / central(2) ** 2


def probabilistic(days, benchmark):
    sharpe, skewness, kurtosis = moments(days)
    spread = math.sqrt(max(0.0, 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2))
    return NORMAL.cdf((sharpe - benchmark) * math.sqrt(len(days) - 1) / spread)


def best(tries, days):
    rated = [(moments(it["daily_r"][days]), place) for place, it in enumerate(tries)]
    rated = [(found[0], -place) for found, place in rated if found]
    return -max(rated)[1] if rated else None


def expected_maximum(spread, tries):
    if tries < 2:
        return 0.0
    quantile = lambda share: NORMAL.inv_cdf(1 - share)
    return math.sqrt(spread) * ((1 - EULER) * quantile(1 / tries) + EULER * quantile(1 / (tries * math.e)))


def bootstrap(days):
    if len(days) < 2:
        return None
    block = next(size for size in range(1, len(days) + 1) if size**3 >= len(days))
    state, means = 0, []
    for _ in range(SAMPLES):
        taken = []
        while len(taken) < len(days):
            state = (state + 0x9E3779B97F4A7C15) % 2**64
            mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
            start = (mixed ^ mixed >> 31) * (len(days) - block + 1) >> 64
            taken += days[start : start + block]
        means.append(math.fsum(taken[: len(days)]) / len(days))
    means.sort()
    at = lambda share: means[int(Fraction(SAMPLES - 1) * share + Fraction(1, 2))]
    return [at(Fraction(25, 1000)), at(Fraction(975, 1000))]


def overfitting(rows):
    size = len(rows[0]) // PARTS if rows else 0
    if len(rows) < 2 or not size:
        return None

    def ratio(days):
        mean = math.fsum(days) / len(days)
        spread = math.fsum((day - mean) ** 2 for day in days) / (len(days) - 1)
        return mean / math.sqrt(spread) if spread > 1e-18 else 0.0

    logits, losses = [], 0
    parts = [[row[part * size : (part + 1) * size] for part in range(PARTS)] for row in rows]
    for inside in itertools.combinations(range(PARTS), PARTS // 2):
        of = lambda chosen: [ratio(sum((row[part] for part in chosen), [])) for row in parts]
        here, there = of(inside), of([part for part in range(PARTS) if part not in inside])
        winner = here.index(max(here))
        rank = sum(it < there[winner] for it in there) + (sum(it == there[winner] for it in there) + 1) / 2
        share = rank / (len(rows) + 1)
        logits.append(math.log(share / (1 - share)))
        losses += there[winner] < 0
    return {
        "splits": len(logits),
        "probability": sum(logit <= 0 for logit in logits) / len(logits),
        "loss_probability": losses / len(logits),
        "median_logit": median(logits),
    }


def walked(tries, days):
    edges = [days * part // (FOLDS + 1) for part in range(FOLDS + 2)]
    folds, series = [], []
    for start, end in zip(edges[1:], edges[2:]):
        if start == end:
            continue
        chosen = best(tries, slice(0, start))
        daily = [0.0] * (end - start) if chosen is None else tries[chosen]["daily_r"][start:end]
        folds.append({"chosen": chosen, "total_r": math.fsum(daily)})
        series += daily
    found = moments(series)
    return {"folds": folds, "total_r": math.fsum(series), "sharpe": found and found[0]}


def drawdown(days):
    sums = [math.fsum(days[:count]) for count in range(len(days) + 1)]
    return max(max(sums[: place + 1]) - total for place, total in enumerate(sums))


def same(told, computed, name):
    if isinstance(computed, dict):
        for key, value in computed.items():
            same(told[key], value, f"{name}.{key}")
    elif isinstance(computed, list):
        if len(told) != len(computed):
            sys.exit(f"{name} has {len(told)} items, not {len(computed)}")
        for place, value in enumerate(computed):
            same(told[place], value, f"{name}[{place}]")
    elif told is None or computed is None or isinstance(computed, str):
        if told != computed:
            sys.exit(f"{name} is {told}, not {computed}")
    elif abs(told - computed) > 1e-9:
        sys.exit(f"{name} is {told}, not {computed}")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        report = json.load(file)
    tries, count = report["tries"], report["sample_days"]
    sample, after = slice(0, count), slice(count, len(report["days"]))
    for place, it in enumerate(tries):
        same(math.fsum(it["daily_r"]), math.fsum(it["results"]), f"tries[{place}]: the sum of the days")
        for name, days in [("sample", it["daily_r"][sample]), ("held_out", it["daily_r"][after])]:
            found = moments(days)
            computed = {
                "total_r": math.fsum(days),
                "sharpe": found and found[0],
                "probabilistic_sharpe": found and probabilistic(days, 0),
            }
            told = it[name]
            if told["trades"]:
                computed["mean_r"] = math.fsum(days) / told["trades"]
            same(told, computed, f"tries[{place}].{name}")
        same(it["sample"]["trades"] + it["held_out"]["trades"], len(it["results"]), f"tries[{place}]: the trades")
    ratios = [it["sample"]["sharpe"] or 0.0 for it in tries]
    spread = variance(ratios) if len(ratios) > 1 else 0.0
    same(report["sharpe_variance"], spread, "sharpe_variance")
    chosen = best(tries, sample)
    if chosen is None:
        same(report["chosen"], None, "chosen")
    else:
        days = tries[chosen]["daily_r"]
        expected = expected_maximum(spread, len(tries))
        computed = {
            "place": chosen,
            "expected_maximum_sharpe": expected,
            "deflated_sharpe": probabilistic(days[sample], expected),
            "sample_interval": bootstrap(days[sample]),
            "held_out_interval": bootstrap(days[after]),
        }
        months = {}
        for day, r in zip(report["days"], days):
            months.setdefault(day[:7], []).append(r)
        computed["months"] = [{"month": month, "days": len(of), "total_r": math.fsum(of)} for month, of in sorted(months.items())]
        computed["max_drawdown_r"] = drawdown(days)
        same(report["chosen"], computed, "chosen")
        spreads = report["chosen"]["spreads"]
        same(spreads[0]["daily_r"], days, "chosen.spreads[0]")
        for place, (factor, it) in enumerate(zip([1, 1.5, 2], spreads, strict=True)):
            found, results = moments(it["daily_r"]), it["results"]
            computed = {
                "factor": factor,
                "trades": len(results),
                "total_r": math.fsum(results),
                "mean_r": fmean(results) if results else None,
                "sharpe": found and found[0],
                "probabilistic_sharpe": found and probabilistic(it["daily_r"], 0),
            }
            same(it, computed, f"chosen.spreads[{place}]")
            same(math.fsum(it["daily_r"]), math.fsum(results), f"chosen.spreads[{place}]: the sum of the days")
    same(report["overfitting"], overfitting([it["daily_r"][sample] for it in tries]), "overfitting")
    same(report["walk_forward"], walked(tries, count), "walk_forward")
    for setting in report["swept"]:
        for place, value in enumerate(setting["values"]):
            having = [it for it in tries if it["settings"][setting["key"]] == value]
            computed = {
                "value": value,
                "mean_trades": fmean(len(it["results"]) for it in having),
                "mean_total_r": fmean(math.fsum(it["daily_r"]) for it in having),
            }
            same(report["sensitivity"][setting["key"]][place], computed, f"sensitivity.{setting['key']}[{place}]")
    print(json.dumps({"tries": len(tries), "trades": sum(len(it["results"]) for it in tries)}))


main()
