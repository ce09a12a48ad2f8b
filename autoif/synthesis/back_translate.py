"""Back-translation: the instruction as a model reads it out of each function (paper §3.1, step 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from autoif.config import BackTranslateConfig
from autoif.generation import Completion, Request, Sampling
from autoif.generation.base import Answer, user
from autoif.records import Function, Reject, Verifier
from autoif.stage import Context, Estimate
from autoif.synthesis import parsing
from autoif.synthesis.prompts import render


def back_translate(context: Context, verifiers: Sequence[Verifier]) -> Iterator[Verifier | Reject]:
    """Give every function its ``back_translation``; a function whose reply is empty is dropped.

    With ``functions`` set, those behind the first so many stay as they are. ``together`` asks for an instruction's
    functions in one call; a reply that is no list drops the instruction, functions that it leaves out stay unjudged.
    """
    config: BackTranslateConfig = context.config
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens)
    requests = (
        Request(messages=user(text), sampling=sampling, seed=context.seed)
        for verifier in verifiers
        for text in _prompts(verifier.functions[: config.functions], config.together)
    )
    answers = context.engines.supervisor.generate(requests)
    for verifier in verifiers:
        asked = verifier.functions[: config.functions]
        if config.together:
            yield _read_list(verifier, asked, next(answers)) if asked else verifier
        else:
            yield from _read_each(verifier, asked, list(islice(answers, len(asked))))


def _prompts(functions: Sequence[Function], together: bool) -> Iterator[str]:
    if not together:
        yield from (render("back_translate", code=function.code) for function in functions)
    elif functions:
        blocks = "\n\n".join(f"```python\n{function.code}\n```" for function in functions)
        yield render("back_translate_together", functions=blocks, count=len(functions))


def _read_each(verifier: Verifier, asked: Sequence[Function], answers: Sequence[Answer]) -> Iterator[Verifier | Reject]:
    kept = []
    for function, answer in zip(asked, answers, strict=True):
        text = parsing.sentence(answer.text) if isinstance(answer, Completion) else ""
        if text:
            kept.append(replace(function, back_translation=text))
        else:
            reason = "no_back_translation" if isinstance(answer, Completion) else answer.reason
            yield Reject(replace(verifier, functions=(function,), cases=()), reason)
    narrowed = replace(verifier, functions=(*kept, *verifier.functions[len(asked) :]))
    yield narrowed if narrowed.functions else Reject(narrowed, "no_function_left")


def _read_list(verifier: Verifier, asked: Sequence[Function], answer: Answer) -> Verifier | Reject:
    texts = parsing.string_list(answer.text) if isinstance(answer, Completion) else None
    if texts is None:
        reason = "back_translation_unreadable" if isinstance(answer, Completion) else answer.reason
        return Reject(verifier, reason, answer.text if isinstance(answer, Completion) else answer.detail)
    read = [replace(function, back_translation=text or None) for function, text in zip(asked, texts, strict=False)]
    return replace(verifier, functions=(*read, *verifier.functions[len(read) :]))


def estimate(config: BackTranslateConfig, functions: int, verifiers: int) -> Estimate:
    """One call a function that is read back, or one an instruction."""
    asked = functions if config.functions is None else min(functions, config.functions)
    return Estimate(records=verifiers, model_calls=verifiers * (1 if config.together else asked))
