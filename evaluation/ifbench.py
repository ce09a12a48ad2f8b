"""IFBench (Pyatkin et al. 2025): IFEval's form with 58 kinds of constraints that models were not tuned on.

The checkers are those of an installed package (``if-verifiable``, or the authors' own): strict on the answer as it is,
loose on it without its first or last line or its asterisks. Checkers draw at random where an item leaves an argument
open; here the draw depends on the item alone. An item whose checker lacks one of NLTK's resources is left out and
named; one whose checker breaks on an answer is not followed.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from autoif.errors import DataError, MissingExtraError
from autoif.generation.base import Generator, Request, Sampling, user
from autoif.records import EvaluationItem
from evaluation.answering import answer, text
from evaluation.benchmark import Benchmark, Existing, Setup
from evaluation.data import Source, read_jsonl, use_nltk
from evaluation.responses import Question, align, names, read_responses

BENCHMARK = "ifbench"
SOURCE = Source(
    "IFBench",
    "ifbench/IFBench_test.jsonl",
    300,
    "allenai/IFBench_test",
    "data/train-00000-of-00001.parquet",
    "2e8a48de45ff3bf41242f927254ca81b59ca3ae2",
    "a2bf7b8e7ed11d39c65b4ec781da8b99663ed0121f97033d70fcecb61f8a9d85",
)
_CHECKERS = ("if_verifiable.ifbench.instructions_registry", "ifbench.instructions_registry")


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt with its constraints and their arguments."""

    id: str
    prompt: str
    instructions: tuple[str, ...]
    arguments: tuple[dict[str, Any], ...]


def load(path: Path) -> list[Item]:
    """The prompts in order. Raises :class:`DataError` for a malformed file."""
    items = []
    for line, row in read_jsonl(path, "key", "prompt", "instruction_id_list", "kwargs"):
        given = [{name: value for name, value in it.items() if value is not None} for it in row["kwargs"]]
        if len(given) != len(row["instruction_id_list"]):
            raise DataError(f"{path}:{line}: {len(given)} kwargs for {len(row['instruction_id_list'])} instructions")
        items.append(Item(str(row["key"]), row["prompt"], tuple(row["instruction_id_list"]), tuple(given)))
    return items


def generate(
    generator: Generator, items: Iterable[Item], sampling: Sampling, seed: int = 0
) -> Iterator[tuple[Item, str]]:
    """Answers in order."""
    asked = answer(generator, items, lambda item: Request(messages=user(item.prompt), sampling=sampling, seed=seed))
    return ((item, text(reply)) for item, reply in asked)


def checkers(data_dir: str | None) -> dict[str, Any]:
    """Instruction → the class that checks it. Raises :class:`MissingExtraError` where no package has them."""
    use_nltk(data_dir)
    from evaluation.lm_bridge import quiet

    for module in _CHECKERS:
        if find_spec(module.partition(".")[0]) is not None:
            with quiet(), _unheard():  # on import, it looks for NLTK's resources on the network
                found: dict[str, Any] = import_module(module).INSTRUCTION_DICT
            return found
    raise MissingExtraError("if-verifiable", "ifbench")


@contextmanager
def _unheard() -> Iterator[None]:
    """NLTK's downloader without its complaints: it holds on to the error stream that it was imported with."""
    try:
        import nltk
    except ImportError:
        raise MissingExtraError("nltk", "ifbench") from None
    loud = nltk.download
    nltk.download = partial(loud, print_error_to=io.StringIO())
    try:
        yield
    finally:
        nltk.download = loud


def package_missing(data_dir: str | None = None) -> str | None:
    """Which package the checkers lack, and what to do, or None; imports nothing."""
    if any(find_spec(module.partition(".")[0]) is not None for module in _CHECKERS):
        return None
    return "IFBench's checker is not installed: pip install 'autoif[ifbench]'"


def followed(classes: dict[str, Any], item: Item, reply: str) -> tuple[list[bool], list[bool]]:
    """Which constraints ``reply`` follows, strictly and loosely. Raises LookupError for want of an NLTK resource."""
    found: tuple[list[bool], list[bool]] = ([], [])
    for results, forms in zip(found, ([reply], variants(reply)), strict=True):
        state = random.getstate()
        random.seed(item.id)
        try:
            for name, arguments in zip(item.instructions, item.arguments, strict=True):
                checker = classes[name](name)
                checker.build_description(**arguments)
                if "prompt" in (checker.get_instruction_args() or {}):
                    checker.build_description(prompt=item.prompt)
                results.append(any(form.strip() and _holds(checker, form) for form in forms))
        finally:
            random.setstate(state)
    return found


def variants(reply: str) -> list[str]:
    """The forms of which one has to follow loosely: lines cut at either end, asterisks taken out."""
    lines = reply.split("\n")
    cut = [reply, *("\n".join(lines[a : len(lines) - b]).strip() for a, b in ((1, 0), (0, 1), (1, 1)))]
    return [form.replace("*", "") if plain else form for plain, form in product((False, True), cut)]


def _holds(checker: Any, reply: str) -> bool:
    try:
        return bool(checker.check_following(reply))
    except LookupError as error:
        if "nltk" in str(error).lower():
            raise
        return False
    except Exception:  # the checkers are others' code, written for answers that have what they look for
        return False


def score(
    classes: dict[str, Any], answered: Iterable[tuple[Item, str]], model: str, facts: dict[str, Any]
) -> Iterator[EvaluationItem]:
    """An item for each answer that can be checked; ``facts`` takes a note about the others."""
    left: list[str] = []
    for item, reply in answered:
        if unknown := [name for name in item.instructions if name not in classes]:
            raise DataError(f"IFBench's checkers do not know the instruction {unknown[0]} of item {item.id}")
        try:
            strict, loose = followed(classes, item, reply)
        except LookupError:
            left.append(f"{item.id} ({', '.join(item.instructions)})")
            continue
        yield EvaluationItem(
            id=item.id,
            benchmark=BENCHMARK,
            model=model,
            prompt=item.prompt,
            response=reply,
            scores={
                "prompt_level_loose_acc": float(all(loose)),
                "prompt_level_strict_acc": float(all(strict)),
            },
            parts={
                "inst_level_loose_acc": tuple(map(float, loose)),
                "inst_level_strict_acc": tuple(map(float, strict)),
            },
            labels=item.instructions,
        )
    if left:
        facts["sample"] = True
        facts.setdefault("notes", []).append(
            f"{len(left)} items are left out, whose checkers need NLTK's stopwords or tagger under "
            f"evaluation.data_dir/nltk_data: {names(left)}"
        )


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    items = load(setup.path(SOURCE))
    classes = checkers(setup.data_dir)
    chosen = setup.part(items[: setup.settings.limit], items)
    answered = generate(setup.generator, chosen, setup.sampling(), setup.seed)
    yield from score(classes, answered, setup.model, setup.facts)


def _existing(given: Existing) -> Iterator[EvaluationItem]:
    items, responses = load(given.path(SOURCE)), given.need("responses")
    alignment = align([Question(item.id, item.prompt) for item in items], read_responses(responses), str(responses))
    replies = alignment.check(given.partial).responses
    given.note(*alignment.notes())
    given.facts["sample"] = len(replies) < len(items)
    answered: Sequence[tuple[Item, str]] = [(item, replies[item.id]) for item in items if item.id in replies]
    yield from score(checkers(given.data_dir), answered, given.label, given.facts)


DEFINITION = Benchmark(
    name=BENCHMARK,
    size=SOURCE.rows,
    sources=(SOURCE,),
    measure=_measure,
    rescore=_existing,
    lacks=package_missing,
)
