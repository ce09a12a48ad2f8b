"""Where reports lie on disk, and how they get there: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from autoif.config import RunConfig
from autoif.errors import AutoifError
from autoif.store import write_atomically


class ReportError(AutoifError):
    """A report cannot be written."""


def run_folder(config: RunConfig) -> Path:
    """``<runs>/<name>``, made if need be. Raises :class:`ReportError` for a name that leads elsewhere."""
    runs = Path(config.paths.runs).expanduser()
    folder = runs / config.name
    if not config.name or not folder.resolve().is_relative_to(runs.resolve()) or folder.resolve() == runs.resolve():
        raise ReportError(f"the run's name {config.name!r} is no folder below {runs}: choose another name=…")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(
            f"cannot make {folder} ({error.strerror}): set paths.runs to a folder that can be written"
        ) from None
    return folder


def save(path: Path, text: str) -> Path:
    """Write ``text`` as UTF-8, replacing the file as a whole; returns ``path``."""
    try:
        write_atomically(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise ReportError(f"cannot write {path} ({error.strerror}): free space there or set paths.runs") from None
    return path
