"""A client of python-socketio, as its documentation writes one: subscribes on every connect and notes what comes.

    client.py URL sync|async polling|websocket|both SECONDS

Prints one JSON object on the way out. It runs with the current release and with 4.6 (Socket.IO 2).
"""

import asyncio
import json
import sys
import threading
import time

import engineio
import socketio

URL, KIND, TRANSPORTS, SECONDS = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
OPTIONS = {"transports": ["polling", "websocket"] if TRANSPORTS == "both" else [TRANSPORTS]}

told = {"connects": 0, "disconnects": 0, "refused": 0, "signals": [], "subscribed": 0, "prices": 0, "last_price": 0.0}


class Most:
    """Notes how many packets an answer to a poll has had at most."""

    packets = 0


def count_packets():
    decode = engineio.payload.Payload.decode

    def counting(self, encoded):
        try:
            return decode(self, encoded)
        finally:
            Most.packets = max(Most.packets, len(self.packets))

    engineio.payload.Payload.decode = counting


def on_signal(signal, meta):
    told["signals"].append([signal["id"], meta["cursor"]])


def on_price(price):
    told["prices"] += 1
    told["last_price"] = time.time()


def on_disconnect(*_reason):
    told["disconnects"] += 1


def on_refused(*_reason):
    told["refused"] += 1


def run_sync():
    client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=0.5)
    subscribed = threading.Event()

    def on_connect():
        told["connects"] += 1
        client.emit("subscribe", {"channels": ["signals", "prices"]})

    def on_subscribed(answer):
        told["subscribed"] += 1
        subscribed.set()

    client.on("connect", on_connect)
    client.on("disconnect", on_disconnect)
    client.on("connect_error", on_refused)
    client.on("signal", on_signal)
    client.on("price_update", on_price)
    client.on("subscribed", on_subscribed)
    client.connect(URL, **OPTIONS)
    subscribed.wait(SECONDS)
    time.sleep(SECONDS)
    return lambda: client.disconnect()


async def run_async():
    client = socketio.AsyncClient(reconnection_delay=0.2, reconnection_delay_max=0.5)
    subscribed = asyncio.Event()

    async def on_connect():
        told["connects"] += 1
        await client.emit("subscribe", {"channels": ["signals", "prices"]})

    async def on_subscribed(answer):
        told["subscribed"] += 1
        subscribed.set()

    client.on("connect", on_connect)
    client.on("disconnect", on_disconnect)
    client.on("connect_error", on_refused)
    client.on("signal", on_signal)
    client.on("price_update", on_price)
    client.on("subscribed", on_subscribed)
    await client.connect(URL, **OPTIONS)
    try:
        await asyncio.wait_for(subscribed.wait(), SECONDS)
    except asyncio.TimeoutError:
        pass
    await asyncio.sleep(SECONDS)
    report()
    await client.disconnect()


def report():
    age = time.time() - told.pop("last_price")
    print(json.dumps({**told, "price_age": age, "most_packets": Most.packets}), flush=True)


count_packets()
if KIND == "sync":
    leave = run_sync()
    report()
    leave()
else:
    asyncio.run(run_async())
