"""What a store holds, as pandas data frames: runs, results, comparisons, funnels, curves.

Everything is joined by fingerprint. Runs are those that have a report, with its name; what no report tells of is read
off the store: a stage that nothing was made from, with all it was made from (an unfinished run may lead to several)::

    from autoif import results

    found = results.load("store", "runs")
    found.results.pivot_table("value", index="name", columns=["benchmark", "metric", "model"])
    found.curves("train_sft").plot(x="step", y="loss")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autoif.errors import DataError, MissingExtraError
from autoif.records import Comparison, Contamination, EvaluationItem, Record, Result, TrainStep, read_records
from autoif.store import Manifest, Store

if TYPE_CHECKING:
    import pandas as pd

    from autoif.report.site import RunSummary

Key = tuple[str, str]
"""(stage, fingerprint)."""

RESULTS = "results"
KINDS: dict[str, type[Record]] = {RESULTS: Result, "comparisons": Comparison, "contamination": Contamination}
"""Stages that measure, and their records."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run in the store. ``stages``: its stages, each after its inputs. ``titles``: how they are called in the run."""

    id: str
    name: str | None
    stages: tuple[Manifest, ...]
    titles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Frames:
    """Data frames of a store; ``run`` (the fingerprint of its results) joins them, ``name`` reads better.

    ``runs``: a row a run; settings are columns named ``<stage>.<setting>``, models that answered by their role.
    ``results``: a row a measured number. ``comparisons``: a row a paired test. ``funnels``: a row a stage, in order.
    ``reasons``: a row a reason of a stage. ``contamination``: a row a training set and benchmark.
    """

    runs: pd.DataFrame
    results: pd.DataFrame
    comparisons: pd.DataFrame
    funnels: pd.DataFrame
    reasons: pd.DataFrame
    contamination: pd.DataFrame
    store: Path
    known: tuple[Run, ...]

    def curves(self, stage: str | None = None) -> pd.DataFrame:
        """Training curves: a row a step of each training stage (of that name or title), metrics as columns."""
        rows = []
        for run, manifest, title in self._stages():
            if manifest.stage.startswith("train_") and stage in (None, manifest.stage, title):
                for step in _rows(self.store, manifest, TrainStep):
                    values = msgspec.to_builtins(step)
                    rows.append(_of(run) | {"stage": title} | values | values.pop("metrics"))
        return _frame(rows, ("run", "name", "stage", "step", "epoch", "loss")).drop(columns="metrics", errors="ignore")

    def items(self, benchmark: str | None = None) -> pd.DataFrame:
        """Evaluation items with prompts and answers: a row an item and model; scores as columns."""
        rows = []
        for run, manifest, _ in self._stages():
            if manifest.stage.startswith("answer_"):
                for item in _rows(self.store, manifest, EvaluationItem):
                    if benchmark in (None, item.benchmark):
                        values = msgspec.to_builtins(item)
                        rows.append(_of(run) | values | values.pop("scores"))
        return _frame(rows, ("run", "name", "benchmark", "model", "id")).drop(columns="scores", errors="ignore")

    def _stages(self) -> Iterator[tuple[Run, Manifest, str]]:
        for run in self.known:
            for manifest in run.stages:
                yield run, manifest, run.titles.get(manifest.fingerprint, manifest.stage)


def load(store: str | Path = "store", runs: str | Path | None = None) -> Frames:
    """Read a store. ``runs``: the folder of reports, for the names of runs; default: ``runs`` beside the store.

    Raises:
        MissingExtraError: when pandas is not installed.
        DataError: when there is no store.
    """
    folder = Path(store).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} is no store: give the folder that paths.store names")
    summaries = _summaries(Path(runs).expanduser() if runs else folder.with_name("runs"))
    known = tuple(find_runs(folder, summaries))
    by_kind: dict[type[Record], list[dict[str, Any]]] = {kind: [] for kind in KINDS.values()}
    funnels: list[dict[str, Any]] = []
    reasons: list[dict[str, Any]] = []
    for run in known:
        for order, manifest in enumerate(run.stages):
            title = run.titles.get(manifest.fingerprint, manifest.stage)
            if kind := KINDS.get(manifest.stage):
                rows = _rows(folder, manifest, kind)
                by_kind[kind] += (_of(run) | msgspec.to_builtins(row) for row in rows)
            funnels.append(_of(run) | {"stage": title, "order": order} | _counts(manifest))
            reasons += (
                _of(run) | {"stage": title, "reason": reason, "count": count}
                for reason, count in manifest.rejected.items()
            )
    return Frames(
        runs=_frame([_settings(run) for run in known], ("run", "name")),
        results=_frame(by_kind[Result], ("run", "name", *Result.__struct_fields__)),
        comparisons=_frame(by_kind[Comparison], ("run", "name", *Comparison.__struct_fields__)),
        funnels=_frame(funnels, ("run", "name", "stage", "order", "inputs", "kept", "dropped", "seconds")),
        reasons=_frame(reasons, ("run", "name", "stage", "reason", "count")),
        contamination=_frame(by_kind[Contamination], ("run", "name", *Contamination.__struct_fields__)),
        store=folder,
        known=known,
    )


def find_runs(folder: Path, summaries: Iterable[RunSummary] = ()) -> Iterator[Run]:
    """The runs of a store: those of ``summaries`` (by name), then what else its stages lead to (by fingerprint)."""
    store = Store(folder)
    manifests = {
        (manifest.stage, manifest.fingerprint): manifest
        for stage in sorted(path.name for path in folder.iterdir() if path.is_dir())
        for manifest in store.manifests(stage)
    }
    inputs = {key: [(name, made) for name, made in manifest.key["inputs"]] for key, manifest in manifests.items()}
    by_fingerprint = {fingerprint: manifest for (_, fingerprint), manifest in manifests.items()}
    told: set[str] = set()
    for summary in sorted(summaries, key=lambda summary: summary.name):
        titles = {stage.fingerprint: stage.title for stage in summary.stages}
        stages = tuple(by_fingerprint[made] for made in titles if made in by_fingerprint)
        if stages:
            told |= titles.keys()
            last = next((made for made, title in titles.items() if title == RESULTS), stages[-1].fingerprint)
            yield Run(last, summary.name, stages, titles)
    yield from _untold(manifests, inputs, told)


def _untold(manifests: Mapping[Key, Manifest], inputs: Mapping[Key, list[Key]], told: set[str]) -> Iterator[Run]:
    """Runs that no report tells of: each last stage with what it was made from."""
    used = {source for sources in inputs.values() for source in sources}
    sinks = [key for key in manifests if key not in used and key[1] not in told]
    ends = [key for key in sinks if key[0] == RESULTS]
    lineages = {key: _lineage(key, inputs) for key in sinks}
    covered = {made for end in ends for made in lineages[end]}
    # What else was made of a run's stages (comparisons, contamination) is part of it; what leads nowhere is unfinished.
    beside = [key for key in sinks if key[0] != RESULTS and _measures(key) and set(inputs[key]) & covered]
    for end in sorted(key for key in sinks if key not in beside):
        keys = lineages[end] + [key for key in beside if set(inputs[key]) <= set(lineages[end])]
        yield Run(end[1], None, tuple(manifests[key] for key in keys if key in manifests), {})


def _measures(key: Key) -> bool:
    return key[0] in KINDS


def _lineage(end: Key, inputs: Mapping[Key, list[Key]]) -> list[Key]:
    """Everything that ``end`` was made from, each after its inputs, and itself last."""
    order: dict[Key, None] = {}
    waiting: list[tuple[Key, bool]] = [(end, False)]
    while waiting:
        key, ready = waiting.pop()
        if ready:
            order.setdefault(key)
        elif key not in order:
            waiting.append((key, True))
            waiting += ((source, False) for source in reversed(inputs.get(key, [])))
    return list(order)


def _summaries(runs: Path) -> list[RunSummary]:
    from autoif.report.site import read_summaries

    return list(read_summaries(runs)) if runs.is_dir() else []


def _rows(store: Path, manifest: Manifest, kind: type[Record]) -> Iterator[Any]:
    return read_records(store / manifest.stage / manifest.fingerprint / "records.jsonl", kind)


def _of(run: Run) -> dict[str, Any]:
    return {"run": run.id, "name": run.name}


def _counts(manifest: Manifest) -> dict[str, Any]:
    return {
        "inputs": manifest.inputs,
        "kept": manifest.kept,
        "dropped": sum(manifest.rejected.values()),
        "seconds": manifest.seconds,
        "fingerprint": manifest.fingerprint,
    }


def _settings(run: Run) -> dict[str, Any]:
    """A run's row: what its stages were told. Stages of one name that were told different things have no column."""
    found: dict[str, list[Any]] = {}
    for manifest in run.stages:
        for name, value in _flat(manifest.key.get("config"), manifest.stage):
            found.setdefault(name, []).append(value)
        for role, identity in (manifest.key.get("engines") or {}).items():
            if isinstance(identity, str):
                found.setdefault(role, []).append(identity)
        if manifest.key.get("seed") is not None:
            found.setdefault("seed", []).append(manifest.key["seed"])
    same = {name: values[0] for name, values in found.items() if all(value == values[0] for value in values)}
    seconds = sum(manifest.seconds for manifest in run.stages)
    finished = any(manifest.stage == RESULTS for manifest in run.stages)
    return _of(run) | {"stages": len(run.stages), "finished": finished, "seconds": seconds} | same


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted names and plain values of nested settings."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}")
    elif value is not None:
        yield prefix, value


def _frame(rows: list[dict[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    """A frame that has ``columns`` first, rows or none."""
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError("pandas", "results") from None
    first = list(columns)
    frame = pd.DataFrame(rows)
    return frame.reindex(columns=[*first, *(name for name in frame.columns if name not in first)])
