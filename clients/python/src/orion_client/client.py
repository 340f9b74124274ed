"""The two clients: they differ in how they wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, Self, cast

import httpx

from . import requests
from .models import (
    AnsweredPricesAnswer,
    AnsweredSignalAnswer,
    Bars,
    EventRequest,
    EventsAnswer,
    KillzoneClock,
    Presence,
    Price,
    PriceRequest,
    Signal,
    SignalLife,
    SignalRequest,
    Signals,
    Statistics,
)
from .requests import Request
from .retries import Attempts, Retries
from .streams import Follower, StreamedSignal

End = Literal["confirmed", "invalidated"]
_PAGE = 500


def _headers(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


class Client:
    """A client of one server. `token` is the ingest token for pushing, or a token for reading.

    Close it, or use it in a `with` block. It can be shared between threads.
    """

    def __init__(
        self, url: str, token: str | None = None, *, retries: Retries = Retries(), timeout: float = 10.0
    ) -> None:
        self._retries = retries
        self._timeout = timeout
        self._http = httpx.Client(
            base_url=url, headers=_headers(token), params={"protocol": "1"}, timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def push_signal(self, signal: SignalRequest, *, dry_run: bool = False) -> AnsweredSignalAnswer:
        """Pushes a signal until it is acknowledged. Without an `id` it gets one, which the answer names."""
        return cast(AnsweredSignalAnswer, self._send(requests.push_signal(signal, dry_run)))

    def end_signal(self, id: str, status: End, reason: str | None = None) -> AnsweredSignalAnswer:
        """Ends a signal."""
        return cast(AnsweredSignalAnswer, self._send(requests.end_signal(id, status, reason)))

    def push_prices(self, prices: PriceRequest | Sequence[PriceRequest]) -> AnsweredPricesAnswer:
        """Pushes a price, or up to 1,000, all or none of which are accepted."""
        return cast(AnsweredPricesAnswer, self._send(requests.push_prices(prices)))

    def publish(self, events: EventRequest | Sequence[EventRequest], *, at_least_once: bool = False) -> EventsAnswer:
        """Publishes a message for the dashboards, or up to 1,000.

        Messages have no id. If the connection breaks before the answer, it is not known whether they were published:
        then NotAcknowledged is raised, or, with `at_least_once`, they are sent again and may arrive twice.
        """
        return cast(EventsAnswer, self._send(requests.publish(events, at_least_once)))

    def prices(self) -> list[Price]:
        """Returns the last price of every symbol."""
        return cast(list[Price], self._send(requests.get("/api/prices"))["prices"])

    def signal(self, id: str) -> SignalLife:
        """Returns a signal, the history of its states, and its outcome."""
        return cast(SignalLife, self._send(requests.get(requests.signal_path(id))))

    def signals(self, **filters: object) -> Iterator[Signal]:
        """Returns signals, newest first, page by page: `status`, `symbol`, `killzone`, `since`, and the filters of `signals_stream`."""
        before = None
        while True:
            page = cast(Signals, self._send(requests.get("/api/signals", limit=_PAGE, before=before, **filters)))
            yield from page["signals"]
            before = page.get("next")
            if before is None:
                return

    def signals_stream(self, since: str | None = None, **filters: object) -> Iterator[StreamedSignal]:
        """Follows the signals for ever: the current ones first, or those after the cursor `since`, then live.

        After a disconnect it goes on where it was, each change once and in order, until no connection succeeds for
        `Retries.give_up_after`. If the server no longer has what was missed, the current signals come again. Keep the
        `cursor` to go on in another process. Filters: `symbols`, `min_confidence`, `directions`, `killzones`, `setups`,
        `sources`, `statuses`; several values as a list.
        """
        follower = Follower(self._retries, since, filters, self._timeout)
        while True:
            try:
                answer = self._http.send(follower.request(self._http), stream=True)
                try:
                    if not answer.is_success:
                        answer.read()
                    pause = follower.after_answer(answer)
                    if pause is None:
                        for text in answer.iter_text():
                            yield from follower.take(text)
                        pause = follower.after_end()
                finally:
                    answer.close()
            except httpx.TransportError as error:
                pause = follower.after_error(error)
            time.sleep(pause)

    def stats(self, **filters: object) -> Statistics:
        """Returns the outcomes of confirmed signals: `symbol`, `source`, `since`, `until`, `feed`."""
        return cast(Statistics, self._send(requests.get("/api/stats", **filters)))

    def bars(self, symbol: str, *, interval: str = "1m", limit: int = 200) -> Bars:
        """Returns the bars of an instrument."""
        return cast(Bars, self._send(requests.get("/api/bars", symbol=symbol, interval=interval, limit=limit)))

    def killzones(self) -> KillzoneClock:
        """Returns the killzone clock."""
        return cast(KillzoneClock, self._send(requests.get("/api/killzones")))

    def presence(self) -> Presence:
        """Returns how many clients are connected to the node that answers."""
        return cast(Presence, self._send(requests.get("/api/presence")))

    def _send(self, request: Request) -> Any:
        attempts = Attempts(self._retries, request)
        while True:
            try:
                answer = self._http.request(request.method, request.path, json=request.body, params=request.query)
            except httpx.TransportError as error:
                pause = attempts.after_error(error)
            else:
                wait = attempts.after_answer(answer)
                if wait is None:
                    return answer.json()
                pause = wait
            time.sleep(pause)


class AsyncClient:
    """The same as `Client`, for asyncio."""

    def __init__(
        self, url: str, token: str | None = None, *, retries: Retries = Retries(), timeout: float = 10.0
    ) -> None:
        self._retries = retries
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            base_url=url, headers=_headers(token), params={"protocol": "1"}, timeout=timeout
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def push_signal(self, signal: SignalRequest, *, dry_run: bool = False) -> AnsweredSignalAnswer:
        """Pushes a signal until it is acknowledged. Without an `id` it gets one, which the answer names."""
        return cast(AnsweredSignalAnswer, await self._send(requests.push_signal(signal, dry_run)))

    async def end_signal(self, id: str, status: End, reason: str | None = None) -> AnsweredSignalAnswer:
        """Ends a signal."""
        return cast(AnsweredSignalAnswer, await self._send(requests.end_signal(id, status, reason)))

    async def push_prices(self, prices: PriceRequest | Sequence[PriceRequest]) -> AnsweredPricesAnswer:
        """Pushes a price, or up to 1,000, all or none of which are accepted."""
        return cast(AnsweredPricesAnswer, await self._send(requests.push_prices(prices)))

    async def publish(
        self, events: EventRequest | Sequence[EventRequest], *, at_least_once: bool = False
    ) -> EventsAnswer:
        """Publishes a message for the dashboards, or up to 1,000; see `Client.publish`."""
        return cast(EventsAnswer, await self._send(requests.publish(events, at_least_once)))

    async def prices(self) -> list[Price]:
        """Returns the last price of every symbol."""
        return cast(list[Price], (await self._send(requests.get("/api/prices")))["prices"])

    async def signal(self, id: str) -> SignalLife:
        """Returns a signal, the history of its states, and its outcome."""
        return cast(SignalLife, await self._send(requests.get(requests.signal_path(id))))

    async def signals(self, **filters: object) -> AsyncIterator[Signal]:
        """Returns signals, newest first, page by page: `status`, `symbol`, `killzone`, `since`, and the filters of `signals_stream`."""
        before = None
        while True:
            request = requests.get("/api/signals", limit=_PAGE, before=before, **filters)
            page = cast(Signals, await self._send(request))
            for signal in page["signals"]:
                yield signal
            before = page.get("next")
            if before is None:
                return

    async def signals_stream(self, since: str | None = None, **filters: object) -> AsyncIterator[StreamedSignal]:
        """Follows the signals for ever; see `Client.signals_stream`."""
        follower = Follower(self._retries, since, filters, self._timeout)
        while True:
            try:
                answer = await self._http.send(follower.request(self._http), stream=True)
                try:
                    if not answer.is_success:
                        await answer.aread()
                    pause = follower.after_answer(answer)
                    if pause is None:
                        async for text in answer.aiter_text():
                            for streamed in follower.take(text):
                                yield streamed
                        pause = follower.after_end()
                finally:
                    await answer.aclose()
            except httpx.TransportError as error:
                pause = follower.after_error(error)
            await asyncio.sleep(pause)

    async def stats(self, **filters: object) -> Statistics:
        """Returns the outcomes of confirmed signals: `symbol`, `source`, `since`, `until`, `feed`."""
        return cast(Statistics, await self._send(requests.get("/api/stats", **filters)))

    async def bars(self, symbol: str, *, interval: str = "1m", limit: int = 200) -> Bars:
        """Returns the bars of an instrument."""
        return cast(Bars, await self._send(requests.get("/api/bars", symbol=symbol, interval=interval, limit=limit)))

    async def killzones(self) -> KillzoneClock:
        """Returns the killzone clock."""
        return cast(KillzoneClock, await self._send(requests.get("/api/killzones")))

    async def presence(self) -> Presence:
        """Returns how many clients are connected to the node that answers."""
        return cast(Presence, await self._send(requests.get("/api/presence")))

    async def _send(self, request: Request) -> Any:
        attempts = Attempts(self._retries, request)
        while True:
            try:
                answer = await self._http.request(
                    request.method, request.path, json=request.body, params=request.query
                )
            except httpx.TransportError as error:
                pause = attempts.after_error(error)
            else:
                wait = attempts.after_answer(answer)
                if wait is None:
                    return answer.json()
                pause = wait
            await asyncio.sleep(pause)
