"""A plausible run for report and tracking tests: every stage of an online DPO run, made by pure functions.

The rows go through the real stage runner and store, so manifests, rejected rows and fingerprints are what a run leaves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from autoif.config import (
    ModelConfig,
    OnlineDpoAlgorithm,
    PathsConfig,
    PipelineConfig,
    RunConfig,
    SupervisorConfig,
)
from autoif.engines import Engines
from autoif.records import (
    Answers,
    Case,
    Comparison,
    EvaluationItem,
    Function,
    Instruction,
    Message,
    PreferencePair,
    Prompt,
    Query,
    Record,
    Reject,
    Reply,
    Response,
    Result,
    SftExample,
    TrainStep,
    Verifier,
    digest,
)
from autoif.stage import Context, Stage, run_stage
from autoif.store import Store

RULES = (
    "Answer in exactly three sentences.",
    "Use no commas anywhere in your answer.",
    "Begin every line with a capital letter.",
    "End your answer with the word 'done'.",
    "Write between 40 and 60 words.",
    "Give your answer as a bulleted list with five items.",
    "Mention the colour blue at least twice.",
    "Do not use the letter 'z'.",
    "Put every number in square brackets.",
    "Write your whole answer in lowercase.",
)
QUESTIONS = (
    "How do I keep basil alive indoors over the winter?",
    "What should I pack for a weekend in the mountains?",
    "Explain how a heat pump works to a ten-year-old.",
    "Suggest a name for a small bakery near a river.",
    "Why does bread go stale faster in the fridge?",
    "How can I learn to touch-type in a month?",
)
TRAINING = {
    "strategy": "single",
    "precision": "fp32",
    "train_seconds": 1024.0,
    "peak_memory_gb": 2.6,
    "versions": {"python": "3.11.2", "torch": "2.13.0"},
}
CODE = """def evaluate(response):
    words = response.split()
    if not words:
        return False
    return {low} <= len(words) <= {high}
"""


@dataclass
class RunSize:
    """How much of everything; ``text`` makes each text that long."""

    instructions: int = 48
    queries: int = 2
    heldout: int = 48
    steps: int = 60
    iterations: int = 2
    hostile: str = ""


@dataclass
class PlausibleRun:
    """A config, its stages and the store that holds them, finished up to ``done`` stages."""

    config: RunConfig
    stages: list[Stage]
    store: Store
    size: RunSize = field(default_factory=RunSize)

    def run(self, until: int | None = None) -> PlausibleRun:
        """Run the first ``until`` stages (all by default). No test of it loses power: nothing waits for the disk."""
        with patch("os.fsync"):
            for stage in self.stages[:until]:
                # The functions use no engine.
                run_stage(stage, self.store, cast(Engines, None))
        return self


def plausible_run(folder: Path, size: RunSize | None = None, name: str = "demo", seed: int = 0) -> PlausibleRun:
    """Config, stages and store under ``folder``; nothing has run yet."""
    size = size or RunSize()
    config = RunConfig(
        name=name,
        seed=seed,
        model=ModelConfig(name="smollm2_135m", path="weights"),
        supervisor=SupervisorConfig(model="Qwen2.5-Coder-1.5B-Instruct"),
        pipeline=PipelineConfig(name="demo"),
        algorithm=OnlineDpoAlgorithm(name="online_dpo", iterations=size.iterations),
        paths=PathsConfig(store=str(folder / "store"), runs=str(folder / "runs")),
    )
    config.hardware.name = "cpu"
    return PlausibleRun(config, _stages(size, seed), Store(folder / "store"), size)


def _stages(size: RunSize, seed: int) -> list[Stage]:
    stages: list[Stage] = []

    def add(
        name: str, record: type[Record], function: Any, *inputs: Stage, config: Any = None, label: str = ""
    ) -> Stage:
        stages.append(Stage(name, record, function, config or size, inputs, seed=seed, label=label))
        return stages[-1]

    instructions = add("self_instruct", Instruction, _self_instruct)
    verifier = add("write_verifiers", Verifier, _write_verifiers, instructions)
    verifier = add("cross_verify", Verifier, _cross_verify, verifier)
    verifier = add("back_translate", Verifier, _back_translate, verifier)
    verifier = add("nli_filter", Verifier, _nli_filter, verifier)
    queries = add("queries", Query, _queries)
    prompts = add("attach_queries", Prompt, _attach_queries, verifier, queries)
    answers = add("respond", Answers, _respond, prompts)
    answers = add("verify_responses", Answers, _verify_responses, answers)
    answers = add("score", Answers, _score, answers)
    examples = add("sft_dataset", SftExample, _sft_dataset, answers)
    policy = add("train_sft", TrainStep, _train_sft, examples)
    for i in range(size.iterations):
        number = f" {i + 1}"
        sampled = add("sample", Answers, _respond, prompts, policy, config=(size, i), label="sample" + number)
        judged = add("verify_samples", Answers, _verify_responses, sampled, label="verify_samples" + number)
        pairs = add("online_pairs", PreferencePair, _pairs, judged, label="online_pairs" + number)
        policy = add("train_dpo", TrainStep, _train_dpo, pairs, policy, label="train_dpo" + number)
    heldout = add("heldout_prompts", Prompt, _heldout_prompts, verifier, queries)
    answered = [
        add(
            "answer_heldout",
            EvaluationItem,
            _answer,
            heldout,
            *([policy] if model != "base" else []),
            config=(size, model),
            label=f"answer_heldout_{model}",
        )
        for model in ("base", "sft", "online_dpo")
    ]
    add("results", Result, _results, *answered)
    add("comparisons", Comparison, _compare, *answered)
    return stages


def _size(context: Context) -> RunSize:
    return cast(RunSize, context.config[0] if isinstance(context.config, tuple) else context.config)


def _random(*parts: object) -> random.Random:
    return random.Random(digest(*map(str, parts)))


def _self_instruct(context: Context) -> Iterator[Record | Reject]:
    size = _size(context)
    for i in range(size.instructions):
        text = RULES[i % len(RULES)] if i < len(RULES) else f"{RULES[i % len(RULES)]} Variation {i}. {size.hostile}"
        yield Instruction(id=f"i{i:05}", text=text, origin="seed" if i < len(RULES) else "augmented")
    for i in range(size.instructions // 4):
        yield Reject(Instruction(id=f"d{i}", text=RULES[i % len(RULES)], origin="augmented"), "duplicate")
    yield Reject(Reply(id="i00000", index=1, text=f"Sure! Here are some ideas.\n{size.hostile}"), "content_filter")


def _write_verifiers(context: Context, instructions: Iterable[Instruction]) -> Iterator[Record | Reject]:
    context.facts["calls"] = {"asked": 4 * _size(context).instructions, "tokens_in": 9600, "tokens_out": 51000}
    hostile = _size(context).hostile
    for i, instruction in enumerate(instructions):
        functions = tuple(
            Function(id=f"{instruction.id}f{j}", code=CODE.format(low=40 + j, high=60 + j) + hostile) for j in range(4)
        )
        cases = tuple(
            Case(input=f"{'word ' * (30 + 9 * j)}{hostile}", expected=j % 2 == 1, accuracy=None) for j in range(6)
        )
        whole = Verifier(id=instruction.id, instruction=instruction, functions=functions, cases=cases)
        if i % 3 == 0:
            yield Reject(
                Reply(id=instruction.id, index=3, text="```json\n{'func': 'def evaluate(" + hostile), "reply_unreadable"
            )
        if i % 11 == 5:
            yield Reject(Verifier(id=whole.id, instruction=instruction, functions=(), cases=cases), "no_function")
        else:
            yield whole


def _only(verifier: Verifier, function: Function | None = None, case: Case | None = None) -> Verifier:
    return Verifier(
        id=verifier.id,
        instruction=verifier.instruction,
        functions=(function,) if function else (),
        cases=(case,) if case else (),
    )


def _cross_verify(context: Context, verifiers: Iterable[Verifier]) -> Iterator[Record | Reject]:
    context.facts["isolation"] = "L2 (seccomp, Landlock)"
    for i, verifier in enumerate(verifiers):
        functions = tuple(
            Function(id=f.id, code=f.code, accuracy=round(_random(f.id).uniform(0.2, 1), 2)) for f in verifier.functions
        )
        for function in functions:
            if (function.accuracy or 0) <= 0.5:
                yield Reject(_only(verifier, function), "function_below_threshold", f"accuracy {function.accuracy:.2f}")
        yield Reject(_only(verifier, case=verifier.cases[0]), "case_below_threshold", "accuracy 0.25")
        kept = tuple(f for f in functions if (f.accuracy or 0) > 0.5)
        narrowed = Verifier(id=verifier.id, instruction=verifier.instruction, functions=kept, cases=verifier.cases[1:])
        if not kept or i % 7 == 3:
            yield Reject(narrowed, "too_few_functions", f"{len(kept)} of {len(functions)} left")
        else:
            yield narrowed


def _back_translate(context: Context, verifiers: Iterable[Verifier]) -> Iterator[Record | Reject]:
    context.facts["calls"] = {"asked": 160, "cached": 12, "tokens_in": 20800, "tokens_out": 4100}
    for verifier in verifiers:
        functions = tuple(
            Function(
                id=f.id,
                code=f.code,
                accuracy=f.accuracy,
                back_translation=f"The answer must have a certain number of words. {_size(context).hostile}",
            )
            for f in verifier.functions
        )
        yield Verifier(id=verifier.id, instruction=verifier.instruction, functions=functions, cases=verifier.cases)


def _nli_filter(context: Context, verifiers: Iterable[Verifier]) -> Iterator[Record | Reject]:
    for i, verifier in enumerate(verifiers):
        label = "contradiction" if i % 6 == 2 else ("entailment", "neutral")[i % 2]
        functions = tuple(
            Function(id=f.id, code=f.code, accuracy=f.accuracy, back_translation=f.back_translation, nli=label)
            for f in verifier.functions
        )
        judged = Verifier(id=verifier.id, instruction=verifier.instruction, functions=functions, cases=verifier.cases)
        if label == "contradiction":
            for function in functions:
                yield Reject(_only(judged, function), "nli_contradiction")
            yield Reject(_only(judged), "no_function_left")
        else:
            yield judged


def _queries(context: Context) -> Iterator[Record | Reject]:
    for i, text in enumerate(QUESTIONS * 10):
        if i < len(QUESTIONS):
            yield Query(id=f"q{i}", text=text, source="shipped", split="heldout" if i % 3 == 2 else "train")
        else:
            yield Reject(Query(id=f"q{i}", text=text, source="shipped"), "duplicate")


def _prompt(verifier: Verifier, query: str, key: str, hostile: str) -> Prompt:
    text = f"{verifier.instruction.text}\n\n{query}{hostile}"
    return Prompt(
        id=key,
        verifier_id=verifier.id,
        instruction=verifier.instruction.text,
        query=query,
        text=text,
        functions=verifier.functions,
    )


def _attach_queries(
    context: Context, verifiers: Iterable[Verifier], queries: Iterable[Query]
) -> Iterator[Record | Reject]:
    size, texts = _size(context), [query.text for query in queries if query.split == "train"]
    for verifier in verifiers:
        for j in range(size.queries):
            query = _random(verifier.id, j).choice(texts)
            yield _prompt(verifier, query, f"{verifier.id}p{j}", size.hostile)


def _respond(context: Context, prompts: Iterable[Prompt], *policy: Any) -> Iterator[Record | Reject]:
    context.facts["calls"] = {"asked": 300, "failures": 2, "tokens_in": 24000, "tokens_out": 61500}
    hostile = _size(context).hostile
    for prompt in prompts:
        responses = tuple(Response(index=j, text=_reply(prompt.id, j) + hostile) for j in range(4))
        yield Answers(id=prompt.id, prompt=prompt, responses=responses)


def _reply(*key: object) -> str:
    words = (
        "basil",
        "likes",
        "light",
        "so",
        "put",
        "it",
        "on",
        "a",
        "sunny",
        "sill",
        "and",
        "water",
        "when",
        "the",
        "soil",
    )
    rng = _random(*key)
    sentences = (
        " ".join(rng.choices(words, k=rng.randint(6, 14))).capitalize() + "." for _ in range(rng.randint(2, 7))
    )
    return " ".join(sentences)


def _verify_responses(context: Context, rows: Iterable[Answers]) -> Iterator[Record | Reject]:
    context.facts["isolation"] = "L2 (seccomp, Landlock)"
    for row in rows:
        judged = []
        for response in row.responses:
            rng = _random(row.id, response.index, "judge")
            outcomes = tuple(rng.choice(("true", "true", "false", "error")) for _ in row.prompt.functions)
            evidence = [o for o in outcomes if o in ("true", "false")]
            share = evidence.count("true") / len(evidence) if evidence else None
            dropped = None if (share or 0) > 0.5 else "below_threshold" if evidence else "no_evidence"
            judged.append(
                Response(index=response.index, text=response.text, outcomes=outcomes, accuracy=share, dropped=dropped)
            )
            if dropped:
                yield Reject(Answers(id=row.id, prompt=row.prompt, responses=(judged[-1],)), dropped)
        answers = Answers(id=row.id, prompt=row.prompt, responses=tuple(judged))
        yield answers if any(r.dropped is None for r in judged) else Reject(answers, "no_response_passed")


def _score(context: Context, rows: Iterable[Answers]) -> Iterator[Record | Reject]:
    for row in rows:
        scored = []
        for response in row.responses:
            score = float(_random(row.id, response.index, "score").choice((4, 7, 8, 9, 9.5)))
            dropped = response.dropped or (None if score >= 8 else "score_below_threshold")
            scored.append(
                Response(
                    index=response.index,
                    text=response.text,
                    outcomes=response.outcomes,
                    accuracy=response.accuracy,
                    score=None if response.dropped else score,
                    dropped=dropped,
                )
            )
            if dropped == "score_below_threshold":
                yield Reject(Answers(id=row.id, prompt=row.prompt, responses=(scored[-1],)), dropped)
        answers = Answers(id=row.id, prompt=row.prompt, responses=tuple(scored))
        yield answers if any(r.dropped is None for r in scored) else Reject(answers, "no_response_left")


def _sft_dataset(context: Context, rows: Iterable[Answers]) -> Iterator[Record | Reject]:
    for row in rows:
        for response in row.responses:
            if response.dropped is None:
                messages = (
                    Message(role="user", content=row.prompt.text),
                    Message(role="assistant", content=response.text),
                )
                yield SftExample(
                    id=f"{row.id}r{response.index}",
                    messages=messages,
                    instruction=row.prompt.instruction,
                    functions=tuple(f.code for f in row.prompt.functions),
                    accuracy=response.accuracy or 0.0,
                    score=response.score,
                )


def _pairs(context: Context, rows: Iterable[Answers]) -> Iterator[Record | Reject]:
    for row in rows:
        good = next((r for r in row.responses if r.dropped is None), None)
        bad = next((r for r in row.responses if r.accuracy == 0), None)
        if good is None or bad is None:
            yield Reject(row, "no_rejected_response")
            continue
        yield PreferencePair(
            id=row.id,
            prompt=(Message(role="user", content=row.prompt.text),),
            chosen=good.text,
            rejected=bad.text,
            level="online",
            chosen_accuracy=good.accuracy or 0.0,
            rejected_accuracy=0.0,
        )


def _train_sft(context: Context, examples: Sequence[SftExample]) -> Iterator[Record]:
    context.facts.update(TRAINING)
    yield from _steps(_size(context).steps, 2.1, 1.2, "sft")


def _train_dpo(context: Context, pairs: Sequence[PreferencePair], policy: Any) -> Iterator[Record]:
    context.facts.update(TRAINING)
    yield from _steps(_size(context).steps // 2, 0.6931, 0.52, "dpo")


def _steps(number: int, start: float, end: float, kind: str) -> Iterator[Record]:
    rng = _random(kind)
    for step in range(1, number + 1):
        done = step / number
        metrics = {}
        if kind == "dpo":
            metrics = {
                "margin": 0.9 * done + rng.gauss(0, 0.08),
                "accuracy": min(1, 0.5 + 0.35 * done + rng.gauss(0, 0.04)),
            }
            metrics |= {"chosen_reward": 0.3 * done, "rejected_reward": 0.3 * done - metrics["margin"]}
        yield TrainStep(
            step=step,
            epoch=2 * done,
            loss=end + (start - end) * math.exp(-4 * done) + rng.gauss(0, 0.03),
            learning_rate=1e-4 * min(1, step / 6) * (1 - done),
            grad_norm=abs(rng.gauss(1.1, 0.2)),
            tokens=4096,
            metrics=metrics,
        )


def _heldout_prompts(
    context: Context, verifiers: Iterable[Verifier], queries: Iterable[Query]
) -> Iterator[Record | Reject]:
    size, texts = _size(context), [query.text for query in queries if query.split == "heldout"]
    pool = list(verifiers)
    for i in range(size.heldout):
        yield _prompt(pool[i % len(pool)], texts[i % len(texts)], f"h{i:05}", size.hostile)


def _answer(context: Context, prompts: Iterable[Prompt], *policy: Any) -> Iterator[Record]:
    size, model = context.config
    for i, prompt in enumerate(prompts):
        met = i % 4 == 0 or (model == "online_dpo" and i % 4 == 1) or (model == "base" and i % 16 == 3)
        yield EvaluationItem(
            id=prompt.id,
            benchmark="heldout",
            model=model,
            prompt=prompt.text,
            response=_reply(prompt.id, model) + size.hostile,
            scores={"followed": float(met), "accuracy": 1.0 if met else 0.25},
        )


def _results(context: Context, *sources: Iterable[EvaluationItem]) -> Iterator[Record]:
    for items in sources:
        rows = list(items)
        for metric in ("followed", "accuracy"):
            value = sum(row.scores[metric] for row in rows) / len(rows)
            half = 1.96 * math.sqrt(value * (1 - value) / len(rows))
            yield Result(
                benchmark="heldout",
                metric=metric,
                value=value,
                n=len(rows),
                low=max(0.0, value - half),
                high=min(1.0, value + half),
                model=rows[0].model,
            )
    for model, value in (("base", 0.156), ("sft", 0.201), ("online_dpo", 0.188)):
        yield Result(
            benchmark="ifeval",
            metric="prompt_level_strict_acc",
            value=value,
            n=16,
            low=value - 0.12,
            high=value + 0.2,
            model=model,
            sample=True,
        )


def _compare(context: Context, *sources: Iterable[EvaluationItem]) -> Iterator[Record]:
    before, *others = (list(items) for items in sources)
    for after in others:
        for metric in ("followed", "accuracy"):
            shift = sum(b.scores[metric] - a.scores[metric] for a, b in zip(before, after, strict=True)) / len(before)
            yield Comparison(
                benchmark="heldout",
                metric=metric,
                baseline="base",
                candidate=after[0].model,
                difference=shift,
                low=shift - 0.13,
                high=shift + 0.14,
                p_value=0.0127,
                test="mcnemar" if metric == "followed" else "paired_bootstrap",
                n=len(before),
                gained=tuple(b.id for a, b in zip(before, after, strict=True) if b.scores[metric] > a.scores[metric]),
            )
