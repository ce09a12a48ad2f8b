"""Contamination in the graph: the stage that measures it on the training sets, the filter that keeps it out of them.

Importing this module loads no engine; benchmark files are read when a stage runs, their hashes when it is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from autoif.config import NOT_IDENTITY, ContaminationConfig, DecontaminationConfig, EvaluationConfig, RunConfig
from autoif.generation.factory import supervisor_identity
from autoif.records import AnswerGroup, Answers, Contamination, Overlap, PreferencePair, Record, Reject, SftExample
from autoif.stage import CHUNK, Context, Estimate, Rows, Stage
from evaluation import contamination_judge, contamination_sets
from evaluation.contamination import Index, Sample, Tally
from evaluation.contamination_judge import Rephrased, Similar
from evaluation.contamination_rows import sample
from evaluation.judge import Judge
from evaluation.responses import Question

if TYPE_CHECKING:
    from autoif.engines import Engines

TABLE_4 = ("ifeval", "followbench")
"""Benchmarks of the paper's table 4."""
EXAMPLES = 10
"""Cases of a benchmark that are kept to be read."""
DATA = (SftExample, PreferencePair, AnswerGroup)
"""Records that models are trained on."""
_LABELS: dict[type[Record], str] = {
    Answers: "decontaminate_answers",
    SftExample: "decontaminate_examples",
    PreferencePair: "decontaminate_pairs",
}
"""How a filter is shown that is not of prompts."""


@dataclass(kw_only=True, slots=True)
class Measure:
    """``data``: names of the sets, in the order of the inputs. ``benchmarks``: name → what its files hold. The rest as
    in :class:`~autoif.config.ContaminationConfig`."""

    data: list[str]
    benchmarks: Mapping[str, str]
    words: int
    share: float
    candidates: int
    max_tokens: int
    role: str = field(default="supervisor", metadata=NOT_IDENTITY)
    """Which engine judges; who that is stands among the stage's engines."""
    data_dir: str | None = field(default=None, metadata=NOT_IDENTITY)


@dataclass(kw_only=True, slots=True)
class Filter:
    """As in :class:`Measure`."""

    benchmarks: Mapping[str, str]
    words: int
    share: float
    data_dir: str | None = field(default=None, metadata=NOT_IDENTITY)


def measuring(config: RunConfig, settings: ContaminationConfig, sets: Sequence[Stage]) -> Stage:
    """The stage that compares training ``sets`` with the benchmarks of ``settings``."""
    directory = config.evaluation.data_dir
    judged = settings.candidates > 0
    role = judging_role(config.evaluation)
    asked = {role: supervisor_identity(config.evaluation.judge or config.supervisor)} if judged else {}
    calls = settings.candidates * sum(contamination_sets.SETS[name].size for name in settings.benchmarks)
    return Stage(
        name="contamination",
        record=Contamination,
        function=contamination,
        config=Measure(
            data=[stage.title for stage in sets],
            benchmarks=contamination_sets.contents(settings.benchmarks, directory),
            words=settings.words,
            share=settings.share,
            candidates=settings.candidates,
            max_tokens=settings.max_tokens,
            role=role,
            data_dir=directory,
        ),
        inputs=tuple(sets),
        texts={"rephrased": contamination_judge.prompt_text()} if judged else {},
        engines=asked,
        estimate=lambda *counts: Estimate(
            records=len(counts) * len(settings.benchmarks), model_calls=len(counts) * calls
        ),
    )


def measured(config: RunConfig, models: Iterable[Stage]) -> list[Stage]:
    """The measuring stage on what ``models`` (training stages) learn from, if the configuration asks for it."""
    settings = config.evaluation.contamination
    names = [name for name in settings.benchmarks if left_out(config.evaluation, name) is None]
    return [measuring(config, replace(settings, benchmarks=names), training_sets(models))] if names else []


def left_out(config: EvaluationConfig, name: str) -> str | None:
    """Why a benchmark is not compared, or None: left out is what is neither at hand nor on the hub, and with
    ``only_with_data`` what is not at hand."""
    on_hub = all(source.hub_id for source in contamination_sets.SETS[name].sources)
    return None if on_hub and not config.only_with_data else contamination_sets.absent(name, config.data_dir)


def cleaned(config: RunConfig, source: Stage) -> list[Stage]:
    """``source``, followed by the stage that drops what contaminates a benchmark from it, if that is asked for."""
    if not config.pipeline.contamination.drop:
        return [source]
    return [source, _filtering(config.pipeline.contamination, config.evaluation.data_dir, source)]


def _filtering(settings: DecontaminationConfig, directory: str | None, source: Stage) -> Stage:
    return Stage(
        name="decontaminate",
        label=_LABELS.get(source.record, ""),
        record=source.record,
        function=decontaminate,
        config=Filter(
            benchmarks=contamination_sets.contents(settings.benchmarks, directory),
            words=settings.words,
            share=settings.share,
            data_dir=directory,
        ),
        inputs=(source,),
        chunk=16 * CHUNK,
    )


def judging_role(config: EvaluationConfig) -> str:
    """Who reads the candidates: the judge of the evaluation, or the supervisor where there is none."""
    return "judge" if config.judge is not None else "supervisor"


def judge_of(engines: Engines, role: str, max_tokens: int) -> Judge:
    """The engine of that role as a judge."""
    return Judge(engines.judge if role == "judge" else engines.supervisor, max_tokens)


def training_sets(models: Iterable[Stage]) -> list[Stage]:
    """The sets that ``models`` (training stages) learn from, each once."""
    return list(dict.fromkeys(source for model in models for source in model.inputs if source.record in DATA))


def contamination(context: Context, *sets: Rows[Any]) -> Iterator[Contamination]:
    """One row for each training set and benchmark."""
    config: Measure = context.config
    questions = contamination_sets.load(list(config.benchmarks), config.data_dir)
    judge = judge_of(context.engines, config.role, config.max_tokens) if config.candidates else None
    for name, rows in zip(config.data, sets, strict=True):
        yield from measure(name, map(sample, rows), questions, config, judge)
    if judge:
        context.facts.update(judge.facts())


def decontaminate(context: Context, rows: Iterable[Record]) -> Iterator[Record | Reject]:
    """Pass on the rows that contaminate nothing; the others go with the prompt that each holds most of."""
    config: Filter = context.config
    index = Index(contamination_sets.load(list(config.benchmarks), config.data_dir), config.words)
    for row in rows:
        found = list(index.overlaps(sample(row), config.share))
        if not found:
            yield row
            continue
        worst = max(found, key=lambda overlap: overlap.share)
        yield Reject(row, "contaminated", f"holds {worst.share:.0%} of {worst.benchmark} {worst.item}")


def measure(
    name: str,
    samples: Iterable[Sample],
    questions: Mapping[str, Sequence[Question]],
    config: Measure | ContaminationConfig,
    judge: Judge | None = None,
) -> Iterator[Contamination]:
    """Compare one training set, in one pass, with every benchmark; ``judge`` reads the candidates afterwards."""
    index = Index(questions, config.words)
    tally = Tally(index, config.share)
    stream = tally.add(samples)
    similar = [Similar(asked, config.candidates) for asked in questions.values()] if judge else []
    for chooser in similar:
        stream = chooser.add(stream)
    for _ in stream:
        pass
    first = 0
    for number, (benchmark, asked) in enumerate(questions.items()):
        judged = None
        if judge:
            keys = index.keys[first : first + len(asked)]
            judged = contamination_judge.detect(judge, similar[number].candidates(), keys)
        mine = range(first, first + len(asked))
        yield _row(name, benchmark, mine, tally, config, judged, judge)
        first += len(asked)


def _row(
    name: str,
    benchmark: str,
    mine: range,
    tally: Tally,
    config: Measure | ContaminationConfig,
    judged: Rephrased | None,
    judge: Judge | None,
) -> Contamination:
    worst: list[Overlap] = [tally.best[number] for number in mine if number in tally.best]
    if judged:
        worst += judged.found.values()
    worst.sort(key=lambda overlap: (-overlap.rephrased, -overlap.share, overlap.item))
    return Contamination(
        data=name,
        benchmark=benchmark,
        train=tally.seen,
        test=len(mine),
        overlapping=sum(number in tally.touched for number in mine),
        contaminated=sum(number in tally.best for number in mine),
        rows=tally.rows[benchmark],
        words=config.words,
        share=config.share,
        asked=judged.asked if judged else 0,
        rephrased=len(judged.found) if judged else None,
        unparsable=judged.unparsable if judged else 0,
        judge=judge.name if judge else None,
        examples=tuple(worst[:EXAMPLES]),
    )
