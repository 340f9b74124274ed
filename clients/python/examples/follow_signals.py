"""A bot that follows the signals: it keeps its cursor in a file, so that it misses none while it is away, and takes none twice.

    ORION_URL=http://localhost:8080 python examples/follow_signals.py cursor.txt
"""

import os
import sys
from pathlib import Path

from orion_client import Client
from orion_client.models import Signal


def trade(signal: Signal) -> None:
    """Stands for your broker."""
    print(signal["status"], signal["id"], signal["direction"], signal["symbol"], flush=True)


def main(file: Path) -> None:
    since = file.read_text() if file.exists() else None
    with Client(os.environ.get("ORION_URL", "http://localhost:8080"), os.environ.get("ORION_READ_TOKEN")) as orion:
        for signal, cursor in orion.signals_stream(since, min_confidence=0.6, statuses=["confirmed", "invalidated"]):
            trade(signal)
            # After the trade: if the bot ends in between, it gets the signal again.
            file.write_text(cursor)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "cursor.txt"))
