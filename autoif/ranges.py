"""The range of every number in a configuration."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``low`` to ``high``; ``open`` leaves ``low`` itself out."""

    low: float
    high: float = math.inf
    open: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.open else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"above {self.low:g}" if self.open else f"at least {self.low:g}"
        return f"{'above' if self.open else 'from'} {self.low:g} {'up ' if self.open else ''}to {self.high:g}"


_SHARE, _POSITIVE, _COUNT, _NATURAL = Range(0, 1), Range(0, open=True), Range(1), Range(0)
_PART = Range(0, 1, open=True)

RANGES: dict[str, Range] = {
    "threshold": _SHARE,
    "case_threshold": _SHARE,
    "function_threshold": _SHARE,
    "chosen_threshold": _SHARE,
    "score.threshold": Range(1, 10),
    "lowest": Range(0, 1),
    "agreement": _SHARE,
    "min_responses": _COUNT,
    "shingle": _COUNT,
    "mutation_check.cases": _COUNT,
    "back_translate.functions": _COUNT,
    "constraints": Range(1, 5),
    "attempts": _COUNT,
    "margin": _COUNT,
    "fraction": _PART,
    "general_share": Range(0, 0.99),
    "top_p": _PART,
    "temperature": _NATURAL,
    "samples": _COUNT,
    "max_tokens": _COUNT,
    "rewrites_per_seed": _NATURAL,
    "per_call": _COUNT,
    "self_instruct.limit": _COUNT,
    "min_functions": _COUNT,
    "min_cases": _COUNT,
    "min_functions_written": _NATURAL,
    "min_cases_written": _NATURAL,
    "per_instruction": _COUNT,
    "queries_per_instruction": _COUNT,
    "min_chars": _NATURAL,
    "heldout": _NATURAL,
    "per_prompt": _COUNT,
    "max_chosen": _COUNT,
    "max_rejected": _COUNT,
    "learning_rate": _POSITIVE,
    "warmup_steps": _NATURAL,
    "warmup_ratio": _SHARE,
    "global_batch_size": _COUNT,
    "sft_global_batch_size": _COUNT,
    "epochs": _COUNT,
    "weight_decay": _NATURAL,
    "adam_beta1": _SHARE,
    "adam_beta2": _SHARE,
    "max_length": Range(2),
    "clip_norm": _POSITIVE,
    "save_every": _COUNT,
    "keep_checkpoints": _COUNT,
    "dpo.beta": _POSITIVE,
    "nll_weight": _NATURAL,
    "clip_low": Range(0, 1),
    "clip_high": _POSITIVE,
    "kl_weight": _NATURAL,
    "max_repetition": _SHARE,
    "max_compression": _POSITIVE,
    "min_words": _COUNT,
    "conversations": _COUNT,
    "iterations": _COUNT,
    "prompts": _COUNT,
    "context_length": _COUNT,
    "parameters": _NATURAL,
    "devices": _COUNT,
    "nodes": _COUNT,
    "micro_batch_size": _COUNT,
    "generation_batch_size": _COUNT,
    "generation_parallel": _COUNT,
    "memory_gb": _NATURAL,
    "host_memory_gb": _NATURAL,
    "peak_tflops": _NATURAL,
    "mfu": _PART,
    "generation_mfu": _PART,
    "hours": _POSITIVE,
    "cpus_per_device": _COUNT,
    "requeues": _NATURAL,
    "parallel": _COUNT,
    "threads": _NATURAL,
    "batch_size": _COUNT,
    "concurrency": _COUNT,
    "samples_per_request": Range(1, 128),
    "tensor_parallel": _COUNT,
    "pipeline_parallel": _COUNT,
    "memory_share": _PART,
    "start_seconds": _POSITIVE,
    "input_price": _NATURAL,
    "output_price": _NATURAL,
    "budget.max_tokens": _COUNT,
    "max_cost": _POSITIVE,
    "requests_per_minute": _COUNT,
    "tokens_per_minute": _COUNT,
    "retries": _NATURAL,
    "timeout_seconds": _POSITIVE,
    "heldout.limit": _NATURAL,
    "ifeval.limit": _NATURAL,
    "gsm8k.limit": _NATURAL,
    "ifbench.limit": _NATURAL,
    "mmlu.limit": _NATURAL,
    "ceval.limit": _NATURAL,
    "shots": _NATURAL,
    "humaneval.limit": _NATURAL,
    "followbench.limit": _NATURAL,
    "infobench.limit": _NATURAL,
    "mt_bench.limit": _NATURAL,
    "arena_hard_v01.limit": _NATURAL,
    "arena_hard_v20.limit": _NATURAL,
    "evaluation.seeds": _COUNT,
    "agreement_sample": _COUNT,
    "words": Range(2),
    "share": _PART,
    "candidates": _NATURAL,
    "workers": _NATURAL,
    "cpu_seconds": _POSITIVE,
    "wall_seconds": _POSITIVE,
    "memory_mb": Range(64),
    "kills_per_function": _COUNT,
    "max_inputs": _COUNT,
    "audit_rate": _SHARE,
}
"""Allowed numbers by field name; ``parent.name`` wins over ``name``."""


def out_of_range(value: Any, path: str = "") -> Iterator[str]:
    """A sentence for each number below ``value`` (a dataclass at ``path``) that lies outside its range."""
    for field in dataclasses.fields(value):
        item, here = getattr(value, field.name), f"{path}.{field.name}".lstrip(".")
        if dataclasses.is_dataclass(item):
            yield from out_of_range(item, here)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            allowed = RANGES.get(".".join(here.split(".")[-2:])) or RANGES.get(field.name)
            if allowed and item not in allowed:
                yield f"{here}={item} must be {allowed}"
