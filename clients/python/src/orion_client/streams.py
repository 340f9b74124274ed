"""Following the signals: the events of a stream, and where it goes on after a disconnect."""

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import httpx

from .models import Signal
from .requests import Request, text
from .retries import Attempts, Retries

# The server writes a comment every 15 s.
_SILENCE = 45.0


class StreamedSignal(NamedTuple):
    """A signal as it is after a change, and the cursor after which the stream goes on."""

    signal: Signal
    cursor: str


class Follower:
    """One stream over all its connections: the same for both clients."""

    def __init__(self, retries: Retries, since: str | None, filters: Mapping[str, object], timeout: float) -> None:
        self._retries = retries
        self._cursor = since
        self._query = {name: text(value) for name, value in filters.items() if value is not None}
        self._timeout = httpx.Timeout(timeout, read=_SILENCE)
        self._attempts: Attempts | None = None
        self._rest = ""

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Returns the request of the next connection."""
        self._rest = ""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._cursor} if self._cursor else {})
        query = {"channels": "signals"} | self._query
        return http.build_request("GET", "/api/stream", params=query, headers=headers, timeout=self._timeout)

    def take(self, part: str) -> Iterator[StreamedSignal]:
        """Returns the signals in the next part of the stream."""
        *blocks, self._rest = (self._rest + part).split("\n\n")
        for block in blocks:
            # Other separators of lines may stand in the data.
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":") and ": " in line)
            if "data" not in fields:
                continue
            # The server is there: the time until the client gives up begins again.
            self._attempts = None
            self._cursor = fields.get("id", self._cursor)
            if fields.get("event") == "signal":
                yield StreamedSignal(json.loads(fields["data"]), fields["id"])

    def after_error(self, error: httpx.TransportError) -> float:
        """Returns the pause until the next connection; raises if there is none."""
        return self._bounded().after_error(error)

    def after_answer(self, answer: httpx.Response) -> float | None:
        """Returns the pause until the next connection, or None if the stream begins; raises if it was rejected."""
        return self._bounded().after_answer(answer)

    def after_end(self) -> float:
        """Returns the pause after a stream that the server has ended; raises if there is no other connection."""
        return self._bounded().after_error(httpx.RemoteProtocolError("the stream has ended"))

    def _bounded(self) -> Attempts:
        if self._attempts is None:
            self._attempts = Attempts(self._retries, Request("GET", "/api/stream"))
        return self._attempts
