"""When a request is sent again, and for how long."""

import random
import time
from dataclasses import dataclass

import httpx

from .errors import NotAcknowledged, Rejected
from .requests import Request

# Answers after which the server, or a proxy in front of it, may accept the same request.
_TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})
# Codes that say that nothing of the request was accepted.
_NOT_ACCEPTED = frozenset({"rate_limited", "overloaded", "draining", "replaying", "unavailable"})


@dataclass(frozen=True)
class Retries:
    """How long a request is repeated, in seconds."""

    give_up_after: float = 60.0
    """Time from the first attempt, after which no other one begins."""
    first_pause: float = 0.25
    """Pause after the first attempt; it doubles with each one."""
    longest_pause: float = 10.0
    """The pause does not get longer, unless the server asks for it by `Retry-After`."""


class Attempts:
    """The attempts of one request."""

    def __init__(self, retries: Retries, request: Request) -> None:
        self._retries = retries
        self._request = request
        self._deadline = time.monotonic() + retries.give_up_after
        self._pause = retries.first_pause

    def after_error(self, error: httpx.TransportError) -> float:
        """Returns the pause until the next attempt; raises if there is none."""
        # Without a connection nothing was sent.
        if not (self._request.repeatable or isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))):
            raise NotAcknowledged(f"{self._request}: the connection broke before the answer") from error
        return self._next(f"no answer ({error!r})", None, error)

    def after_answer(self, response: httpx.Response) -> float | None:
        """Returns the pause until the next attempt, or None if the request was accepted; raises if it was rejected."""
        if response.is_success:
            return None
        body = _body(response)
        code = body.get("code")
        if response.status_code not in _TEMPORARY:
            raise Rejected(response.status_code, body)
        if not self._request.repeatable and code not in _NOT_ACCEPTED:
            raise NotAcknowledged(f"{self._request}: {response.status_code} {code}: {body.get('error', '')}")
        return self._next(f"{response.status_code} {code}", response.headers.get("Retry-After"), None)

    def _next(self, reason: str, retry_after: str | None, cause: Exception | None) -> float:
        asked = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
        # Clients that were cut at the same time do not come back at the same time.
        pause = max(asked, self._pause * random.uniform(0.5, 1.0))
        self._pause = min(self._pause * 2, self._retries.longest_pause)
        if time.monotonic() + pause > self._deadline:
            raise NotAcknowledged(f"{self._request}: gave up after {self._retries.give_up_after} s: {reason}") from cause
        return pause


def _body(response: httpx.Response) -> dict[str, object]:
    try:
        body = response.json()
    except ValueError:
        return {"error": response.text[:200]}
    return body if isinstance(body, dict) else {}
