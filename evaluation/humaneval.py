"""HumanEval (Chen et al. 2021): programs run in the confined execution engine, never in this process.

A problem's program is its prompt, the completion and its tests; it passes when ``check`` returns. Chat answers are
code in a fence: a whole function (put behind the prompt, whose imports and helpers it may use) or the body alone.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoif.errors import DataError
from autoif.execution import ExecutionConfig, ExecutionEngine, Outcome
from autoif.generation.base import Generator, Request, Sampling, user
from autoif.records import EvaluationItem
from evaluation.answering import answer, text
from evaluation.benchmark import Benchmark, Existing, Setup
from evaluation.data import Source, read_jsonl
from evaluation.responses import names

BENCHMARK = "humaneval"
SOURCE = Source(
    "HumanEval",
    "humaneval/HumanEval.jsonl.gz",
    164,
    "openai/openai_humaneval",
    "openai_humaneval/test-00000-of-00001.parquet",
    "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
    "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef",
)
PASS_AT = (1, 10, 100)
"""The k that published results give, where there are samples enough."""
_TELLING_LINES = 5
"""A canonical solution of more lines is not written twice by chance."""
_GREEDY = Sampling(max_tokens=1024)
_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n```|\Z)", re.DOTALL)
_ASK = (
    "Complete the Python function below so that it does what its docstring says. "
    "Reply with one fenced Python block that holds the whole function and any imports it needs.\n\n"
    "```python\n{prompt}\n```"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A task: code up to the function's docstring, and tests that define ``check(candidate)``."""

    id: str
    prompt: str
    entry_point: str
    test: str
    canonical_solution: str = ""


def load(path: Path) -> dict[str, Problem]:
    """Problems by task id, in order. Raises :class:`DataError` for a malformed file."""
    problems = {}
    for _, row in read_jsonl(path, "task_id", "prompt", "entry_point", "test"):
        solution = row.get("canonical_solution", "")
        problems[row["task_id"]] = Problem(row["task_id"], row["prompt"], row["entry_point"], row["test"], solution)
    if not problems:
        raise DataError(f"{path} holds no problems")
    return problems


def generate(
    generator: Generator, problems: Iterable[Problem], sampling: Sampling = _GREEDY, seed: int = 0
) -> Iterator[tuple[Problem, list[str]]]:
    """One chat answer for each problem, as the completion of its prompt."""

    def request(problem: Problem) -> Request:
        return Request(messages=user(_ASK.format(prompt=problem.prompt.strip())), sampling=sampling, seed=seed)

    for problem, reply in answer(generator, problems, request):
        yield problem, [completion(problem, text(reply))]


def completion(problem: Problem, reply: str) -> str:
    """What a chat answer adds to the prompt: its first fenced block that defines the function, else the first block,
    else all of it."""
    blocks: list[str] = _FENCE.findall(reply) or [reply]
    define = re.compile(rf"^\s*(?:async\s+)?def\s+{re.escape(problem.entry_point)}\b", re.MULTILINE)
    for block in blocks:
        if define.search(block):
            return "    pass\n\n" + block + "\n"  # ends the prompt's own function, whatever its body is
    body = blocks[0]
    return body if body.startswith((" ", "\t")) else "".join("    " + line for line in body.splitlines(keepends=True))


def read_samples(
    path: Path, problems: Mapping[str, Problem], partial: bool = False
) -> Iterator[tuple[Problem, list[str]]]:
    """Samples in the benchmark's own format, rows ``{"task_id": …, "completion": …}``: any number for each problem.

    Raises :class:`DataError` naming foreign tasks and (unless ``partial``) those without a sample.
    """
    samples: dict[str, list[str]] = {}
    for line, row in read_jsonl(path):
        task, completions = _sampled(row, f"{path}:{line}")
        if task not in problems:
            raise DataError(f"{path}:{line}: {task} is no task of the benchmark")
        samples.setdefault(task, []).extend(completions)
    absent = [id for id in problems if id not in samples]
    if absent and not (partial and samples):
        raise DataError(f"{path} has no sample for: {names(absent)}")
    for id, problem in problems.items():
        if id in samples:
            yield problem, samples[id]


def _sampled(row: Mapping[str, Any], where: str) -> tuple[str, list[str]]:
    """Task and completions of a row: the benchmark's form, or a sample that lm-eval logged."""
    if "resps" in row and isinstance(row.get("doc"), dict):
        return str(row["doc"].get("task_id")), [str(reply) for reply in row["resps"][0]]
    if absent := [name for name in ("task_id", "completion") if name not in row]:
        raise DataError(f"{where}: has no {' and no '.join(absent)}")
    return row["task_id"], [row["completion"] or ""]


def limits(config: ExecutionConfig) -> ExecutionConfig:
    """The benchmark's own limit on a program, 3 seconds, in place of a verification function's."""
    return dataclasses.replace(config, cpu_seconds=3.0, wall_seconds=6.0, memory_mb=max(1024, config.memory_mb))


def score(
    engine: ExecutionEngine,
    completed: Iterable[tuple[Problem, Sequence[str]]],
    model: str,
    ks: Sequence[int] = PASS_AT,
) -> Iterator[EvaluationItem]:
    """One item a problem with ``pass@k`` for each k of ``ks`` that its number of samples allows."""
    waiting: list[tuple[Problem, Sequence[str]]] = []

    def programs() -> Iterator[str]:
        for problem, completions in completed:
            if not completions:
                raise DataError(f"{problem.id} has no sample")
            waiting.append((problem, completions))
            for code in completions:
                yield program(problem, code)

    outcomes: list[Outcome] = []
    details: list[str] = []
    for result in engine.run_programs(programs()):
        outcomes.append(result.outcomes[0])
        details.append(result.details.get(0, ""))
        if len(outcomes) == len(waiting[0][1]):
            yield _item(*waiting.pop(0), outcomes, details, model, ks)
            outcomes, details = [], []


def program(problem: Problem, code: str) -> str:
    """The source that the engine runs: prompt, completion, tests, and their call. What a completion does only as a
    program of its own (``if __name__ == "__main__":``) is left out, as in the benchmark's own evaluation."""
    return f'__name__ = "humaneval"\n{problem.prompt}{code}\n{problem.test}\ncheck({problem.entry_point})\n'


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased estimate, from ``correct`` of ``n``, of the chance that one of ``k`` samples passes (equation 1)."""
    if not 0 <= correct <= n or not 1 <= k <= n:
        raise ValueError(f"{correct} of {n} samples, k = {k}")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def _item(
    problem: Problem,
    completions: Sequence[str],
    outcomes: Sequence[Outcome],
    details: Sequence[str],
    model: str,
    ks: Sequence[int],
) -> EvaluationItem:
    correct = sum(outcome is Outcome.TRUE for outcome in outcomes)
    scores: dict[str, Any] = {f"pass@{k}": pass_at_k(len(outcomes), correct, k) for k in ks if k <= len(outcomes)}
    said = " ".join(outcome.value for outcome in outcomes)
    return EvaluationItem(
        id=problem.id,
        benchmark=BENCHMARK,
        model=model,
        prompt=problem.prompt,
        response=completions[0],
        scores=scores,
        detail=f"{said} {details[0]}".strip() if len(details) == 1 else said,
    )


def _measure(setup: Setup) -> Iterator[EvaluationItem]:
    problems = load(setup.path(SOURCE))
    chosen = setup.part(list(problems.values())[: setup.settings.limit], problems)
    answered = generate(setup.generator, chosen, setup.sampling(), setup.seed)
    with ExecutionEngine(limits(setup.execution)) as engine:
        yield from score(engine, answered, setup.model)


def _existing(given: Existing) -> Iterator[EvaluationItem]:
    problems = load(given.path(SOURCE))
    samples = list(read_samples(given.need("responses"), problems, given.partial))
    given.facts["sample"] = len(samples) < len(problems)
    counts = {len(completions) for _, completions in samples}
    if len(counts) > 1:
        given.note(f"tasks have between {min(counts)} and {max(counts)} samples each")
    fewest = min(counts)
    with ExecutionEngine(limits(given.execution)) as engine:
        yield from score(engine, samples, given.label, [k for k in PASS_AT if k <= fewest])


def _solutions(given: Existing) -> dict[str, str]:
    """The canonical solutions; the shortest ones anyone would write."""
    problems = load(given.path(SOURCE)).values()
    return {it.id: it.canonical_solution for it in problems if it.canonical_solution.count("\n") > _TELLING_LINES}


DEFINITION = Benchmark(
    name=BENCHMARK,
    size=SOURCE.rows,
    sources=(SOURCE,),
    measure=_measure,
    rescore=_existing,
    references=_solutions,
)
