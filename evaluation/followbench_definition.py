"""FollowBench in a run and from files: what is asked of the model, which existing answers and judgments are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from autoif.records import EvaluationItem
from evaluation import followbench
from evaluation.benchmark import Benchmark, Existing, Setup
from evaluation.followbench import CATEGORIES, LEVELS, SOURCES, Item


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    for source in SOURCES:
        setup.path(source)
    items = followbench.load(setup.data_dir)
    chosen = setup.part(first(items, setup.settings.limit), items)
    answered = list(followbench.generate(setup.generator, chosen, setup.sampling(), setup.seed))
    yield from _judge(setup, answered, setup.model)


def first(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At least ``limit`` items (None: all) in whole groups, the first of each category, then the second of each, ..."""
    places: dict[tuple[str, int], int] = {}
    seen: Counter[str] = Counter()
    for item in items:
        if (item.category, item.example) not in places:
            places[item.category, item.example] = seen[item.category]
            seen[item.category] += 1
    groups = sorted(places, key=lambda group: (places[group], CATEGORIES.index(group[0])))
    kept = set(groups if limit is None else groups[: -(-limit // LEVELS)])
    return [item for item in items if (item.category, item.example) in kept]


def _judge(given: Setup | Existing, answered: Sequence[tuple[Item, str]], model: str) -> Iterable[EvaluationItem]:
    """Rules judge theirs, and the judge, if there is one, the others."""
    if given.judging is None:
        given.facts.setdefault("notes", []).append("no judge: only the groups that rules judge are scored")
        return followbench.score(answered, None, model)
    return given.judging.run(answered, lambda pairs, judge: followbench.score(pairs, judge, model), given.facts)


def _existing(given: Existing) -> Iterator[EvaluationItem]:
    """Rules judge again; judged items come from the judgments, else from a judge, or are left out."""
    for source in SOURCES:
        given.path(source)
    asked, responses = followbench.load(given.data_dir), given.need("responses")
    if given.judgments is not None:
        given.need("judgments")
    there = followbench.models(responses)
    chosen = [given.model] if given.model in there or len(there) < 2 else there
    yield from given.each(
        [model or (there[0] if there else given.label) for model in chosen],
        lambda model: _existing_of(given, model, asked),
    )


def _existing_of(given: Existing, model: str, asked: Sequence[Item]) -> list[EvaluationItem]:
    alignment = followbench.read_answers(given.need("responses"), asked, model).check(given.partial)
    given.note(*alignment.notes())
    answers = alignment.responses
    answered = [(item, answers[item.id]) for item in asked if item.id in answers]
    if given.judgments is None:
        if given.judging is None:
            given.note("no judgments: only the groups that rules judge are scored")
            return list(followbench.score(answered, None, model))
        return list(_judge(given, answered, model))
    verdicts = followbench.read_judgments(given.judgments, asked, model)
    if unread := [id for id, verdict in verdicts.items() if verdict is None]:
        given.note(f"{len(unread)} judgments cannot be parsed and count as nothing satisfied")
    return list(followbench.rescore(answers, verdicts, asked, model, given.judge))


DEFINITION = Benchmark(
    name=followbench.BENCHMARK,
    size=820,
    sources=SOURCES,
    measure=_measure,
    rescore=_existing,
    aggregate=followbench.aggregate,
    prompts=("followbench.txt",),
    judged=True,
    judge_calls=470,
)
