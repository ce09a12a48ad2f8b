"""Arena-Hard in a run and from files: what is asked of the model, and which existing answers and judgments are read.

Folders are read as the repository lays them out: ``model_answer/<model>.jsonl`` and
``model_judgment/<judge>/<model>.jsonl``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from autoif.errors import DataError
from autoif.records import EvaluationItem, Result
from evaluation import arena_hard, arena_style
from evaluation.arena_hard import V01, V20, Given, Item, Version
from evaluation.benchmark import Benchmark, Existing, Setup
from evaluation.data import locate
from evaluation.judge import need_judge


def _measure(version: Version, setup: Setup) -> Iterator[EvaluationItem]:
    judging = need_judge(setup.judging, version.name)
    setup.path(version.source())
    items = arena_hard.load(version, setup.data_dir)
    chosen = setup.part(first(version, items, setup.settings.limit), items)
    baseline = _baseline(version, chosen, setup)
    answered = list(arena_hard.generate(setup.generator, chosen, setup.sampling(), setup.seed))
    yield from judging.run(
        answered, lambda pairs, judge: arena_hard.score(version, pairs, baseline, judge, setup.model), setup.facts
    )


def first(version: Version, items: Sequence[Item], limit: int | None) -> list[Item]:
    """The first ``limit`` requests (None: all), taken from the categories in turn."""
    if limit is None:
        return list(items)
    by_category = [[item for item in items if item.category == category] for category in version.baselines]
    ranked = sorted(
        (place, number, item) for number, found in enumerate(by_category) for place, item in enumerate(found)
    )
    kept = {item.id for _, _, item in ranked[:limit]}
    return [item for item in items if item.id in kept]


def _baseline(version: Version, chosen: Sequence[Item], setup: Setup | Existing) -> dict[str, str]:
    """The baseline's answers by item id. Raises :class:`DataError` for missing files and answers."""
    found: dict[str, str] = {}
    for category, model in version.baselines.items():
        asked = [item for item in chosen if item.category == category]
        if asked:
            answers = arena_hard.read_answers(setup.path(version.baseline(model)), asked, others=True)
            found |= {id: given.text for id, given in answers.items()}
    return found


def _existing(version: Version, given: Existing) -> Iterator[EvaluationItem]:
    """Published judgments of one or more models, else answers of one for a judge to compare with the baseline's."""
    given.path(version.source())
    items, judging = arena_hard.load(version, given.data_dir), given.judging
    if given.judgments is None and given.responses is not None and judging is not None:
        answers = arena_hard.read_answers(given.need("responses"), items)
        baseline = _baseline(version, items, given)
        answered = [(item, answers[item.id].text) for item in items]
        yield from judging.run(
            answered, lambda pairs, judge: arena_hard.score(version, pairs, baseline, judge, given.label), given.facts
        )
        return
    rows = of_one_judge(list(read_folder(given.need("judgments"))), given.judge, str(given.judgments))
    models = sorted({row["model"] for row in rows}) if given.model is None else [given.model]

    def of(model: str) -> list[EvaluationItem]:
        if unread := sum(game is None for row in rows if row["model"] == model for game in row["games"]):
            given.note(f"{unread} games of {model} have no verdict and are not played")
        there = given.responses and answer_file(given.need("responses"), model)
        answers = arena_hard.read_answers(there, items) if there else None
        return arena_hard.rescore(version, rows, items, model, answers)

    yield from given.each(models, of)


def read_folder(path: Path) -> Iterator[dict[str, Any]]:
    """Judgments of a file, or of all JSONL files below a folder. Raises :class:`DataError` for an empty folder."""
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path} holds no judgments (expected <model>.jsonl)")
    for file in files:
        yield from arena_hard.read_judgments(file)


def of_one_judge(rows: Sequence[dict[str, Any]], judge: str, source: str) -> list[dict[str, Any]]:
    """The rows of ``judge`` where there are several judges'. Raises :class:`DataError` naming them otherwise."""
    judges = sorted({row["judge"] for row in rows})
    if len(judges) > 1 and judge not in judges:
        raise DataError(f"{source} holds judgments of {', '.join(judges)}: choose with evaluation.judged_by")
    return [row for row in rows if len(judges) == 1 or row["judge"] == judge]


def answer_file(path: Path, model: str) -> Path:
    """Where a folder (or a file of one model) has ``model``'s answers."""
    return path / f"{model}.jsonl" if path.is_dir() else path


def styles(version: Version, given: Existing, items: Sequence[EvaluationItem], seed: int = 0) -> list[Result]:
    """Win rates at equal style, where ``responses`` is a folder with the style counts of all models and the baseline.

    What is missing for them is said in a note.
    """
    if given.responses is None or not given.responses.is_dir():
        return []
    by_model: dict[str, list[EvaluationItem]] = {}
    for item in items:
        by_model.setdefault(item.model, []).append(item)
    asked = arena_hard.load(version, given.data_dir)
    results: list[Result] = []
    for category, baseline in version.baselines.items():
        try:
            answers = _counted(version, given, [*by_model, baseline], asked)
            found = arena_style.style_control(version, by_model, answers, category, seed)
        except DataError as error:
            given.note(f"no style control in {category}: {error}")
            continue
        results += [
            Result(
                benchmark=version.name,
                metric=arena_hard.metric(version, category) + "/style_controlled",
                value=rate.value,
                n=sum(item.labels[0] == category for item in by_model[model]),
                low=rate.low,
                high=rate.high,
                model=model,
                seed=seed,
                judge=", ".join(sorted({item.judge for item in by_model[model] if item.judge})) or None,
            )
            for model, rate in found.win_rates.items()
        ]
    return results


def _counted(
    version: Version, given: Existing, models: Sequence[str], asked: Sequence[Item]
) -> Mapping[str, Mapping[str, Given]]:
    folder = given.need("responses")
    answers: dict[str, Mapping[str, Given]] = {}
    for model in models:
        path = answer_file(folder, model)
        if not path.is_file() and model in version.baselines.values():
            path = locate(version.baseline(model), given.data_dir)
        answers[model] = arena_hard.read_answers(path, asked, others=True)
    return answers


def _definition(version: Version) -> Benchmark:
    return Benchmark(
        name=version.name,
        size=version.questions,
        sources=(version.source(), *(version.baseline(model) for model in version.baselines.values())),
        measure=partial(_measure, version),
        rescore=partial(_existing, version),
        aggregate=partial(arena_hard.aggregate, version),
        more=partial(styles, version),
        prompts=("arena_hard.txt",),
        judged=True,
        judge_needed=True,
        judge_calls=2 * version.questions,
    )


DEFINITION_V01 = _definition(V01)
DEFINITION_V20 = _definition(V20)
