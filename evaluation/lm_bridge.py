"""lm-eval's ``LM`` over one of our generation engines: messages in, texts out, calls cached like all others.

Imports lm-eval, so it is imported late.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from typing import Any, NoReturn, TextIO

import msgspec
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from autoif.errors import EngineError
from autoif.generation.base import Failure, Generator, Request, Sampling
from autoif.records import Message

_messages = msgspec.json.Decoder(tuple[Message, ...])


class GeneratorLM(LM):  # type: ignore[misc]
    """Greedy or sampled generation through a :class:`Generator`; its chat template is applied there, not by lm-eval.

    ``failures`` maps the context of each request that could not be answered to why; its answer counts as empty.
    """

    def __init__(self, generator: Generator, seed: int = 0) -> None:
        super().__init__()
        self._generator, self._seed = generator, seed
        self.failures: dict[str, Failure] = {}

    @property
    def tokenizer_name(self) -> str:
        """Names the chat template to lm-eval: the engine's identity."""
        return self._generator.identity

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as JSON: a context that :meth:`generate_until` reads back."""
        return msgspec.json.encode([{"role": m["role"], "content": m["content"]} for m in chat_history]).decode()

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """One text for each request, in order."""
        with loud():
            answers = self._generator.generate(self._request(*instance.args) for instance in requests)
            return [self._text(instance, answer) for instance, answer in zip(requests, answers, strict=True)]

    def loglikelihood(self, requests: list[Instance]) -> NoReturn:
        """Not offered: a generation engine returns texts, not probabilities."""
        raise EngineError(
            f"{self._generator.identity} generates texts and gives no log-likelihoods: "
            "multiple-choice benchmarks need the model itself"
        )

    loglikelihood_rolling = loglikelihood

    def _request(self, context: str, settings: dict[str, Any]) -> Request:
        greedy = not settings.get("do_sample", False) and not settings.get("temperature")
        sampling = Sampling(
            temperature=0.0 if greedy else float(settings.get("temperature", 1.0)),
            top_p=float(settings.get("top_p", 1.0)),
            max_tokens=int(settings.get("max_gen_toks", 512)),
            stop=tuple(settings.get("until") or ()),
        )
        # Greedy answers are the same under every seed: one call serves all of them.
        return Request(messages=_messages.decode(context), sampling=sampling, seed=0 if greedy else self._seed)

    def _text(self, instance: Instance, answer: Any) -> str:
        if isinstance(answer, Failure):
            self.failures[instance.args[0]] = answer
            return ""
        return str(answer.text)


_streams: list[TextIO] = []


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval's own bars, prints and log lines off the terminal; :func:`loud` lets a part of it through."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    _streams.append(sys.stderr)
    sink = io.StringIO()
    try:
        with contextlib.redirect_stderr(sink), contextlib.redirect_stdout(sink):
            yield
    finally:
        _streams.pop()
        logger.setLevel(level)


@contextlib.contextmanager
def loud() -> Iterator[None]:
    """Inside :func:`quiet`, give back the real standard error (progress bars of our engines)."""
    if not _streams:
        yield
        return
    with contextlib.redirect_stderr(_streams[-1]):
        yield
