"""How answers lie in caches and recordings: one compact JSON object, equal answers giving equal bytes."""

from __future__ import annotations

import msgspec

from autoif.generation.base import Answer, Completion, Failure, Request


class StoredAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A completion (``text`` set) or a failure (``reason`` set)."""

    text: str | None = None
    finish: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reason: str | None = None
    detail: str = ""

    @classmethod
    def of(cls, answer: Answer) -> StoredAnswer:
        """The stored form of ``answer``."""
        if isinstance(answer, Failure):
            return cls(reason=answer.reason, detail=answer.detail)
        return cls(
            text=answer.text,
            finish=answer.finish,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
        )

    def answer(self) -> Answer:
        """The answer that was stored. Raises ``ValueError`` when the object is neither form."""
        if self.reason is not None:
            return Failure(reason=self.reason, detail=self.detail)
        if self.text is None:
            raise ValueError("a stored answer has neither text nor reason")
        return Completion(
            text=self.text,
            finish=self.finish,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )


_encoder = msgspec.json.Encoder(order="sorted")
_answers = msgspec.json.Decoder(StoredAnswer)
_requests = msgspec.json.Decoder(Request)


def encode_answer(answer: Answer) -> bytes:
    """``answer`` as compact JSON."""
    return _encoder.encode(StoredAnswer.of(answer))


def decode_answer(data: bytes | msgspec.Raw) -> Answer:
    """Inverse of :func:`encode_answer`. Raises ``ValueError`` (msgspec's errors are ones) on malformed data."""
    return _answers.decode(data).answer()


def encode_request(request: Request) -> bytes:
    """``request`` as canonical JSON: the bytes its key is the hash of."""
    return _encoder.encode(request)


def decode_request(data: bytes | msgspec.Raw) -> Request:
    """Inverse of :func:`encode_request`."""
    return _requests.decode(data)
