"""``task=plan``: what is done, what would run, what it would cost, and why a stage is not found in the store.

:func:`plan` looks at manifests and computes nothing; :func:`render` makes its rows readable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from autoif.stage import Stage
from autoif.store import Manifest, Store

_SHOWN = 4
"""Differences listed for a stage; the rest is counted."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One stage of a plan.

    ``records``: what a finished stage kept, else an upper bound. ``model_calls`` and ``executions`` are upper bounds
    of what would run, 0 for a finished stage. ``differences``: the settings that tell it from the nearest finished
    stage of its name, traced to the stage that they belong to; None where the store has no finished one.
    """

    title: str
    done: bool
    records: int
    model_calls: int = 0
    executions: int = 0
    differences: tuple[str, ...] | None = None


def plan(stages: Sequence[Stage], store: Store) -> list[PlanRow]:
    """A row for each of ``stages``, which stand in an order where inputs come first."""
    history = _History(store)
    counts: dict[int, int] = {}
    rows = []
    for stage in stages:
        if manifest := stage.entry(store).manifest():
            rows.append(PlanRow(stage.title, True, manifest.kept))
        else:
            expected = stage.estimate(*(counts[id(source)] for source in stage.inputs))
            rows.append(
                PlanRow(
                    stage.title,
                    False,
                    expected.records,
                    expected.model_calls,
                    expected.executions,
                    history.nearest(stage),
                )
            )
        counts[id(stage)] = rows[-1].records
    return rows


class _History:
    """Finished stages of a store, and how a stage that is not there differs from them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._finished: dict[str, dict[str, Manifest]] = {}
        self._found: dict[tuple[int, str], tuple[str, ...]] = {}

    def nearest(self, stage: Stage) -> tuple[str, ...] | None:
        """The shortest list of differences from a finished stage of the same name."""
        finished = self._manifests(stage.name)
        if not finished:
            return None
        return min((self._differences(stage, manifest) for manifest in finished.values()), key=lambda d: (len(d), d))

    def _manifests(self, name: str) -> dict[str, Manifest]:
        if name not in self._finished:
            self._finished[name] = {manifest.fingerprint: manifest for manifest in self._store.manifests(name)}
        return self._finished[name]

    def _differences(self, stage: Stage, manifest: Manifest) -> tuple[str, ...]:
        known = (id(stage), manifest.fingerprint)
        if known not in self._found:
            self._found[known] = tuple(dict.fromkeys(self._compare(stage, manifest)))
        return self._found[known]

    def _compare(self, stage: Stage, manifest: Manifest) -> Iterator[str]:
        """Own settings first, then those of inputs, each named after the stage it belongs to."""
        key = stage.key(self._store)
        yield from _settings(stage.name, key, manifest.key)
        before = {position: tuple(item) for position, item in enumerate(manifest.key.get("inputs", []))}
        if len(before) != len(stage.inputs):
            yield f"{stage.name} had {len(before)} inputs, now {len(stage.inputs)}"
        for position, (source, (name, now)) in enumerate(zip(stage.inputs, key["inputs"], strict=True)):
            old_name, old = before.get(position, (name, now))
            if old_name != name:
                yield f"{stage.name} reads {name} in place of {old_name}"
            elif old != now:
                finished = self._manifests(name).get(old)
                yield from self._differences(source, finished) if finished else (f"{name} was made anew",)


def _settings(stage: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    """Differences of two keys, inputs aside, in words."""
    new, old = _flat(now), _flat(before)
    for path in sorted(new.keys() | old.keys()):
        was, now_is = old.get(path, _ABSENT), new.get(path, _ABSENT)
        if was == now_is:
            continue
        change = f"{_short(was)} → {_short(now_is)}"
        match path:
            case ("config", *rest):
                yield f"{'.'.join((stage, *rest))} {change}"
            case ("texts", *rest):
                yield f"{stage}: the text of {'.'.join(rest)} changed"
            case ("engines", *rest):
                yield f"{stage}: {'.'.join(rest)} {change}"
            case ("version",):
                yield f"{stage}: its code changed (version {was} to {now_is})"
            case ("records",):
                yield f"the format of records changed (version {was} to {now_is})"
            case _:
                yield f"{'.'.join((stage, *path))} {change}"


_ABSENT = object()


def _flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Nested mappings and lists as paths and plain values; ``inputs`` of a key left out."""
    if path == ("inputs",):
        return {}
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
        items = enumerate(value)
    else:
        return {path: value}
    return {k: v for name, item in items for k, v in _flat(item, (*path, str(name))).items()}


def _short(value: Any, width: int = 48) -> str:
    if value is _ABSENT:
        return "(none)"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def render(rows: Sequence[PlanRow]) -> str:
    """The plan as a table with totals, then the reasons, each once with the stages it concerns."""
    header = ("stage", "state", "records", "model calls", "executions")
    lines = [header, *map(_cells, rows)]
    missing = [row for row in rows if not row.done]
    if missing:
        calls, runs = sum(row.model_calls for row in missing), sum(row.executions for row in missing)
        lines.append((f"{len(missing)} of {len(rows)} stages to run", "", "", _bound(calls), _bound(runs)))
    else:
        lines.append((f"all {len(rows)} stages are done", "", "", "–", "–"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    table = [_line(line, widths) for line in lines]
    rule = "─" * max(map(len, table))
    text = [table[0], rule, *table[1:-1], rule, table[-1]]
    return "\n".join([*text, *_reasons(missing)])


def _cells(row: PlanRow) -> tuple[str, ...]:
    if row.done:
        return row.title, "done", f"{row.records:,}", "–", "–"
    return row.title, "to run", _bound(row.records), _bound(row.model_calls), _bound(row.executions)


def _bound(count: int) -> str:
    return f"≤ {count:,}" if count else "–"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = (cell.ljust(width) for cell, width in zip_longest(cells[:2], widths[:2]))
    right = (cell.rjust(width) for cell, width in zip_longest(cells[2:], widths[2:]))
    return "  ".join((*left, *right)).rstrip()


def _reasons(missing: Sequence[PlanRow]) -> Iterator[str]:
    """Why stages are not found: one paragraph for each list of differences."""
    grouped: dict[tuple[str, ...] | None, list[str]] = {}
    for row in missing:
        grouped.setdefault(row.differences, []).append(row.title)
    if grouped.keys() == {None}:
        yield "\nNothing like this was run in this store before."
        return
    if grouped:
        yield "\nWhy they run (what differs from the nearest finished one):"
    for differences, titles in grouped.items():
        names = ", ".join(titles) if len(titles) <= 3 else f"{titles[0]} … {titles[-1]} ({len(titles)} stages)"
        if differences is None:
            reason = "none of this name is finished"
        else:
            reason = "; ".join(differences[:_SHOWN])
            if len(differences) > _SHOWN:
                reason += f"; and {len(differences) - _SHOWN} more"
        yield f"  {names}: {reason}"
