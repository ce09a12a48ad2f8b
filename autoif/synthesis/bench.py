"""How verification, scoring and the training sets scale: ``python -m autoif.synthesis.bench 10000 100000``.

Synthetic responses go through the real stages, store and execution engine; only the judge is scripted. Prints the time
and the responses a second of every stage, and the peak memory of this process (workers apart).
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autoif.config import ExportFormat, PreferenceConfig, ScoreConfig, SftDatasetConfig, VerifyResponsesConfig
from autoif.execution import ExecutionConfig, ExecutionEngine
from autoif.generation import Completion, Request
from autoif.interchange.training_sets import TrainingSet, export
from autoif.records import Answers, Function, PreferencePair, Prompt, Response, SftExample, Verifier, digest
from autoif.stage import CHUNK, Context, Rows, Stage, run_stage
from autoif.store import Store
from autoif.synthesis import datasets, score, verify_responses

SAMPLES = 8
"""Responses of a prompt, as in the paper."""

_SENTENCE = "a good answer says what it has to say and then stops while a bad one goes on about something else"
_WORDS = _SENTENCE.split()
_CODE = (
    "def evaluate(response):\n    return response.lower().count('answer') >= {n}",
    "import re\n\ndef evaluate(response):\n    return len(re.findall(r'\\banswer\\b', response.lower())) > {n} - 1",
)


class Judge:
    """A generator that scores by the length of the prompt: four of five are good."""

    identity = "synthetic judge"

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer at once."""
        return (
            Completion(text=f"Score: {4 if len(request.messages[-1].content) % 5 == 0 else 9}") for request in requests
        )

    def close(self) -> None:
        """Nothing is held."""


def answers(count: int) -> Iterator[Answers]:
    """``count`` responses in prompts of :data:`SAMPLES`, under three instructions with two functions each."""
    for number in range(count // SAMPLES):
        wanted = 1 + number % 3
        functions = tuple(
            Function(id=digest(code), code=code) for code in (template.format(n=wanted) for template in _CODE)
        )
        instruction = f"Use the word “answer” at least {wanted} times."
        query = f"What does question {number} ask for?"
        prompt = Prompt(
            id=f"p{number}",
            verifier_id=f"v{number % 64}",
            instruction=instruction,
            query=query,
            text=f"{instruction}\n{query}",
            functions=functions,
        )
        responses = tuple(Response(index=i, text=_text(number, i)) for i in range(SAMPLES))
        yield Answers(id=prompt.id, prompt=prompt, responses=responses)


def _text(number: int, index: int) -> str:
    """About 400 characters that hold the word 0 to 4 times."""
    start = (number * 7 + index * 3) % len(_WORDS)
    words = [word for word in (_WORDS * 5)[start : start + 80] if word != "answer"]
    return " ".join(words + ["answer"] * (index % 5)) + f" ({number}.{index})"


def source(count: int) -> Stage:
    """The stage that makes ``count`` responses."""

    def made(context: Context) -> Iterator[Answers]:
        return answers(count)

    return Stage("bench_answers", Answers, made, version=count)


def graph(made: Stage) -> Sequence[Stage]:
    """A stage that makes answers and the stages behind it."""
    verified = Stage(
        "verify_responses",
        Answers,
        verify_responses.verify_responses,
        config=VerifyResponsesConfig(),
        inputs=(made,),
        chunk=CHUNK,
    )
    scored = Stage("score", Answers, score.score, config=ScoreConfig(), inputs=(verified,), chunk=CHUNK)
    sft = Stage(
        "sft_dataset", SftExample, datasets.sft_dataset, config=SftDatasetConfig(), inputs=(scored,), chunk=CHUNK
    )
    nothing = Stage("bench_verifiers", Verifier, lambda context: iter(()))
    pairs = Stage(
        "preference_dataset",
        PreferencePair,
        datasets.preference_dataset,
        config=PreferenceConfig(instruction_level=False),
        inputs=(scored, nothing),
    )
    return made, verified, scored, sft, nothing, pairs


def measure(count: int, folder: Path, workers: int) -> None:
    """Run the graph on ``count`` responses and print what each stage took."""
    store, stages = Store(folder), graph(source(count))
    with ExecutionEngine(ExecutionConfig(workers=workers)) as engine:
        engines: Any = SimpleNamespace(supervisor=Judge(), execution=engine)
        for stage in stages:
            started = time.perf_counter()
            manifest = run_stage(stage, store, engines)
            if not stage.name.startswith("bench_"):
                _report(count, stage.name, time.perf_counter() - started, manifest.kept)
    started = time.perf_counter()
    sets = {stage.record: Rows(stage.entry(store), stage.record) for stage in stages}
    names = (("sft", SftExample), ("preference", PreferencePair))
    made = [TrainingSet(name, record, sets[record]) for name, record in names]
    files = export(ExportFormat.alpaca, folder / "export", made)
    _report(count, "export", time.perf_counter() - started, sum(files.values()))


def _report(count: int, what: str, seconds: float, rows: int) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:>9,} {what:<20}{seconds:>8.2f} s{count / seconds:>12,.0f} /s{rows:>10,} rows{peak:>8.0f} MiB",
        flush=True,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m autoif.synthesis.bench", description=__doc__.split("\n")[0])
    parser.add_argument("responses", type=int, nargs="+", help="how many responses, one or more amounts")
    parser.add_argument("--workers", type=int, default=0, help="execution workers; 0: one for each core")
    options = parser.parse_args()
    for count in options.responses:
        folder = Path(tempfile.mkdtemp(prefix="autoif-bench-"))
        try:
            measure(count, folder, options.workers)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
