"""The requests, the same for both clients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote
from uuid import uuid4

from .models import EventRequest, PriceRequest, SignalRequest


@dataclass(frozen=True)
class Request:
    """A request. A repeatable one may be sent again when it is not known whether it was accepted."""

    method: str
    path: str
    body: Any = None
    query: dict[str, str] = field(default_factory=dict)
    repeatable: bool = True

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def push_signal(signal: SignalRequest, dry_run: bool) -> Request:
    # The id is given before the first attempt, so that every attempt is about the same signal.
    body: dict[str, Any] = {"id": str(uuid4()), **cast(dict[str, Any], signal)}
    return Request("POST", "/api/signals", body, {"dry_run": "true"} if dry_run else {})


def end_signal(id: str, status: str, reason: str | None) -> Request:
    body = {"status": status} | ({"reason": reason} if reason is not None else {})
    return Request("PATCH", f"/api/signals/{quote(id, safe='')}", body)


def push_prices(prices: PriceRequest | Sequence[PriceRequest]) -> Request:
    body = prices if isinstance(prices, Mapping) else {"prices": list(prices)}
    return Request("POST", "/api/prices", body)


def publish(events: EventRequest | Sequence[EventRequest], at_least_once: bool) -> Request:
    body = events if isinstance(events, Mapping) else {"events": list(events)}
    return Request("POST", "/api/events", body, repeatable=at_least_once)


def text(value: object) -> str:
    """Returns a value as it stands in an address: lists with commas."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple, set, frozenset)) else str(value)


def get(path: str, **query: object) -> Request:
    return Request("GET", path, query={name: text(value) for name, value in query.items() if value is not None})


def signal_path(id: str) -> str:
    return f"/api/signals/{quote(id, safe='')}"
