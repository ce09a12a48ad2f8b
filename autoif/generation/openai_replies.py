"""What an OpenAI-compatible server's replies and errors mean; no network here."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from autoif.generation.base import Answer, Completion, Failure, Request
from autoif.records import digest, unicode

LONGEST_RETRY_AFTER_SECONDS = 600.0

_CONTEXT = ("context_length_exceeded", "exceed_context_size", "context length", "context size", "context window")
_FILTER = ("content_filter", "content filter", "content management policy", "responsibleaipolicy")
_SCHEMA = ("response_format", "json_schema", "schema", "grammar", "guided", "structured")


class Transient(Exception):
    """A reply worth asking for again; ``after``: seconds the server wants us to wait, if it said so."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None
    index: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0


class _Reply(msgspec.Struct):
    """As much of a chat completion as is read; servers add fields of their own."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None


_replies = msgspec.json.Decoder(_Reply)


def request_body(requests: Sequence[Request], model: str, *, schema: bool, length_field: str) -> dict[str, Any]:
    """Samples of the same conversation as one request that chat completions take.

    ``schema``: ask for structured output where the requests have one. The seed is the first sample's.
    """
    request = requests[0]
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sample_seed(request),
        length_field: sampling.max_tokens,
    }
    if len(requests) > 1:
        body["n"] = len(requests)
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if schema and request.json_schema is not None:
        wanted = {"name": "answer", "schema": request.json_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    return body


def siblings(one: Request, other: Request) -> bool:
    """Whether they are samples of the same conversation under the same settings, drawn at random."""
    return (
        one.messages == other.messages
        and one.sampling == other.sampling
        and one.sampling.temperature > 0
        and one.seed == other.seed
        and one.json_schema == other.json_schema
    )


def sample_seed(request: Request) -> int:
    """A 31-bit seed of its own for each sample of the same messages."""
    return int(digest(str(request.seed), str(request.index), size=8), 16) & 0x7FFFFFFF


def read(reply: bytes, count: int = 1) -> list[Answer]:
    """The answers in a chat completion's JSON, at least one and at most ``count``; some servers give fewer.

    Raises:
        Transient: when there is none in it.
    """
    try:
        found = _decode(reply)
    except ValueError as error:  # cut, no JSON, not UTF-8, or not a chat completion
        raise Transient(f"unreadable reply: {error}") from None
    if not found.choices:
        raise Transient("reply without choices")
    usage = found.usage or _Usage()
    answers = [_answer(choice) for choice in sorted(found.choices, key=lambda choice: choice.index)[:count]]
    # Servers count the prompt once and tell the sum over all choices.
    first = next((n for n, answer in enumerate(answers) if isinstance(answer, Completion)), 0)
    sizes = [len(answer.text) + 1 if isinstance(answer, Completion) else 0 for answer in answers]
    counts = _shares(usage.completion_tokens or 0, sizes)
    return [
        msgspec.structs.replace(
            answer, prompt_tokens=(usage.prompt_tokens or 0) if n == first else 0, completion_tokens=counts[n]
        )
        if isinstance(answer, Completion)
        else answer
        for n, answer in enumerate(answers)
    ]


def _decode(reply: bytes) -> _Reply:
    try:
        return _replies.decode(reply)
    except msgspec.DecodeError:
        # Half a surrogate pair stands in JSON by the letter of its grammar; the slower reader takes it.
        return msgspec.convert(json.loads(reply), _Reply)


def _answer(choice: _Choice) -> Answer:
    if choice.finish_reason == "content_filter":
        return Failure(reason="content_filter")
    if choice.message.content is None and choice.message.refusal:
        return Failure(reason="refusal", detail=unicode(choice.message.refusal[:200]))
    return Completion(
        text=unicode(choice.message.content or ""), finish="length" if choice.finish_reason == "length" else "stop"
    )


def _shares(total: int, sizes: Sequence[int]) -> list[int]:
    """``total`` split in proportion to ``sizes``; the parts add up to it."""
    whole, passed, parts = sum(sizes) or 1, 0, list[int]()
    for size in sizes:
        passed += size
        parts.append(round(total * passed / whole) - sum(parts))
    return parts


def error_text(content: bytes) -> str:
    """Message, code and type of a server's error, on one line; the whole of it where it has another form."""
    try:
        body = msgspec.json.decode(content)
    except ValueError:
        return " ".join(content[:500].decode("utf-8", "replace").split())
    body = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(body, dict):
        return " ".join(str(body).split())
    parts = [str(body.get(name) or "") for name in ("message", "code", "type")]
    return " ".join(" ".join(parts if parts[0] else [str(body)]).split())


def own_failure(text: str) -> Failure | None:
    """The failure that an error's text speaks of, when the request itself is the cause."""
    low = text.lower()
    if any(sign in low for sign in _CONTEXT):
        return Failure(reason="context_length", detail=text[:200])
    if any(sign in low for sign in _FILTER):
        return Failure(reason="content_filter", detail=text[:200])
    return None


def rejects_schema(text: str) -> bool:
    """Whether an error's text complains of structured output."""
    low = text.lower()
    return any(sign in low for sign in _SCHEMA)


def retry_after(headers: Any) -> float | None:
    """Seconds to wait, from Retry-After (seconds or HTTP date) or retry-after-ms; None where the server is silent."""
    try:
        if value := headers.get("retry-after-ms"):
            seconds = float(value) / 1000
        elif not (value := headers.get("retry-after")):
            return None
        elif value.replace(".", "", 1).isdigit():
            seconds = float(value)
        else:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)
