"""Self-instruct: augment the seed instructions (paper §3.1, step 1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from autoif.config import SelfInstructConfig
from autoif.errors import DataError
from autoif.generation import Completion, Request, Sampling
from autoif.generation.base import user
from autoif.records import Instruction, Reject, Reply, digest
from autoif.stage import Context, Estimate
from autoif.synthesis import parsing
from autoif.synthesis.prompts import render, shipped

MIN_CHARS, MAX_CHARS, MIN_WORDS = 10, 240, 3
"""Bounds of one atomic instruction; longer lines are explanations, shorter ones fragments."""


def seeds_path(config: SelfInstructConfig) -> Path:
    """The seed file: the user's, else the shipped one."""
    return Path(config.seeds).expanduser() if config.seeds else shipped("seed_instructions.txt")


def read_seeds(path: Path) -> list[str]:
    """Seed instructions, one a line (as upstream's ``seed_instruction.txt``). Raises DataError when there are none."""
    try:
        seeds = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"seed instructions {path}: {error}: set pipeline.self_instruct.seeds to a UTF-8 text file"
        ) from None
    if not seeds:
        raise DataError(f"seed instructions {path}: the file is empty: write one instruction on each line")
    return list(dict.fromkeys(seeds))


def self_instruct(context: Context) -> Iterator[Instruction | Reject]:
    """Seeds, then the model's rewrites of them in turn, without duplicates and up to ``limit``."""
    config: SelfInstructConfig = context.config
    seeds = [
        Instruction(id=digest("instruction", text), text=text, origin="seed") for text in read_seeds(seeds_path(config))
    ]
    seen: set[str] = set()
    kept = 0
    rewrites = _rewrites(context, seeds) if config.rewrites_per_seed else []
    for candidate in [*seeds, *_in_turn(rewrites)]:
        if isinstance(candidate, Reject):
            yield candidate
        elif candidate.origin != "seed" and not atomic(candidate.text):
            yield Reject(candidate, "not_an_instruction")
        elif (same := normalised(candidate.text)) in seen:
            yield Reject(candidate, "duplicate")
        elif config.limit is not None and kept >= config.limit:
            yield Reject(candidate, "over_limit", f"limit {config.limit}")
        else:
            seen.add(same)
            kept += 1
            yield candidate


def _rewrites(context: Context, seeds: list[Instruction]) -> list[list[Instruction | Reject]]:
    config: SelfInstructConfig = context.config
    calls = calls_per_seed(config)
    sampling = Sampling(temperature=config.temperature, max_tokens=config.max_tokens)
    requests = (
        Request(
            messages=user(render("self_instruct", instruction=seed.text, count=config.per_call)),
            sampling=sampling,
            index=call,
            seed=context.seed,
        )
        for seed in seeds
        for call in range(calls)
    )
    groups: list[list[Instruction | Reject]] = [[] for _ in seeds]
    for number, answer in enumerate(context.engines.supervisor.generate(requests)):
        seed = seeds[number // calls]
        group = groups[number // calls]
        if not isinstance(answer, Completion):
            group.append(Reject(Reply(id=seed.id, index=number % calls, text=answer.detail), answer.reason))
            continue
        wanted = min(config.per_call, config.rewrites_per_seed - (number % calls) * config.per_call)
        for text in parsing.lines(answer.text)[:wanted]:
            group.append(Instruction(id=digest("instruction", text), text=text, origin="augmented", parent=seed.id))
    return groups


def _in_turn(groups: list[list[Instruction | Reject]]) -> Iterator[Instruction | Reject]:
    """One of each seed, then the next of each: a limit cuts all seeds alike."""
    for row in zip_longest(*groups):
        yield from (item for item in row if item is not None)


def atomic(text: str) -> bool:
    """Whether a line can be one instruction: neither a fragment nor a heading nor an explanation."""
    return MIN_CHARS <= len(text) <= MAX_CHARS and len(text.split()) >= MIN_WORDS and not text.endswith(":")


def normalised(text: str) -> str:
    """Lowercase, single spaces, no final stop or quotes: equal for instructions that only look different."""
    return re.sub(r"\s+", " ", text.lower()).strip(" .\"'")


def calls_per_seed(config: SelfInstructConfig) -> int:
    """Replies needed for ``rewrites_per_seed`` at ``per_call`` each."""
    return -(-config.rewrites_per_seed // config.per_call)


def estimate(config: SelfInstructConfig) -> Estimate:
    """Upper bound: every rewrite new, up to the limit."""
    try:
        seeds = len(read_seeds(seeds_path(config)))
    except DataError:
        return Estimate()
    records = seeds * (1 + config.rewrites_per_seed)
    return Estimate(
        records=records if config.limit is None else min(records, config.limit),
        model_calls=seeds * calls_per_seed(config),
    )
