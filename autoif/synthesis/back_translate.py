"""Back-translation: the instruction as a model reads it out of each function (paper §3.1, step 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from autoif.config import BackTranslateConfig
from autoif.generation import Completion, Request, Sampling
from autoif.generation.base import user
from autoif.records import Reject, Verifier
from autoif.stage import Context, Estimate
from autoif.synthesis import parsing
from autoif.synthesis.prompts import render


def back_translate(context: Context, verifiers: Sequence[Verifier]) -> Iterator[Verifier | Reject]:
    """Give every function its ``back_translation``; a function whose reply is empty is dropped."""
    config: BackTranslateConfig = context.config
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens)
    requests = (
        Request(messages=user(render("back_translate", code=function.code)), sampling=sampling, seed=context.seed)
        for verifier in verifiers
        for function in verifier.functions
    )
    answers = context.engines.supervisor.generate(requests)
    for verifier in verifiers:
        kept = []
        for function in verifier.functions:
            answer = next(answers)
            text = parsing.sentence(answer.text) if isinstance(answer, Completion) else ""
            if text:
                kept.append(replace(function, back_translation=text))
            else:
                detail = "" if isinstance(answer, Completion) else answer.reason
                yield Reject(replace(verifier, functions=(function,), cases=()), "no_back_translation", detail)
        narrowed = replace(verifier, functions=tuple(kept))
        yield narrowed if kept else Reject(narrowed, "no_function_left")


def estimate(functions: int, verifiers: int) -> Estimate:
    """One call a function."""
    return Estimate(records=verifiers, model_calls=verifiers * functions)
