"""Attach user queries to verified instructions (paper §3.2: 16 for each), and compose the held-out prompts."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autoif.config import PromptOrder, QueriesConfig
from autoif.errors import DataError
from autoif.records import Prompt, Query, Reject, Verifier, digest
from autoif.stage import Context, Estimate
from autoif.synthesis.prompts import render, texts

_FORMS = [PromptOrder.instruction_first, PromptOrder.query_first, PromptOrder.sentences]
"""What ``varied`` chooses from: their order is part of what a prompt becomes."""


@dataclass(kw_only=True, slots=True)
class HeldoutPromptsConfig:
    """How many held-out prompts, and how instruction and query are joined (as in training)."""

    limit: int
    order: PromptOrder


def attach_queries(
    context: Context, verifiers: Iterable[Verifier], queries: Iterable[Query]
) -> Iterator[Prompt | Reject]:
    """``per_instruction`` random training queries for each instruction, drawn from a generator seeded by both."""
    config: QueriesConfig = context.config
    pool = [query for query in queries if query.split == "train"]
    for verifier in verifiers:
        draw = random.Random(f"{context.seed}:{verifier.id}")
        for query in draw.sample(pool, min(config.per_instruction, len(pool))):
            yield compose(verifier, query, config.order)


def heldout_prompts(context: Context, verifiers: Iterable[Verifier], queries: Iterable[Query]) -> Iterator[Prompt]:
    """Up to ``limit`` prompts: verified instructions in turn, each with the next held-out query."""
    config: HeldoutPromptsConfig = context.config
    held = [query for query in queries if query.split == "heldout"]
    kept = list(verifiers)
    if not held or not kept:
        raise DataError(
            f"no held-out prompt can be made of {len(kept)} verified instructions and {len(held)} held-out queries: "
            "raise pipeline.queries.heldout or set evaluation.heldout.limit=0"
        )
    draw = random.Random(f"{context.seed}:heldout")
    draw.shuffle(held)
    for number in range(min(config.limit, len(kept) * len(held))):
        turn, place = divmod(number, len(kept))
        # A different offset for each round of instructions: no (instruction, query) pair comes twice.
        yield compose(kept[place], held[(place + turn) % len(held)], config.order)


def compose(verifier: Verifier, query: Query, order: PromptOrder) -> Prompt:
    """One prompt, as the model that is trained will see it."""
    text = join(verifier.instruction.text, query.text, order)
    return Prompt(
        id=digest("prompt", verifier.id, query.id),
        verifier_id=verifier.id,
        instruction=verifier.instruction.text,
        query=query.text,
        text=text,
        functions=verifier.functions,
        constraints=verifier.instruction.constraints,
    )


def order_texts(order: PromptOrder) -> dict[str, str]:
    """The templates of ``order``, for a stage's ``texts``."""
    return texts(*(f"prompt_{each.value}" for each in (_FORMS if order is PromptOrder.varied else [order])))


def join(instruction: str, query: str, order: PromptOrder) -> str:
    """Instruction and query as one prompt."""
    if order is PromptOrder.varied:
        order = _FORMS[int(digest("order", instruction, query), 16) % len(_FORMS)]
    if order is PromptOrder.sentences:
        ended = query if "?" in query or "." in query else f"{query}."
        return render("prompt_sentences", instruction=_capital(f"{instruction.rstrip('.')}."), query=_capital(ended))
    return render(f"prompt_{order.value}", instruction=sentence_end(instruction), query=query)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def sentence_end(text: str) -> str:
    """The instruction with a full stop unless it already ends in punctuation."""
    return text if text.endswith((".", "!", "?", ":", '"', "'", ")", "`")) else f"{text}."


def estimate(config: QueriesConfig, verifiers: int, queries: int) -> Estimate:
    """No model call: a product (``queries`` in all do not change it)."""
    return Estimate(records=verifiers * config.per_instruction)
