"""Where requests go and how fast: several servers of one model, and limits per minute."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from autoif.generation.openai_connection import Connection

BURST_SECONDS = 1.0
"""A limit per minute is kept evenly, with so much slack."""


@dataclass(slots=True, eq=False)
class Server:
    """One base URL. ``resting_until``: loop time before which it is asked only when all others rest too."""

    url: str | None
    connection: Connection
    flying: int = 0
    resting_until: float = 0.0

    @property
    def name(self) -> str:
        """For messages."""
        return self.url or "the OpenAI API"

    def rest(self, seconds: float) -> None:
        """Leave it alone for a while: it failed or asked for it."""
        self.resting_until = max(self.resting_until, asyncio.get_running_loop().time() + seconds)


def least_busy(servers: Sequence[Server]) -> Server:
    """The one to ask next: not resting, fewest requests in flight."""
    if len(servers) == 1:
        return servers[0]
    now = asyncio.get_running_loop().time()
    return min(servers, key=lambda server: (server.resting_until > now, server.flying))


class Pace:
    """At most ``per_minute`` units a minute (None: no limit), spread evenly. Lives on one event loop."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 60.0 / per_minute if per_minute else 0.0
        self._free_at = 0.0

    async def take(self, units: float) -> None:
        """Wait until ``units`` more fit."""
        if not self._seconds:
            return
        now = asyncio.get_running_loop().time()
        begin = max(self._free_at, now - BURST_SECONDS)
        self._free_at = begin + units * self._seconds
        if begin > now:
            await asyncio.sleep(begin - now)

    def give_back(self, units: float) -> None:
        """``units`` that were taken were not needed."""
        self._free_at -= units * self._seconds
