"""InfoBench (Qin et al. 2024): each instruction is broken into yes-or-no questions that a judge answers.

The judge sees the input and the generated text, not the instruction, and is asked one question a turn. DRFR is the
share of questions answered YES over all questions. A reply that stays unparsable, or a verdict that a published
judgment file lacks, counts as NO; the published script leaves an item's questions after the first such reply out of
the denominator, and what it would print is said beside the number when the two differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoif.errors import DataError
from autoif.generation.base import Generator, Request, Sampling, user
from autoif.records import EvaluationItem, Message
from evaluation.answering import answer, text
from evaluation.benchmark import Benchmark, Existing, Setup
from evaluation.data import Source, read_jsonl
from evaluation.judge import Judge, Verdict, need_judge
from evaluation.responses import Alignment, Given, Question, align, names

BENCHMARK = "infobench"
SOURCE = Source(
    "InfoBench",
    "infobench/InfoBench.json",
    500,
    "kqsong/InFoBench",
    "InfoBench.json",
    "cef03a2830944bfb0d201107895ddd0e0e90bf0e",
    "66a2ee8d70208a7a879a17f471ba0ffd097b698265ea4796be99a273fdcc6559",
)
_GREEDY = Sampling(max_tokens=1024)
_PROMPT = Path(__file__).with_name("prompts") / "infobench.txt"
_REMINDER = "Reply with one word, YES or NO."
_SUBSETS = {"Easy_set": "easy", "Hard_set": "hard"}


@dataclass(frozen=True, slots=True)
class Item:
    """An instruction with its input (may be empty) and questions; ``subset`` is easy or hard.

    ``labels``: for each question what it is about (content, format, …), joined by ``+``.
    """

    id: str
    instruction: str
    input: str
    questions: tuple[str, ...]
    subset: str
    labels: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """What the model is asked."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction


def load(path: Path) -> list[Item]:
    """The items in order. Raises :class:`DataError` for a malformed file."""
    return [_item(row, f"{path}:{line}") for line, row in read_jsonl(path, "id", "instruction", "decomposed_questions")]


def generate(
    generator: Generator, items: Iterable[Item], sampling: Sampling = _GREEDY, seed: int = 0
) -> Iterator[tuple[Item, str]]:
    """Answers in order."""
    asked = answer(generator, items, lambda item: Request(messages=user(item.prompt), sampling=sampling, seed=seed))
    return ((item, text(reply)) for item, reply in asked)


def read_answers(path: Path, items: Sequence[Item]) -> Alignment:
    """Answers in the published form: rows with ``id`` and ``output``. The caller checks the alignment."""
    given = [Given(line, row["output"] or "", key=str(row["id"])) for line, row in read_jsonl(path, "id", "output")]
    return align([Question(item.id, item.prompt) for item in items], given, str(path))


def parse(reply: str) -> bool | None:
    """YES or NO at the start in any case, else the one of the two that stands in the reply in capitals."""
    start = reply.strip().lower()
    if start.startswith(("yes", "no")):
        return start.startswith("yes")
    return "YES" in reply if ("YES" in reply) != ("NO" in reply) else None


def score(answered: Iterable[tuple[Item, str]], judge: Judge, model: str) -> Iterator[EvaluationItem]:
    """One conversation an item, one question a turn; the first questions of all items are asked together, and so on."""
    pairs = list(answered)
    opening = _PROMPT.read_text(encoding="utf-8")
    talks: list[tuple[Message, ...]] = [user(opening + _shown(item, reply)) for item, reply in pairs]
    verdicts: list[list[Verdict[bool]]] = [[] for _ in pairs]
    for turn in range(max((len(item.questions) for item, _ in pairs), default=0)):
        open_pairs = [index for index, (item, _) in enumerate(pairs) if turn < len(item.questions)]
        for index in open_pairs:
            question = pairs[index][0].questions[turn]
            talks[index] = (
                user(f"{talks[index][0].content}Question: {question}")
                if turn == 0
                else (*talks[index], Message(role="user", content=f"Question: {question}"))
            )
        replies = judge.ask((talks[index] for index in open_pairs), parse, _REMINDER)
        for index, verdict in zip(open_pairs, replies, strict=True):
            verdicts[index].append(verdict)
            talks[index] = (*talks[index], Message(role="assistant", content=verdict.reply))
    for (item, reply), found in zip(pairs, verdicts, strict=True):
        yield _scored(item, reply, [verdict.value for verdict in found], model, judge.name)


def rescore(
    path: Path, items: Sequence[Item], *, model: str, judge: str, facts: dict[str, Any]
) -> list[EvaluationItem]:
    """Aggregate published judgments: rows with ``id``, ``output`` and ``eval`` (true, false or null a question).

    ``facts["notes"]`` takes what was counted as NO for want of a verdict. Raises :class:`DataError` naming missing,
    foreign and repeated items, and items with more verdicts than questions.
    """
    by_id = {item.id: item for item in items}
    found: dict[str, EvaluationItem] = {}
    absent, yes, given = 0, 0, 0
    for line, row in read_jsonl(path, "id", "eval"):
        item = by_id.get(str(row["id"]))
        if item is None or str(row["id"]) in found:
            raise DataError(f"{path}:{line}: {row['id']} is {'judged twice' if item else 'no item of InfoBench'}")
        verdicts = list(row["eval"] or [])
        if len(verdicts) > len(item.questions):
            raise DataError(f"{path}:{line}: {item.id} has {len(verdicts)} verdicts on {len(item.questions)} questions")
        absent += len(item.questions) - len(verdicts) + verdicts.count(None)
        yes, given = yes + verdicts.count(True), given + len(verdicts)
        verdicts += [None] * (len(item.questions) - len(verdicts))
        found[item.id] = _scored(item, row.get("output") or "", verdicts, model, judge)
    if missing := [id for id in by_id if id not in found]:
        raise DataError(f"{path} has no judgment of: {names(missing)}")
    notes = facts.setdefault("notes", [])
    if absent and given:
        notes.append(
            f"{absent} questions have no verdict and count as NO; the published script would print {yes / given:.4f}"
        )
    return [found[item.id] for item in items]


def _item(row: dict[str, Any], where: str) -> Item:
    questions, labels = row["decomposed_questions"], row.get("question_label") or []
    if not questions or (labels and len(labels) != len(questions)):
        raise DataError(f"{where}: {len(questions)} questions and {len(labels)} labels")
    return Item(
        id=str(row["id"]),
        instruction=row["instruction"],
        input=row.get("input") or "",
        questions=tuple(questions),
        subset=_SUBSETS.get(row.get("subset", ""), str(row.get("subset", ""))),
        labels=tuple("+".join(label) for label in labels),
    )


def _shown(item: Item, reply: str) -> str:
    shown = f"Input:\n{item.input}\n\n" if item.input else ""
    return f"{shown}Generated text:\n{reply}\n\n"


def _scored(item: Item, reply: str, verdicts: Sequence[bool | None], model: str, judge: str) -> EvaluationItem:
    values = tuple(float(verdict is True) for verdict in verdicts)
    return EvaluationItem(
        id=item.id,
        benchmark=BENCHMARK,
        model=model,
        prompt=item.prompt,
        response=reply,
        scores={},
        parts={"drfr": values, f"drfr/{item.subset}": values},
        labels=item.labels,
        judge=judge,
        detail=" ".join("?" if verdict is None else "YES" if verdict else "NO" for verdict in verdicts),
    )


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    judging, items = need_judge(setup.judging, BENCHMARK), load(setup.path(SOURCE))
    chosen = setup.part(items[: setup.settings.limit], items)
    answered = list(generate(setup.generator, chosen, setup.sampling(), setup.seed))
    yield from judging.run(answered, lambda pairs, judge: score(pairs, judge, setup.model), setup.facts)


def _existing(given: Existing) -> Iterator[EvaluationItem]:
    items = load(given.path(SOURCE))
    if given.judgments is None and given.responses is not None and given.judging is not None:
        alignment = read_answers(given.need("responses"), items).check(given.partial)
        given.note(*alignment.notes())
        answered = [(item, alignment.responses[item.id]) for item in items if item.id in alignment.responses]
        yield from given.judging.run(answered, lambda pairs, judge: score(pairs, judge, given.label), given.facts)
        return
    path = given.need("judgments")
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".jsonl")) if path.is_dir() else [path]
    by_model = {file.stem.removesuffix("_DecomposeEval"): file for file in files}
    if path.is_dir() and given.model is not None:
        by_model = {name: file for name, file in by_model.items() if name == given.model}
    if not by_model:
        raise DataError(f"{path} holds no judgments{f' of {given.model}' if given.model else ''}")
    name = {model: model if path.is_dir() else given.model or model for model in by_model}
    yield from given.each(
        by_model, lambda model: rescore(by_model[model], items, model=name[model], judge=given.judge, facts=given.facts)
    )


DEFINITION = Benchmark(
    name=BENCHMARK,
    size=SOURCE.rows,
    sources=(SOURCE,),
    measure=_measure,
    rescore=_existing,
    prompts=("infobench.txt",),
    judged=True,
    judge_needed=True,
    judge_calls=2250,
)
