"""Computes the figures of `orion-server calibrate --json` again, from the exported outcomes.

    python3 tests/recompute_calibration.py both.json

The file has `{"report": …, "outcomes": […]}`. Shares no code with the server. Exits with 1, and names the figure, where one differs by
more than 1e-9. Prints how many numbers were compared.
"""

import hashlib
import json
import math
import sys
from fractions import Fraction

both = json.load(open(sys.argv[1]))
report = both["report"]
numbers = 0


def compare(path, told, computed):
    global numbers
    if isinstance(computed, dict):
        assert isinstance(told, dict) and told.keys() == computed.keys(), (path, told, computed)
        for key in computed:
            compare(f"{path}.{key}", told[key], computed[key])
    elif isinstance(computed, list):
        assert len(told) == len(computed), (path, told, computed)
        for place, value in enumerate(computed):
            compare(f"{path}[{place}]", told[place], value)
    elif isinstance(computed, (float, Fraction)):
        assert abs(told - computed) <= 1e-9, (path, told, computed)
        numbers += 1
    else:
        assert told == computed, (path, told, computed)
        numbers += 1


def wilson(k, n, z=1.96):
    p, scale = k / n, 1 + z * z / n
    centre, half = (p + z * z / (2 * n)) / scale, z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    return {"rate": p, "low": max(0.0, centre - half), "high": min(1.0, centre + half)}


def isotonic(samples):
    """The least-squares rising fit by its definition: at each score the largest of the least means over all runs around it."""
    scores = sorted({score for score, _ in samples})
    weight = {score: [0, 0] for score in scores}
    for score, hit in samples:
        weight[score][0] += 1
        weight[score][1] += hit
    n, k = [0], [0]
    for score in scores:
        n.append(n[-1] + weight[score][0])
        k.append(k[-1] + weight[score][1])
    mean = lambda first, last: Fraction(k[last + 1] - k[first], n[last + 1] - n[first])
    size = len(scores)
    return {score: max(min(mean(a, b) for b in range(i, size)) for a in range(i + 1)) for i, score in enumerate(scores)}


def mapped(fit, score):
    below, above = [s for s in fit if s < score], [s for s in fit if s >= score]
    if not below or not above:
        return float(fit[min(above)] if above else fit[max(below)])
    low, high = max(below), min(above)
    return float(fit[low] + Fraction(score - low, high - low) * (fit[high] - fit[low]))


def brier(samples, predict):
    return math.fsum((predict(score) - hit) ** 2 for score, hit in samples) / len(samples)


trades = [
    o for o in both["outcomes"]
    if o["class"] not in ("not_filled", "interrupted", "unmeasured") and o["source"] == report["source"] and o["feed"] in ("live", "delayed")
]
trades.sort(key=lambda o: (o["closed_at"], o["signal"]))
samples = [(round(o.get("calibration", {"score": o["confidence"]})["score"] * 10_000), int(o["targets_hit"] > 0)) for o in trades]
n, hits = len(samples), sum(hit for _, hit in samples)
compare("outcomes", report["outcomes"], n)
compare("came_true", report["came_true"], hits)

bins = {}
for score, hit in samples:
    bins.setdefault(min(9, score // 1000), []).append((score / 10_000, hit))
curve = [
    {
        "from": place / 10, "outcomes": len(part), "mean_score": math.fsum(score for score, _ in part) / len(part),
        "came_true": wilson(sum(hit for _, hit in part), len(part)),
    }
    for place, part in sorted(bins.items())
]
compare("curve", report["curve"], curve)
rate = hits / n
over = lambda of: math.fsum(bin["outcomes"] / n * of(bin["mean_score"], bin["came_true"]["rate"]) for bin in curve)
whole = brier(samples, lambda score: score / 10_000)
reliability, resolution, uncertainty = over(lambda p, o: (p - o) ** 2), over(lambda p, o: (o - rate) ** 2), rate * (1 - rate)
compare("brier", report["brier"], {
    "brier": whole, "reliability": reliability, "resolution": resolution, "uncertainty": uncertainty,
    "within_bins": whole - reliability + resolution - uncertainty, "skill": 1 - whole / uncertainty,
    "calibration_error": over(lambda p, o: abs(p - o)),
})

if n < report["minimum"]:
    assert report["mapping"] is None and report["held_out"] is None, report
else:
    first, last = samples[:n * 70 // 100], samples[n * 70 // 100:]
    fit = isotonic(first)
    compare("held_out", report["held_out"], {
        "outcomes": len(last), "brier": brier(last, lambda score: score / 10_000), "mapped_brier": brier(last, lambda score: mapped(fit, score)),
    })
    fit = isotonic(samples)
    block = next(size for size in range(1, n + 1) if size**3 >= n)
    state, resampled = 0, {score: [] for score in fit}
    for _ in range(2000):
        taken = []
        while len(taken) < n:
            state = (state + 0x9E3779B97F4A7C15) % 2**64
            mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
            start = (mixed ^ mixed >> 31) * (n - block + 1) >> 64
            taken += samples[start:start + min(block, n - len(taken))]
        again = isotonic(taken)
        for score in fit:
            resampled[score].append(mapped(again, score))
    points = []
    for score, confidence in fit.items():
        values = sorted(resampled[score])
        points.append({
            "score": score / 10_000, "outcomes": sum(s == score for s, _ in samples), "came_true": sum(hit for s, hit in samples if s == score),
            "confidence": float(confidence), "low": values[round(1999 * 0.025)], "high": values[round(1999 * 0.975)],
        })
    # The shortest decimal form is the same in both languages.
    text = "".join(f"{point['score']!r} {point['confidence']!r}\n".replace("0.0 ", "0 ").replace(" 0.0\n", " 0\n").replace("1.0 ", "1 ").replace(" 1.0\n", " 1\n") for point in points)
    compare("mapping", report["mapping"], {"version": hashlib.sha256(text.encode()).hexdigest()[:12], "points": points})
print(json.dumps({"numbers": numbers, "outcomes": n}))
