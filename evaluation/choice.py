"""Multiple choice by log-likelihood through lm-eval (MMLU, C-Eval): the letter that the model finds likeliest.

The few-shot examples stand in the context that a document carries, so that all subjects are one task and one batch; the
texts are those of lm-eval's own ``mmlu`` and ``ceval-valid``, plain, without a chat template.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from autoif.errors import DataError
from autoif.records import EvaluationItem
from evaluation.lm_tasks import FOLDER

if TYPE_CHECKING:
    from datasets import Dataset

    from evaluation.benchmark import Existing

LETTERS = "ABCD"


@dataclass(frozen=True, slots=True)
class Item:
    """A question with four choices; ``answer`` is a letter's place, 0 to 3."""

    subject: str
    place: int
    question: str
    choices: tuple[str, ...]
    answer: int

    @property
    def id(self) -> str:
        """``subject/place``."""
        return f"{self.subject}/{self.place}"


@dataclass(frozen=True, slots=True)
class Style:
    """How a question is put: ``description`` takes the subject's name, ``ask`` follows the choices."""

    description: str
    ask: str

    def shown(self, item: Item) -> str:
        """The question with its choices."""
        choices = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, item.choices, strict=True))
        return f"{item.question.strip()}\n{choices}{self.ask}"

    def context(self, item: Item, examples: Sequence[Item], name: str) -> str:
        """All that stands before the answer: description, solved examples, the question."""
        solved = "".join(f"{self.shown(example)} {LETTERS[example.answer]}\n\n" for example in examples)
        return f"{self.description.format(name)}{solved}{self.shown(item)}"


def item(row: Mapping[str, Any], subject: str, place: int, where: str) -> Item:
    """A row of either benchmark: ``choices`` or the columns A to D, ``answer`` a place or a letter."""
    try:
        choices = tuple(map(str, row["choices"] if "choices" in row else [row[letter] for letter in LETTERS]))
        answer = row["answer"]
        right = LETTERS.index(answer) if isinstance(answer, str) and not answer.isdigit() else int(answer)
        found = Item(subject, place, str(row["question"]), choices, right)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{where}: no question with four choices and an answer ({error!r})") from None
    if len(found.choices) != len(LETTERS) or not 0 <= right < len(LETTERS):
        raise DataError(f"{where}: {len(found.choices)} choices and the answer {answer!r}")
    return found


def first(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most ``limit`` questions of each subject."""
    return [it for it in items if limit is None or it.place < limit]


def evaluate(
    scorer: Any,
    benchmark: str,
    contexts: Sequence[tuple[Item, str]],
    *,
    model: str,
    categories: Mapping[str, str],
    facts: dict[str, Any],
    work: Path,
) -> Iterator[EvaluationItem]:
    """Ask ``scorer`` (lm-eval's model) for the likeliest letter after each context.

    ``categories``: subject → what it counts under besides. ``work``: folder for the documents and for log-likelihoods
    as they come, from which a killed evaluation goes on.
    """
    from lm_eval.api.model import CachingLM
    from lm_eval.evaluator import evaluate as run
    from lm_eval.tasks import TaskManager

    from evaluation.lm_bridge import quiet

    documents = work / f"{benchmark}.jsonl"
    rows = ({"context": context, "answer": it.answer} for it, context in contexts)
    documents.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with quiet():
        manager = TaskManager(include_path=str(FOLDER), include_defaults=False, metadata={"path": str(documents)})
        tasks = manager.load(["autoif_choice"])
        cached = CachingLM(scorer, str(work / f"{benchmark}_loglikelihoods.sqlite"))
        results = run(cached, tasks, bootstrap_iters=0, log_samples=True)
    facts["lm_eval"] = version("lm_eval")
    samples = sorted(results["samples"]["autoif_choice"], key=lambda sample: sample["doc_id"])
    for (it, context), sample in zip(contexts, samples, strict=True):
        right = float(sample["acc"])
        likely = [float(found[0]) for found in sample["filtered_resps"]]
        yield EvaluationItem(
            id=it.id,
            benchmark=benchmark,
            model=model,
            prompt=context,
            response=LETTERS[likely.index(max(likely))],
            scores={"acc": right},
            parts={f"acc/{categories[it.subject]}": (right,)} if it.subject in categories else {},
            labels=(it.subject,),
            detail=" ".join(f"{value:.3f}" for value in likely),
        )


def dataset(path: str, **_: Any) -> dict[str, Dataset]:
    """lm-eval's ``custom_dataset`` hook: the contexts of the file at ``path``."""
    from datasets import Dataset

    with open(path, encoding="utf-8") as lines:
        return {"test": Dataset.from_list([json.loads(line) for line in lines])}


def no_answers(given: Existing) -> NoReturn:
    """Score existing answers: there are none to score, choices are told apart by their log-likelihoods."""
    raise DataError(f"{given.benchmark} is scored by log-likelihoods: there are no answers to score")
