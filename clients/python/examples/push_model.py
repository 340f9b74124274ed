"""A model that pushes signals: it decides on each price, and each of its signals arrives exactly once.

    ORION_URL=http://localhost:8080 ORION_INGEST_TOKEN=secret python examples/push_model.py EURUSD
"""

import asyncio
import os
import sys

from orion_client import AsyncClient, Rejected
from orion_client.models import SignalRequest


def decide(symbol: str, price: float) -> SignalRequest:
    """Stands for your model: a long whose stop is 0.2 % away."""
    return {
        "symbol": symbol,
        "direction": "long",
        "entry_price": price,
        "stop_loss": price * 0.998,
        "take_profits": [price * 1.002, price * 1.004],
        "confidence": 0.7,
        "reason": "the example's model",
    }


async def main(symbol: str) -> None:
    url, token = os.environ.get("ORION_URL", "http://localhost:8080"), os.environ["ORION_INGEST_TOKEN"]
    async with AsyncClient(url, token) as orion:
        await orion.push_prices({"symbol": symbol, "price": 1.16})
        signal = decide(symbol, 1.16)
        try:
            pushed = await orion.push_signal(signal)
        except Rejected as rejected:
            sys.exit(f"repair the signal: {rejected.fields or rejected}")
        print("pushed", pushed["signal_id"], pushed["status"])
        ended = await orion.end_signal(pushed["signal_id"], "confirmed")
        print("ended", ended["signal_id"], ended["status"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "EURUSD"))
