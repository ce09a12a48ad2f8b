"""Benchmark of scoring: ``python -m evaluation.bench [--rounds N] [--json]``.

Scores the same 541 IFEval answers through this package and through lm-eval's own task with a model that replays them,
in turn, and compares the CPU time of the fastest rounds; imports count for neither.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autoif.errors import AutoifError, DataError

TARGET = 1.2
"""Our time may be this many times lm-eval's."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.bench", description="Benchmark of scoring.")
    parser.add_argument("--data", default=os.environ.get("AUTOIF_DATA_DIR"), help="folder with the benchmarks' files")
    parser.add_argument("--responses", type=Path, help="answers to score (default: texts made from the prompts)")
    parser.add_argument("--rounds", type=int, default=3, help="of each side (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        found = measure(options.data, options.responses, options.rounds)
    except AutoifError as error:
        parser.exit(1, f"{error}\n")
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print(f"ours     {found['ours_seconds']:7.2f} s for {found['responses']} answers")
        print(f"lm-eval  {found['lm_eval_seconds']:7.2f} s  ({found['ours_over_lm_eval']:.2f} x, at most {TARGET})")
    return 0


def measure(data_dir: str | None, responses: Path | None = None, rounds: int = 3) -> dict[str, Any]:
    """CPU seconds of the fastest of ``rounds`` rounds of each side, and what they found. Raises :class:`DataError`."""
    from evaluation import data, ifeval

    path = data.locate(data.IFEVAL, data_dir)
    ifeval.prepare(data_dir)
    rows = [row for _, row in data.read_jsonl(path)]
    with TemporaryDirectory() as folder:
        if responses is None:
            responses = Path(folder, "responses.jsonl")
            responses.write_text("".join(json.dumps(_answer(row)) + "\n" for row in rows), encoding="utf-8")
        answers = {row["prompt"]: row["response"] for _, row in data.read_jsonl(responses, "prompt", "response")}
        if absent := [row["key"] for row in rows if row["prompt"] not in answers]:
            raise DataError(f"{responses} has no answer for {absent[0]}")
        given, theirs = responses, _stock(path, answers)
        sides: dict[str, Callable[[], float]] = {"ours": lambda: _ours(given, path), "lm_eval": theirs}
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        values: dict[str, float] = {}
        for _ in range(rounds):
            for name, run in sides.items():
                began = time.process_time()
                values[name] = run()
                seconds[name].append(time.process_time() - began)
    ours, other = min(seconds["ours"]), min(seconds["lm_eval"])
    return {
        "responses": len(rows),
        "ours_seconds": round(ours, 3),
        "lm_eval_seconds": round(other, 3),
        "ours_over_lm_eval": round(ours / other, 3),
        "prompt_level_strict_acc": values,
    }


def _answer(row: dict[str, Any]) -> dict[str, str]:
    """A long text that follows some of a prompt's constraints: they stand in the prompt."""
    return {"prompt": row["prompt"], "response": (row["prompt"] + "\n\n") * 3}


def _ours(responses: Path, path: Path) -> float:
    from evaluation import ifeval

    items = list(ifeval.rescore(responses, path, model="bench", partial=True))
    return sum(item.scores["prompt_level_strict_acc"] for item in items) / len(items)


def _stock(path: Path, answers: dict[str, str]) -> Callable[[], float]:
    """lm-eval's own task over the same prompts and answers."""
    import lm_eval.tasks
    from lm_eval.api.model import LM
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    from evaluation.lm_bridge import quiet

    class Replay(LM):  # type: ignore[misc]
        """Answers from the file."""

        def generate_until(self, requests: list[Any]) -> list[str]:
            return [answers[request.args[0]] for request in requests]

        def loglikelihood(self, requests: list[Any]) -> list[Any]:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    stock = Path(lm_eval.tasks.__file__).parent / "ifeval" / "ifeval.yaml"
    folder = TemporaryDirectory()
    Path(folder.name, "ifeval.yaml").write_text(
        f"include: {stock}\ntask: stock_ifeval\ndataset_path: json\ndataset_name: null\ntest_split: train\n"
        f"dataset_kwargs:\n  data_files: {path.absolute()}\n",
        encoding="utf-8",
    )

    def run(folder: TemporaryDirectory[str] = folder) -> float:
        with quiet():
            manager = TaskManager(include_path=folder.name, include_defaults=False)
            found = simple_evaluate(Replay(), tasks=["stock_ifeval"], task_manager=manager, bootstrap_iters=0)
        return float(found["results"]["stock_ifeval"]["prompt_level_strict_acc,none"])

    return run


if __name__ == "__main__":
    raise SystemExit(main())
