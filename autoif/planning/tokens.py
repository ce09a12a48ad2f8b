"""How long prompts and answers of a stage are: measured where something is known, else said to be assumed.

Finished stages of the same name and prompt, in any run of the store, tell both. Without them a prompt is as long as its
text and the stage's input records, where those are there already; an answer may be as long as its settings allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

from autoif.config import SelfInstructConfig
from autoif.errors import DataError
from autoif.planning.training import CHARACTERS
from autoif.records import Answers, Instruction, Prompt, Record, Verifier
from autoif.stage import Stage
from autoif.store import Store
from autoif.synthesis.self_instruct import read_seeds, seeds_path

RECORD_TOKENS = 200
"""Assumed of what a record adds to a prompt while no record is known."""

ANSWER_TOKENS = 512
"""Assumed of an answer where a stage's settings name no limit."""

LOOKED_AT = 200
"""Input records that are read to know their length."""


@dataclass(frozen=True, slots=True)
class CallTokens:
    """Tokens of one call. ``most_taken``: what the settings allow an answer. ``source``: where the means come from."""

    given: float
    taken: float
    most_taken: int
    source: str


def call_tokens(stage: Stage, store: Store) -> CallTokens:
    """What a call of ``stage`` takes, by the best evidence that ``store`` has."""
    most = answer_limit(stage.config)
    if known := _history(stage, store):
        given, taken = known
        return CallTokens(given, min(taken, most), most, "as in finished runs")
    if (record := _record_tokens(stage, store)) is not None:
        return CallTokens(_text_tokens(stage) + record, most, most, "prompts measured, answers at their limit")
    source = f"prompt's text and {RECORD_TOKENS} tokens, answers at their limit"
    return CallTokens(assumed_prompt(stage), most, most, source)


def assumed_prompt(stage: Stage) -> int:
    """Tokens of a prompt of ``stage`` while no record is known: its text, and what a record may add."""
    return _text_tokens(stage) + RECORD_TOKENS


def answer_limit(settings: Any) -> int:
    """Tokens that a stage's settings allow an answer."""
    for holder in (settings, getattr(settings, "fixed", None), getattr(settings, "settings", None)):
        if limit := getattr(holder, "max_tokens", None):
            return int(limit)
    return ANSWER_TOKENS


def _text_tokens(stage: Stage) -> int:
    return max((len(text) for text in stage.texts.values()), default=0) // CHARACTERS


def _history(stage: Stage, store: Store) -> tuple[float, float] | None:
    """Mean tokens in and out of an answer over finished stages of this name with these prompts."""
    answers = given = taken = 0
    texts = stage.key(store)["texts"]
    for manifest in store.manifests(stage.name):
        calls = manifest.facts.get("calls")
        if isinstance(calls, Mapping) and manifest.key.get("texts") == texts and calls.get("used_out"):
            answers += sum(calls.get(name, 0) for name in ("asked", "cached", "replayed"))
            given, taken = given + calls.get("used_in", 0), taken + calls["used_out"]
    return (given / answers, taken / answers) if answers else None


def _record_tokens(stage: Stage, store: Store) -> float | None:
    """Mean tokens that the seeds, or the records of a finished input, add to a prompt."""
    if isinstance(stage.config, SelfInstructConfig):
        try:
            return fmean(map(len, read_seeds(seeds_path(stage.config)))) / CHARACTERS
        except DataError:  # the plan says that the file is missing
            return None
    if not stage.inputs or stage.inputs[0].record not in _LENGTHS:
        return None
    entry, length = stage.inputs[0].entry(store), _LENGTHS[stage.inputs[0].record]
    if not entry.done:
        return None
    lengths = [length(record) for record in islice(entry.records(stage.inputs[0].record), LOOKED_AT)]
    return fmean(lengths) / CHARACTERS if lengths else None


def _verifier(verifier: Verifier) -> float:
    return len(verifier.instruction.text) + fmean([len(function.code) for function in verifier.functions] or [0])


def _answers(answers: Answers) -> float:
    return _prompt(answers.prompt) + fmean([len(response.text) for response in answers.responses] or [0])


def _prompt(prompt: Prompt) -> float:
    return len(prompt.instruction) + len(prompt.query)


_LENGTHS: dict[type[Record], Callable[[Any], float]] = {
    Instruction: lambda instruction: float(len(instruction.text)),
    Verifier: _verifier,
    Prompt: _prompt,
    Answers: _answers,
}
"""Characters that a record adds to a prompt: one function or one answer of those that it holds."""
