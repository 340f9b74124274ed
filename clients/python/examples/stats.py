"""Prints how the signals did, by instrument, as one would look at it in a notebook.

    ORION_URL=http://localhost:8080 python examples/stats.py
"""

import os

from orion_client import Client

with Client(os.environ.get("ORION_URL", "http://localhost:8080"), os.environ.get("ORION_READ_TOKEN")) as orion:
    stats = orion.stats()
    print(stats["note"])
    print(f"{'':8} {'trades':>6} {'total R':>8}")
    for symbol, row in {**stats["symbol"], "all": stats["all"]}.items():
        print(f"{symbol:8} {row['trades']:6} {row['total_r']:8.2f}")
    newest = next(orion.signals(), None)
    print("newest signal:", newest and f"{newest['symbol']} {newest['direction']} {newest['status']}")
