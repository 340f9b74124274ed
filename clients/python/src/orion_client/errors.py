"""What can go wrong."""

from typing import Any


class OrionError(Exception):
    """The base of all errors of this package."""


class Rejected(OrionError):
    """The server has rejected a request. Sending the same again does not help."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        """Status of the answer."""
        self.code: str = str(body.get("code", "unknown"))
        """Code for programs, such as `validation_failed`."""
        details = body.get("details")
        self.details: dict[str, Any] = details if isinstance(details, dict) else {}
        """Further details."""
        fields = self.details.get("fields")
        self.fields: dict[str, str] = fields if isinstance(fields, dict) else {}
        """Each invalid field with what is wrong about it."""
        faults = "; ".join(f"{name} {reason}" for name, reason in self.fields.items())
        text = str(body.get("error", "no reason given"))
        super().__init__(f"{status} {self.code}: {text}" + (f" ({faults})" if faults else ""))


class NotAcknowledged(OrionError):
    """The server has not acknowledged a request in time. It may have been accepted nevertheless."""
