"""The store: what each stage made, under the fingerprint of everything that made it so.

``<root>/<stage>/<fingerprint>/`` holds ``records.jsonl``, ``rejected.jsonl``, ``files/`` and, written last and
atomically, ``manifest.json``: its presence means done. Until then ``work/`` holds what a resumed run goes on from.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import msgspec

from autoif.errors import AutoifError
from autoif.records import R, Rejected, read_records


class StoreError(AutoifError):
    """The store cannot be read or written."""


class Manifest(msgspec.Struct, kw_only=True):
    """What a finished stage says of itself. ``key`` is all that the fingerprint covers; ``facts`` is what it does not:
    isolation level, call counts, versions, wall time."""

    stage: str
    fingerprint: str
    key: dict[str, Any]
    inputs: int
    kept: int
    rejected: dict[str, int]
    records_bytes: int
    sha256: str
    seconds: float
    facts: dict[str, Any] = {}


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(key: Mapping[str, Any]) -> str:
    """First 20 hex digits of the SHA-256 of the key's canonical JSON."""
    return hashlib.sha256(canonical(key).encode()).hexdigest()[:20]


class Entry:
    """One stage's place in the store, done or not."""

    def __init__(self, root: Path, stage: str, key: Mapping[str, Any]) -> None:
        self.stage, self.key, self.fingerprint = stage, dict(key), fingerprint(key)
        self.path = root / stage / self.fingerprint

    @property
    def records_path(self) -> Path:
        """Kept rows."""
        return self.path / "records.jsonl"

    @property
    def rejected_path(self) -> Path:
        """Dropped rows with reasons."""
        return self.path / "rejected.jsonl"

    @property
    def files(self) -> Path:
        """Artifacts other than rows (a model, curves)."""
        return self.path / "files"

    @property
    def work(self) -> Path:
        """Unfinished state; gone once the manifest is written."""
        return self.path / "work"

    def manifest(self) -> Manifest | None:
        """The manifest, or None when the stage is not done. Raises :class:`StoreError` when rows were cut since."""
        try:
            raw = (self.path / "manifest.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(
                f"cannot read {self.path} ({error.strerror}): see to its permissions or set paths.store"
            ) from None
        try:
            manifest = msgspec.json.decode(raw, type=Manifest)
            size = self.records_path.stat().st_size
        except (msgspec.DecodeError, FileNotFoundError) as error:
            raise StoreError(f"{self.path} is damaged ({error}): delete that folder and run again") from None
        if size != manifest.records_bytes:
            raise StoreError(
                f"{self.records_path} has {size} bytes, its manifest says {manifest.records_bytes}: "
                "delete that folder and run again"
            )
        return manifest

    @property
    def done(self) -> bool:
        """Whether the stage finished."""
        return self.manifest() is not None

    def records(self, kind: type[R]) -> Iterator[R]:
        """Stream the kept rows."""
        return read_records(self.records_path, kind)

    def rejected(self) -> Iterator[Rejected]:
        """Stream the dropped rows."""
        return read_records(self.rejected_path, Rejected) if self.rejected_path.exists() else iter(())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the entry: a second process that wants the same stage says so and waits, then finds it done."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{self.stage}: {_holder(handle)} is making it; waiting", file=sys.stderr, flush=True)
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError as error:
                raise StoreError(
                    f"{self.path}: this file system has no locks ({error.strerror}), so two runs could make the same "
                    "stage at once: put paths.store where flock works"
                ) from None
            handle.truncate(0)
            handle.write(f"process {os.getpid()} on {socket.gethostname()}")
            handle.flush()
            try:
                yield
            finally:
                handle.truncate(0)  # the next holder is not to be taken for this one before it wrote its name

    def commit(self, manifest: Manifest) -> None:
        """Make the stage done: write the manifest durably, then remove ``work/``."""
        write_atomically(self.path / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        shutil.rmtree(self.work, ignore_errors=True)


class Store:
    """A folder of entries, shared by runs, sweep points and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entry(self, stage: str, key: Mapping[str, Any]) -> Entry:
        """The place of ``stage`` with this key."""
        return Entry(self.root, stage, key)

    def manifests(self, stage: str) -> Iterator[Manifest]:
        """Manifests of all finished entries of ``stage``; damaged ones are passed over."""
        for path in sorted(self.root.glob(f"{stage}/*/manifest.json")):
            try:
                yield msgspec.json.decode(path.read_bytes(), type=Manifest)
            except msgspec.DecodeError:
                continue

    def check_writable(self) -> None:
        """Raise :class:`StoreError` with what to do when nothing can be written here."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{os.getpid()}"
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"cannot write to the store {self.root.absolute()} ({error.strerror}): "
                "free space there or set paths.store"
            ) from None


def _holder(lock: TextIO) -> str:
    """Who holds ``lock``, as written in it; a holder that has only just taken it gets a second to write its name."""
    for _ in range(20):
        lock.seek(0)
        if name := lock.read().strip():
            return name
        time.sleep(0.05)
    return "another process"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write, sync, rename: readers see the old file or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
