"""What is done, what would run, and why a stage is not found in the store. Looks at manifests, computes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoif.stage import Stage
from autoif.store import Manifest, Store


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
