"""NLI filter: back-translations that contradict the instruction go (paper §3.1, step 4; about 15%).

Instruction = premise, back-translation = hypothesis. The label comes from the paper's mDeBERTa or, where its weights
are not to be had, from the supervisor through a prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from autoif.config import NliConfig, NliJudge, NliScope
from autoif.generation import Completion, Request, Sampling
from autoif.records import Function, Reject, Verifier
from autoif.stage import Context, Estimate
from autoif.synthesis import parsing
from autoif.synthesis.prompts import conversation

Pair = tuple[str, str]


def nli_filter(context: Context, verifiers: Sequence[Verifier]) -> Iterator[Verifier | Reject]:
    """Drop functions whose label is in ``drop`` (or unreadable), and instructions that have no function left; with
    ``scope`` instruction one dropped label drops its instruction.

    In imported rows some functions were labelled before (their label stands) or never read back (they are kept: there
    is nothing to judge).
    """
    config: NliConfig = context.config
    pairs = [
        (verifier.instruction.text, function.back_translation or "")
        for verifier in verifiers
        for function in verifier.functions
        if _unjudged(function)
    ]
    labels = iter(_labels(context, pairs) if pairs else ())
    for verifier in verifiers:
        labelled = tuple(
            replace(function, nli=next(labels) if _unjudged(function) else function.nli)
            for function in verifier.functions
        )
        yield from _narrowed(replace(verifier, functions=labelled), config)


def _narrowed(verifier: Verifier, config: NliConfig) -> Iterator[Verifier | Reject]:
    kept: list[Function] = []
    against = ""
    for function in verifier.functions:
        if function.nli is None and function.back_translation is not None:
            yield Reject(replace(verifier, functions=(function,), cases=()), "nli_unreadable")
        elif function.nli is not None and function.nli in config.drop:
            against = against or function.nli
            detail = f"{function.back_translation}"
            yield Reject(replace(verifier, functions=(function,), cases=()), f"nli_{function.nli}", detail)
        else:
            kept.append(function)
    narrowed = replace(verifier, functions=tuple(kept))
    if not kept:
        yield Reject(narrowed, "no_function_left")
    elif against and config.scope is NliScope.instruction:
        yield Reject(narrowed, "back_translation_disagrees", against)
    else:
        yield narrowed


def _unjudged(function: Function) -> bool:
    return function.back_translation is not None and function.nli is None


def _labels(context: Context, pairs: Sequence[Pair]) -> Iterable[str | None]:
    config: NliConfig = context.config
    if config.judge is NliJudge.mdeberta:
        return context.engines.nli(config.model).labels(pairs)
    return _ask(context, pairs)


def _ask(context: Context, pairs: Sequence[Pair]) -> Iterator[str | None]:
    config: NliConfig = context.config
    sampling = Sampling(temperature=0.0, max_tokens=config.max_tokens)
    requests = (
        Request(
            messages=conversation("nli", premise=premise, hypothesis=hypothesis), sampling=sampling, seed=context.seed
        )
        for premise, hypothesis in pairs
    )
    for answer in context.engines.supervisor.generate(requests):
        yield parsing.nli_label(answer.text) if isinstance(answer, Completion) else None


def estimate(config: NliConfig, functions: int, verifiers: int) -> Estimate:
    """One judgment a function; model calls only when the supervisor judges."""
    calls = verifiers * functions if config.judge is NliJudge.supervisor else 0
    return Estimate(records=verifiers, model_calls=calls)
