"""Client of orion-server: pushes signals, prices and messages, and reads what the server has.

Everything that is sent is repeated until the server acknowledges it, for a bounded time. A signal is known by its id, so
that repeating it never makes a second one.
"""

from .client import AsyncClient, Client
from .errors import NotAcknowledged, OrionError, Rejected
from .retries import Retries
from .streams import StreamedSignal

__all__ = ["AsyncClient", "Client", "NotAcknowledged", "OrionError", "Rejected", "Retries", "StreamedSignal"]
