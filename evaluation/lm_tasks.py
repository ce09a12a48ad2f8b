"""Running one of our lm-eval task files over a generation engine; what it returns is per item, not only a mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from autoif.errors import MissingExtraError
from autoif.generation.base import Generator, Sampling
from evaluation.responses import Question

FOLDER = Path(__file__).with_name("tasks")


@dataclass(frozen=True, slots=True)
class Sample:
    """One document, what was answered, why not if it was not, and the metrics of one filter."""

    document: dict[str, Any]
    response: str
    failure: str
    filter: str
    metrics: dict[str, Any]


def run(
    generator: Generator, task: str, path: Path, chosen: Sequence[int], sampling: Sampling, seed: int = 0
) -> list[Sample]:
    """Answer and score the documents at ``chosen`` places of ``path`` with the task file ``tasks/<task>.yaml``.

    Samples come in the order of the documents, filter by filter. Raises :class:`MissingExtraError` without lm-eval.
    """
    try:
        from lm_eval.evaluator import evaluate
        from lm_eval.tasks import TaskManager

        from evaluation.lm_bridge import GeneratorLM, quiet
    except ImportError as error:
        raise MissingExtraError(f"{error.name} (needed by {task})", "eval") from None
    name = f"autoif_{task}"
    model = GeneratorLM(generator, seed)
    source = {"path": str(path), "chosen": list(chosen)}
    with quiet():
        manager = TaskManager(include_path=str(FOLDER), include_defaults=False, metadata=source)
        tasks = manager.load([name])
        tasks["tasks"][name].set_config("generation_kwargs", _settings(sampling), update=True)
        results = evaluate(model, tasks, bootstrap_iters=0, apply_chat_template=True, log_samples=True)
    found = sorted(results["samples"][name], key=lambda sample: (sample["doc_id"], sample["filter"]))
    return [_sample(sample, model.failures) for sample in found]


def run_chosen(
    generator: Generator,
    task: str,
    path: Path,
    items: Sequence[Question],
    *,
    limit: int | None,
    only: frozenset[str] | None,
    sampling: Sampling,
    seed: int,
    facts: dict[str, Any] | None,
) -> tuple[list[int], list[Sample]]:
    """:func:`run` on the first ``limit`` of ``items``, or on those of them whose ids are in ``only``.

    Returns their places and the samples; ``facts`` takes lm-eval's version and whether only a part was run.
    """
    chosen = [index for index, item in enumerate(items[:limit]) if only is None or item.id in only]
    samples = run(generator, task, path, chosen, sampling, seed)
    if facts is not None:
        facts["lm_eval"] = version("lm_eval")
        facts["sample"] = len(chosen) < len(items)
    return chosen, samples


def _settings(sampling: Sampling) -> dict[str, Any]:
    return {
        "max_gen_toks": sampling.max_tokens,
        "do_sample": sampling.temperature > 0,
        "temperature": sampling.temperature,
    }


def package_missing(*more: str) -> str | None:
    """Which of lm-eval, datasets and ``more`` is not installed, and what to do, or None; imports nothing."""
    absent = next((name for name in ("lm_eval", "datasets", *more) if find_spec(name) is None), None)
    return f"{absent} is not installed: pip install 'autoif[eval]'" if absent else None


def _sample(sample: dict[str, Any], failures: dict[str, Any]) -> Sample:
    failure = failures.get(sample["arguments"][0][0])
    metrics = {name: sample[name] for name in sample["metrics"]}
    response = sample["resps"][0][0]
    return Sample(sample["doc"], response, failure.reason if failure else "", sample["filter"], metrics)
