"""The stage type and how one is run: streamed, resumable, with a funnel of reasons.

A stage function is pure over records: it takes a :class:`Context` and its inputs and yields what it keeps (records)
and what it drops (:class:`~autoif.records.Reject`). Only this module and the store touch the disk.

A stage with ``chunk`` set reads its first input that many records at a time. After each chunk the position is
journaled, so a killed run starts again at the chunk it was in; model calls inside it come from the call cache.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from autoif.errors import AutoifError
from autoif.generation.accounting import charged_to
from autoif.progress import CALLS, EXECUTIONS, RECORDS, advance, bar
from autoif.records import RECORD_VERSION, Record, Reject, encode
from autoif.store import Entry, Manifest, Store, StoreError, sha256_of, write_atomically

if TYPE_CHECKING:
    from autoif.engines import Engines

_DISK = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ENOTDIR,
        errno.EEXIST,
    }
)
"""What a disk that is full, broken or not ours answers; other system errors are not the store's."""

CHUNK = 256
"""Records between two journal entries: what a killed run does again at most, model calls aside."""

R = TypeVar("R", bound=Record)
StageFunction = Callable[..., Iterable[Record | Reject]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An upper bound of what a stage will do, before it runs."""

    records: int = 0
    model_calls: int = 0
    executions: int = 0


class Rows(Generic[R]):
    """The kept rows of a finished stage: iterable again and again, never all in memory."""

    def __init__(self, entry: Entry, kind: type[R]) -> None:
        self.entry, self.kind = entry, kind

    def __iter__(self) -> Iterator[R]:
        return self.entry.records(self.kind)

    def __len__(self) -> int:
        manifest = self.entry.manifest()
        return manifest.kept if manifest else 0

    @property
    def files(self) -> Path:
        """The stage's artifacts folder."""
        return self.entry.files


@dataclass(slots=True)
class Context:
    """What a stage function may use besides its inputs.

    ``files``: folder for artifacts that outlive the stage; ``work``: folder for unfinished state (checkpoints).
    ``facts``: what goes into the manifest without being part of the fingerprint.
    """

    config: Any
    engines: Engines
    files: Path
    work: Path
    seed: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A node of the graph.

    ``texts``: prompts and data files by name (their content is in the fingerprint). ``engines``: role → identity of
    what answers (the execution engine's is its limits). ``label``: how it is shown when a name stands more than once
    in a graph. ``estimate``: takes the expected record counts of the inputs.
    """

    name: str
    record: type[Record]
    function: StageFunction
    config: Any = None
    inputs: tuple[Stage, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    engines: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    version: int = 1
    chunk: int | None = None
    label: str = ""
    estimate: Callable[..., Estimate] = lambda *counts: Estimate(records=counts[0] if counts else 0)
    _key: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """Computed once: a stage is reached along many paths, and each would compute all that lies before it again."""

    @property
    def title(self) -> str:
        """Label if there is one, else the name."""
        return self.label or self.name

    def key(self, store: Store) -> dict[str, Any]:
        """All that the fingerprint covers, as plain JSON values."""
        if not self._key:
            self._key.update(
                stage=self.name,
                version=self.version,
                records=RECORD_VERSION,
                config=identity(self.config),
                texts={name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in self.texts.items()},
                engines=identity(self.engines),
                seed=self.seed,
                inputs=[[stage.name, stage.entry(store).fingerprint] for stage in self.inputs],
            )
        return self._key

    def entry(self, store: Store) -> Entry:
        """This stage's place in ``store``."""
        return store.entry(self.name, self.key(store))


def identity(value: Any) -> Any:
    """A config as plain JSON, without fields marked as not part of what a result is."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f for f in dataclasses.fields(value) if f.metadata.get("identity", True))
        return {f.name: identity(getattr(value, f.name)) for f in fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): identity(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [identity(v) for v in value]
    return value


@dataclass(slots=True)
class _Journal:
    """How far a chunked stage came: inputs read and the bytes both row files had then."""

    inputs: int = 0
    kept: int = 0
    records_bytes: int = 0
    rejected_bytes: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def load(cls, path: Path) -> _Journal:
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return cls()

    def save(self, path: Path) -> None:
        write_atomically(path, json.dumps(dataclasses.asdict(self)).encode())


def run_stage(stage: Stage, store: Store, engines: Engines) -> Manifest:
    """Run ``stage`` unless it is done; its inputs must be. Returns its manifest.

    Raises:
        StoreError: when the disk is full or the store cannot be written.
        AutoifError: whatever the stage's function raises for people.
    """
    entry = stage.entry(store)
    if manifest := entry.manifest():
        return manifest
    try:
        with entry.lock():
            return entry.manifest() or _run(stage, entry, store, engines)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise StoreError(
            f"stage {stage.title}: cannot write {entry.path} ({error.strerror or error}): "
            "free space there or set paths.store, then run again: finished work is kept"
        ) from error


def _run(stage: Stage, entry: Entry, store: Store, engines: Engines) -> Manifest:
    for folder in (entry.files, entry.work):
        folder.mkdir(parents=True, exist_ok=True)
    inputs = [Rows(source.entry(store), source.record) for source in stage.inputs]
    journal_path = entry.work / "journal.json"
    journal = _Journal.load(journal_path) if stage.chunk else _Journal()
    context = Context(stage.config, engines, entry.files, entry.work, stage.seed or 0, journal.facts)
    records, rejected = entry.work / "records.jsonl", entry.work / "rejected.jsonl"
    started, before = time.monotonic(), journal.seconds
    for path, final in ((records, entry.records_path), (rejected, entry.rejected_path)):
        # A run killed between putting its rows in place and the manifest left them there.
        if final.exists() and not path.exists():
            final.replace(path)
    with (
        charged_to(entry.fingerprint, context.facts) as account,
        bar(stage.title, *_effort(stage, [len(rows) for rows in inputs], journal.inputs)),
        _reopen(records, journal.records_bytes) as keep,
        _reopen(rejected, journal.rejected_bytes) as drop,
    ):
        reasons = Counter(journal.rejected)
        for outputs, count in _chunks(stage, context, inputs, journal.inputs):
            for output in outputs:
                if isinstance(output, Reject):
                    reasons[output.reason] += 1
                    drop.write(output.encode() + b"\n")
                else:
                    journal.kept += 1
                    keep.write(encode(output) + b"\n")
            done = count()
            journal.inputs += done
            advance(RECORDS, done)
            for file in (keep, drop):
                file.flush()
                os.fsync(file.fileno())
            journal.records_bytes, journal.rejected_bytes = keep.tell(), drop.tell()
            journal.rejected = dict(sorted(reasons.items()))
            journal.seconds = before + time.monotonic() - started
            context.facts.update(account.facts())
            if stage.chunk:
                journal.save(journal_path)
    rejected.replace(entry.rejected_path)
    records.replace(entry.records_path)
    manifest = Manifest(
        stage=stage.name,
        fingerprint=entry.fingerprint,
        key=entry.key,
        inputs=journal.inputs,
        kept=journal.kept,
        rejected=journal.rejected,
        records_bytes=journal.records_bytes,
        sha256=sha256_of(entry.records_path),
        seconds=round(before + time.monotonic() - started, 3),
        facts=context.facts,
    )
    entry.commit(manifest)
    return manifest


def _effort(stage: Stage, counts: list[int], done: int) -> tuple[int, str]:
    """What is left to do and its unit, for the progress bar: what a stage's time goes into."""
    left = [max(0, counts[0] - done), *counts[1:]] if counts else []
    estimate = stage.estimate(*left)
    if estimate.model_calls:
        return estimate.model_calls, CALLS
    return (estimate.executions, EXECUTIONS) if estimate.executions else (left[0] if left else 0, RECORDS)


def _chunks(
    stage: Stage, context: Context, inputs: list[Rows[Any]], skip: int
) -> Iterator[tuple[Iterable[Record | Reject], Callable[[], int]]]:
    """Outputs of the stage function, chunk by chunk, each with the number of input records behind it."""
    if not stage.chunk:
        total = len(inputs[0]) if inputs else 0
        yield stage.function(context, *inputs), lambda: total
        return
    first, *others = inputs
    source = islice(first, skip, None)
    while chunk := list(islice(source, stage.chunk)):
        yield stage.function(context, chunk, *others), lambda: len(chunk)


def _reopen(path: Path, size: int) -> Any:
    """Open for appending at ``size`` bytes, cutting what an interrupted chunk left behind."""
    path.touch()
    file = path.open("r+b")
    if file.seek(0, os.SEEK_END) < size:
        file.close()
        raise AutoifError(f"{path} is shorter than its journal says: delete {path.parent} and run again")
    file.truncate(size)
    file.seek(size)
    return file
