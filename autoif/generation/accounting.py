"""Who asked how much: usage is charged to the stage that runs, kept beside the answers, and bounded by a budget.

A stage opens an account; whatever generates inside charges it. The call cache stores each charge in the transaction
of the answers it is for, so the sums are right after any number of kills.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from autoif.errors import EngineError
from autoif.generation.base import Answer, Completion
from autoif.progress import CALLS, advance


class Usage(msgspec.Struct, kw_only=True):
    """What was asked. ``hits`` came from the cache, ``misses`` from the engine; ``retries`` were sent again;
    ``seconds``: waited for the engine; tokens are the engine's."""

    hits: int = 0
    misses: int = 0
    failures: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    def hit(self) -> None:
        """Count an answer that needed no call."""
        self.hits += 1
        advance(CALLS)

    def count(self, answer: Answer) -> None:
        """Count an answer the engine gave."""
        self.misses += 1
        advance(CALLS)
        if isinstance(answer, Completion):
            self.prompt_tokens += answer.prompt_tokens
            self.completion_tokens += answer.completion_tokens
        else:
            self.failures += 1

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    def __sub__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) - getattr(other, name) for name in self.__struct_fields__})

    def copy(self) -> Usage:
        """The sums as they are now."""
        return self + Usage()


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """Money per million tokens, in and out."""

    input: float = 0.0
    output: float = 0.0

    def of(self, usage: Usage) -> float:
        """What ``usage`` cost."""
        return (self.input * usage.prompt_tokens + self.output * usage.completion_tokens) / 1e6


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may spend on an engine; None for no bound. Requests in flight when it is reached still finish."""

    max_tokens: int | None = None
    max_cost: float | None = None
    price: Price = Price()

    def check(self, spent: Usage) -> None:
        """Raise :class:`EngineError` once ``spent`` has reached the budget."""
        cost = self.price.of(spent)
        for name, limit, used in (("max_tokens", self.max_tokens, spent.tokens), ("max_cost", self.max_cost, cost)):
            if limit is not None and used >= limit:
                raise EngineError(
                    f"budget.{name}={limit:g} is used up ({used:g} so far): raise it and run again to go on: "
                    "answers so far are kept"
                )


_CARRIED = ("replayed", "used_in", "used_out")
"""Counts that live in the stage's facts alone, and go on from there after a restart."""


class Account:
    """What one stage used, by engine; ``name`` is the same in every process that works on the stage.

    ``replayed``: answers from a recording; ``used_in`` and ``used_out``: tokens of every answer that the stage saw,
    asked, cached or replayed: what the same work costs from scratch. Those before a restart are included.
    """

    def __init__(self, name: str, before: Mapping[str, int] | None = None) -> None:
        self.name = name
        self.replayed, self.used_in, self.used_out = ((before or {}).get(field, 0) for field in _CARRIED)
        self.used: dict[str, tuple[Usage, Price]] = {}
        self.cache_bytes = 0
        """What the call cache took on disk after the last answers."""

    def saw(self, answer: Answer) -> None:
        """Count the tokens of an answer that the stage got, wherever it came from."""
        if isinstance(answer, Completion):
            self.used_in += answer.prompt_tokens
            self.used_out += answer.completion_tokens

    def facts(self) -> dict[str, Any]:
        """For a manifest: sums over the engines under ``calls``; empty when nothing was asked."""
        carried = {name: getattr(self, name) for name in _CARRIED}
        calls: dict[str, Any] = {}
        if self.used:
            total = sum((usage for usage, _ in self.used.values()), Usage())
            cost = sum(price.of(usage) for usage, price in self.used.values())
            calls = {
                "asked": total.misses,
                "cached": total.hits,
                "failures": total.failures,
                "retries": total.retries,
                "tokens_in": total.prompt_tokens,
                "tokens_out": total.completion_tokens,
                "seconds_waited": round(total.seconds, 1),
                "cost": round(cost, 6),
                "cache_bytes": self.cache_bytes,
            }
        calls = {name: value for name, value in (calls | carried).items() if value or name == "asked"}
        return {"calls": calls} if calls else {}


_account: ContextVar[Account | None] = ContextVar("account", default=None)


@contextmanager
def charged_to(name: str, facts: Mapping[str, Any]) -> Iterator[Account]:
    """Charge what is generated inside to the account ``name``; ``facts`` are those noted before a restart."""
    account = Account(name, facts.get("calls"))
    token = _account.set(account)
    try:
        yield account
    finally:
        _account.reset(token)


def current() -> Account | None:
    """The innermost account, if any."""
    return _account.get()
