"""Trackers that keep what they were told: each stage, and each step of a curve, once, however often a run starts.

While a training stage runs, its curve is followed and logged step by step. A small file beside the report says what is
logged: after a kill, at most the steps since the last look are logged again.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from autoif.records import TrainStep, digest
from autoif.stage import Stage
from autoif.store import Entry, Manifest, write_atomically
from autoif.tracking.base import BaseTracker, Logged, Table, curve, slug, step_values, tables

LOOK_SECONDS = 5.0
"""Between two looks at a curve that grows."""


class Ledger:
    """What a tracker's run holds already. ``logged``: fingerprints; ``steps``: of a curve, up to which step."""

    class _State(msgspec.Struct):
        logged: list[str] = []
        steps: dict[str, int] = {}

    def __init__(self, path: Path, run: str, keep: bool = True) -> None:
        self._path, self._run, self._keep = path, run, keep
        self._lock = threading.Lock()
        try:
            self._known = msgspec.json.decode(path.read_bytes(), type=dict[str, Ledger._State])
        except (OSError, msgspec.DecodeError):
            self._known = {}
        state = self._known.get(run, Ledger._State())
        self.logged, self.steps = set(state.logged), dict(state.steps)

    def add(self, fingerprint: str) -> None:
        """Note something as logged, durably."""
        self.logged.add(fingerprint)
        self.steps.pop(fingerprint, None)
        self._write()

    def reached(self, fingerprint: str, step: int) -> None:
        """Note how far a curve is logged, durably."""
        self.steps[fingerprint] = step
        self._write()

    def _write(self) -> None:
        if self._keep:
            with self._lock:
                self._known[self._run] = Ledger._State(logged=sorted(self.logged), steps=self.steps)
                write_atomically(self._path, msgspec.json.encode(self._known))


class OnceTracker(BaseTracker):
    """Base of trackers that write into a run of their own: subclasses open it and say how one thing is logged."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.stages: list[Logged] = []

    def open(self) -> None:
        """Open the run, unless it is open."""
        raise NotImplementedError

    def log_step(self, key: str, values: dict[str, float]) -> None:
        """Log one step of the curve ``key``."""
        raise NotImplementedError

    def log_finished(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """Log a finished stage, its curve apart."""
        raise NotImplementedError

    def log_tables(self, found: dict[str, Table]) -> None:
        """Log the tables of all stages so far."""
        raise NotImplementedError

    def finish(self, exit_code: int) -> None:
        """End the run, if it is open."""
        raise NotImplementedError

    def log_stage(self, stage: Stage, manifest: Manifest, entry: Entry) -> None:
        """See :class:`~autoif.tracking.Tracker`."""
        self.stages.append((stage, manifest, entry))
        if manifest.fingerprint in self.ledger.logged:
            return
        self.open()
        if stage.record is TrainStep:
            self._log_steps(slug(stage.title), manifest.fingerprint, curve(entry))
        self.log_finished(stage, manifest, entry)
        self.ledger.add(manifest.fingerprint)

    @contextmanager
    def watch(self, stage: Stage, entry: Entry) -> Iterator[None]:
        """See :class:`~autoif.tracking.Tracker`."""
        if stage.record is not TrainStep or entry.fingerprint in self.ledger.logged or entry.done:
            yield
            return
        self.open()
        key = slug(stage.title)
        path = entry.work / "curve.jsonl"
        with _following(
            stage.title, path, lambda rows: self._log_steps(key, entry.fingerprint, map(step_values, rows))
        ):
            yield

    def _log_steps(self, key: str, fingerprint: str, rows: Iterable[dict[str, float]]) -> None:
        """Log the steps that are not logged yet."""
        before = reached = self.ledger.steps.get(fingerprint, 0)
        for values in rows:
            if values["step"] > reached:
                self.log_step(key, values)
                reached = int(values["step"])
        if reached > before:
            self.ledger.reached(fingerprint, reached)

    def close(self, exit_code: int = 0) -> None:
        """See :class:`~autoif.tracking.Tracker`. Tables are logged whole, earlier stages included, when any is new."""
        state = digest("tables", *(manifest.fingerprint for _, manifest, _ in self.stages))
        if self.stages and state not in self.ledger.logged:
            self.open()
            self.log_tables(tables(self.stages))
            self.ledger.add(state)
        self.stages = []
        self.finish(exit_code)


@contextmanager
def _following(title: str, path: Path, log: Callable[[list[TrainStep]], None]) -> Iterator[None]:
    """Hand the whole rows that come into ``path`` to ``log``, from a thread, until the block is left."""
    stop = threading.Event()

    def follow() -> None:
        position = 0
        while True:
            last = stop.wait(LOOK_SECONDS)
            try:
                position, rows = _new_rows(path, position)
                if rows:
                    log(rows)
            except Exception as error:  # whatever a tracker raises must not cost the training it looks at
                print(f"tracking of {title} stopped: {error}", file=sys.stderr, flush=True)
                return
            if last:
                return

    thread = threading.Thread(target=follow, name="autoif-tracking", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _new_rows(path: Path, position: int) -> tuple[int, list[TrainStep]]:
    """Whole rows behind ``position`` and where the next ones begin; from the start when the file was cut since."""
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) < position:
                position = 0
            file.seek(position)
            data = file.read()
    except OSError:  # not there yet, or gone with the stage's work folder
        return position, []
    whole = data[: data.rfind(b"\n") + 1]
    rows = [msgspec.json.decode(line, type=TrainStep) for line in whole.splitlines() if line.strip()]
    return position + len(whole), rows
