"""``task=evaluate``: measure one model or score existing answers, print the numbers, leave them in the run's folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from autoif.config import RunConfig
from autoif.engines import Engines
from autoif.errors import ConfigError, DataError
from autoif.records import EvaluationItem, Record, Result, read_records, write_records
from autoif.requirements import requirements
from autoif.stage import Stage, run_stage
from autoif.store import Manifest, Store, StoreError
from evaluation import existing, stages
from evaluation.graph import measured_alone

RESULTS, ITEMS = "results.jsonl", "items.jsonl"


def graph(config: RunConfig) -> list[Stage]:
    """The stages of ``task=evaluate``: items, then results. Raises what the user can mend."""
    if config.evaluation.responses or config.evaluation.judgments:
        return existing.stages(config)
    if found := measured_alone(config):
        return found
    reasons = [f"{name}: {reason}" for name, reason in stages.available(config.evaluation).items() if reason]
    raise ConfigError(
        "; ".join(reasons)
        if reasons
        else f"evaluation={config.evaluation.name} measures nothing on a model alone: choose a benchmark, "
        "say evaluation=ifeval, and give evaluation.responses to score existing answers"
    )


def evaluate(config: RunConfig) -> None:
    """Run what the store lacks of :func:`graph`; print a table and the notes; write results and items.

    Raises:
        AutoifError: for whatever the user can mend.
    """
    made, store = graph(config), Store(Path(config.paths.store))
    roles = {role for stage in made for role in stage.engines if not stage.entry(store).done}
    if needed := [need.text for need in requirements(config) if need.engine and need.engine in roles]:
        raise ConfigError("; ".join(needed))
    store.check_writable()
    with Engines(config) as engines:
        manifests = [run_stage(stage, store, engines) for stage in made]
    results = [row for stage in made if stage.record is Result for row in stage.entry(store).records(Result)]
    print(table(results))
    for line in said(manifests):
        print(f"note: {line}")
    folder = leave(config, made, store)
    print(f"results and items: {folder}")


def leave(config: RunConfig, made: Iterable[Stage], store: Store) -> Path:
    """Write the results and the items of finished stages to ``<paths.runs>/<name>/evaluation``; returns the folder."""
    folder = Path(config.paths.runs, config.name, "evaluation")
    rows: dict[type[Record], list[Stage]] = {Result: [], EvaluationItem: []}
    for stage in made:
        if stage.record in rows and stage.entry(store).done:
            rows[stage.record].append(stage)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, name in ((Result, RESULTS), (EvaluationItem, ITEMS)):
            write_records(folder / name, (row for stage in rows[kind] for row in stage.entry(store).records(kind)))
    except OSError as error:
        raise StoreError(f"cannot write to {folder} ({error.strerror}): free space there or set paths.runs") from None
    return folder


def left(config: RunConfig, run: str) -> list[EvaluationItem]:
    """The items that a run left. Raises :class:`DataError` where it left none."""
    path = Path(config.paths.runs, run, "evaluation", ITEMS)
    if not path.is_file():
        raise DataError(f"run {run} left no items: there is no {path}; evaluate it first, or set paths.runs")
    return list(read_records(path, EvaluationItem))


def said(manifests: Sequence[Manifest]) -> list[str]:
    """What must be said beside the numbers, each line once."""
    lines: list[str] = []
    for manifest in manifests:
        facts = manifest.facts
        lines += [*facts.get("notes", ()), *facts.get("other_data", ())]
        if facts.get("unanswerable"):
            lines.append(f"{facts['unanswerable']} prompts could not be answered and count as wrong")
        if facts.get("judge_unparsable"):
            lines.append(
                f"{facts['judge_unparsable']} of {facts['judged']} judgments could not be read, "
                f"{facts['judge_retried']} were asked for again"
            )
    return list(dict.fromkeys(lines))


def table(results: Sequence[Result]) -> str:
    """The numbers as text: a block for each benchmark and model, values with their intervals."""
    blocks: dict[tuple[str, str, str, bool], list[Result]] = {}
    for result in results:
        key = (result.benchmark, result.model, result.judge or "", result.sample)
        blocks.setdefault(key, []).append(result)
    lines: list[str] = []
    for (benchmark, model, judge, sample), found in blocks.items():
        head = f"{benchmark}, {model}"
        head += f", judged by {judge}" if judge else ""
        head += " (a part of the benchmark)" if sample else ""
        width = max(len(result.metric) for result in found)
        lines += ["", head, *(f"  {result.metric:<{width}}  {_shown(result)}" for result in found)]
    return "\n".join(lines[1:])


def _shown(result: Result) -> str:
    text = f"{result.value:8.4f}"
    if result.sd is not None:
        text += f" ± {result.sd:.4f} over {len(result.by_seed)} seeds"
    if result.low is not None and result.high is not None:
        text += f"  [{result.low:.4f}, {result.high:.4f}]"
    return f"{text}  n={result.n}"
