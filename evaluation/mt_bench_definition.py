"""MT-Bench in a run and from files: what is asked of the model, and which existing answers and grades are read."""

from __future__ import annotations

from collections.abc import Iterator

from autoif.records import EvaluationItem
from evaluation import mt_bench
from evaluation.benchmark import Benchmark, Existing, Setup
from evaluation.judge import need_judge
from evaluation.mt_bench import JUDGE_PROMPTS, QUESTIONS, REFERENCES


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    for source in (QUESTIONS, REFERENCES, JUDGE_PROMPTS):
        setup.path(source)
    judging, items, prompts = (
        need_judge(setup.judging, mt_bench.BENCHMARK),
        mt_bench.load(setup.data_dir),
        mt_bench.load_prompts(setup.data_dir),
    )
    chosen = setup.part(items[: setup.settings.limit], items)
    answered = mt_bench.generate(setup.generator, chosen, setup.sampling().max_tokens, setup.seed, setup.temperature)
    yield from judging.run(
        answered, lambda pairs, judge: mt_bench.score(pairs, judge, prompts, setup.model), setup.facts
    )


def _existing(given: Existing) -> Iterator[EvaluationItem]:
    """Published grades of one or more models, else answers for a judge to grade."""
    items, judging = mt_bench.load(given.data_dir), given.judging
    given.path(QUESTIONS)
    if given.judgments is None and given.responses is not None and judging is not None:
        replies, prompts = mt_bench.read_answers(given.need("responses"), items), mt_bench.load_prompts(given.data_dir)
        answered = [(item, replies[item.id]) for item in items]
        yield from judging.run(
            answered, lambda pairs, judge: mt_bench.score(pairs, judge, prompts, given.label), given.facts
        )
        return
    path = given.need("judgments")
    files = sorted(path.glob("*_single.jsonl")) if path.is_dir() else [path]
    grades = [grade for file in files for grade in mt_bench.read_judgments(file)]
    models = sorted({grade.model for grade in grades}) if given.model is None else [given.model]

    def of(model: str) -> list[EvaluationItem]:
        there = given.responses
        if there is not None:
            there = given.need("responses")
            there = there / f"{model}.jsonl" if there.is_dir() else there
        return mt_bench.rescore(
            grades, items, model, mt_bench.read_answers(there, items) if there is not None else None
        )

    yield from given.each(models, of)


DEFINITION = Benchmark(
    name=mt_bench.BENCHMARK,
    size=80,
    sources=(QUESTIONS, REFERENCES, JUDGE_PROMPTS),
    measure=_measure,
    rescore=_existing,
    judged=True,
    judge_needed=True,
    turns=mt_bench.TURNS,
    judge_calls=160,
    sampled=True,
)
