"""How fast training data is compared with benchmarks: ``python -m evaluation.contamination_bench 100000 --json``.

Synthetic rows stream past the prompts of IFEval and FollowBench (1 361), or past synthetic
prompts of the same number where their files are not at hand (``AUTOIF_DATA_DIR``). A known share of the rows holds a
test prompt; the bench checks that all of those are found. ``--judge`` also chooses candidates for the judge.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autoif.config import ContaminationConfig
from autoif.generation.base import Completion
from evaluation import contamination_sets
from evaluation.contamination import Sample
from evaluation.contamination_stages import TABLE_4, measure
from evaluation.judge import Judge
from evaluation.responses import Question

PROMPTS = 1361
"""IFEval and FollowBench together."""
PLANTED = 997
"""Every so many rows one holds a test prompt."""
_COMMON = "the of and a to in is you that it for on are as with this be at or from not your write list words answer"
_WORDS = [*_COMMON.split(), *(f"word{number}" for number in range(5000))]
_WEIGHTS = [1 / (rank + 10) for rank in range(len(_WORDS))]
"""Few words that are everywhere and many that are rare, as in a language."""


class Never:
    """A judge that says NO at once."""

    identity = "nobody"

    def generate(self, requests: Any) -> Iterator[Completion]:
        """Answer in order."""
        return (Completion(text="NO") for _ in requests)

    def close(self) -> None:
        """Nothing is held."""


def benchmarks(data_dir: str | None) -> Mapping[str, Sequence[Question]]:
    """The prompts of table 4, or as many synthetic ones."""
    if data_dir and not any(contamination_sets.absent(name, data_dir) for name in TABLE_4):
        return contamination_sets.load(TABLE_4, data_dir)
    draw = random.Random(1)
    return {"synthetic": [Question(str(i), _text(draw, draw.randint(20, 150))) for i in range(PROMPTS)]}


def rows(count: int, words: int, planted: Sequence[Question]) -> Iterator[Sample]:
    """``count`` rows of about ``words`` words, a third of them the prompt."""
    draw = random.Random(0)
    for number in range(count):
        prompt, answer = _text(draw, words // 3), _text(draw, words - words // 3)
        if number % PLANTED == 0:
            prompt = f"{prompt} {planted[number // PLANTED % len(planted)].prompt}"
        yield Sample(str(number), prompt, f"{prompt}\n{answer}")


def _text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(_WORDS, _WEIGHTS, k=words))


def run(count: int, words: int, judged: bool) -> dict[str, Any]:
    """Compare once; seconds are those of the comparison, the rows being made beforehand."""
    questions = benchmarks(os.environ.get("AUTOIF_DATA_DIR"))
    every = [question for asked in questions.values() for question in asked]
    made = list(rows(count, words, every))
    settings = ContaminationConfig(benchmarks=list(questions), candidates=3 if judged else 0)
    started = time.perf_counter()
    found = list(measure("bench", made, questions, settings, Judge(Never()) if judged else None))
    seconds = time.perf_counter() - started
    planted = {index // PLANTED % len(every) for index in range(0, count, PLANTED)}
    return {
        "rows": count,
        "prompts": len(every),
        "benchmarks": list(questions),
        "megabytes": round(sum(len(row.text) for row in made) / 1e6, 1),
        "judge_pairs": sum(row.asked for row in found),
        "planted": len(planted),
        "found": sum(row.contaminated for row in found),
        "seconds": round(seconds, 2),
        "rows_per_second": round(count / seconds),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> int:
    """Command line; exit code 1 when a planted prompt was missed."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.contamination_bench", description=__doc__.split("\n")[0]
    )
    parser.add_argument("rows", type=int, nargs="*", default=[100_000], help="training rows, one or more amounts")
    parser.add_argument("--words", type=int, default=250, help="words of a row")
    parser.add_argument("--judge", action="store_true", help="also choose three candidates a prompt for a judge")
    parser.add_argument("--json", action="store_true", help="one JSON object an amount")
    options = parser.parse_args()
    complete = True
    for count in options.rows:
        result = run(count, options.words, options.judge)
        complete &= result["found"] >= result["planted"]
        if options.json:
            print(json.dumps(result), flush=True)
        else:
            print(
                f"{count:>9,} rows × {result['prompts']:,} prompts{result['seconds']:>8.2f} s"
                f"{result['rows_per_second']:>9,} rows/s{result['peak_mib']:>7,} MiB"
                f"   {result['found']} of {result['planted']} planted prompts found",
                flush=True,
            )
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
