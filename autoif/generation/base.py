"""The protocol every generation engine speaks, and the identity of a request.

A request is content: messages, sampling settings and the index of the sample among its siblings. Its key does not
name the model; caches add the engine's ``identity``, recordings carry it in their header.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import msgspec

from autoif.records import Message


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Decoding settings. ``temperature`` 0 is greedy; ``max_tokens`` counts new tokens."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to be generated. ``index`` tells apart samples of the same messages; ``json_schema`` asks for
    structured output where the engine offers it (engines without it ignore it)."""

    messages: tuple[Message, ...]
    sampling: Sampling
    index: int = 0
    seed: int = 0
    json_schema: dict[str, Any] | None = None


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. ``finish`` is stop or length; token counts are 0 where the engine does not tell."""

    text: str
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A request that can't be answered (content filter, prompt longer than the context); ``reason`` is short."""

    reason: str
    detail: str = ""


Answer = Completion | Failure


class Generator(Protocol):
    """A generation engine.

    ``identity`` names what answers (model and revision, not host or hardware): equal identities give
    interchangeable answers.
    """

    identity: str

    def generate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer ``requests`` in their order, streaming, with bounded memory.

        Raises:
            EngineError: for errors that no retry mends (bad key, unknown model, recording miss).
        """
        ...

    def close(self) -> None:
        """Free what the engine holds (models, servers, files). May be called twice."""
        ...


_encoder = msgspec.json.Encoder(order="sorted")


def request_key(request: Request) -> str:
    """SHA-256 over the canonical JSON of the request: 64 hex digits, stable across versions and machines."""
    return hashlib.sha256(_encoder.encode(request)).hexdigest()


def user(text: str) -> tuple[Message, ...]:
    """A conversation of one user turn."""
    return (Message(role="user", content=text),)
