"""Where the benchmarks' files come from: a local folder, or the hub.

``data_dir/<file>`` wins when a folder is given; otherwise the file is fetched from the Hugging Face hub. A file that
is in neither place is one line that says which file to put where.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from autoif.errors import DataError, MissingExtraError
from autoif.store import sha256_of


@dataclass(frozen=True, slots=True)
class Source:
    """A benchmark's file: its place under ``data_dir``, its size, and where the hub keeps the same rows.

    ``sha256``: of the published file, in the form that lies under ``data_dir``. ``origin``: where it is published, for
    what the hub lacks. ``space``: whether the hub's repository is a space.
    """

    benchmark: str
    file: str
    rows: int
    hub_id: str | None = None
    hub_file: str | None = None
    revision: str | None = None
    sha256: str | None = None
    origin: str | None = None
    space: bool = False


IFEVAL = Source(
    "IFEval",
    "ifeval/input_data.jsonl",
    541,
    "google/IFEval",
    "ifeval_input_data.jsonl",
    "966cd89545d6b6acfd7638bc708b98261ca58e84",
    "67ffeee0fcb87c317c5b08a2de85557b4a7e96ada6178aa645b4954fe4b53d49",
)


def locate(source: Source, data_dir: str | None) -> Path:
    """The file on this machine, fetched from the hub when there is no ``data_dir``. Raises :class:`DataError`."""
    if data_dir is not None:
        path = Path(data_dir).expanduser() / source.file
        if not path.is_file():
            raise DataError(f"{source.benchmark}: {path} is missing: put the benchmark's file there{_origin(source)}")
        return path
    if source.hub_id is None or source.hub_file is None:
        raise DataError(
            f"{source.benchmark} is not on the hub: "
            f"set evaluation.data_dir to a folder with {source.file}{_origin(source)}"
        )
    try:
        from huggingface_hub import hf_hub_download

        kind = "space" if source.space else "dataset"
        return Path(hf_hub_download(source.hub_id, source.hub_file, repo_type=kind, revision=source.revision))
    except ImportError:
        reason = "huggingface_hub is not installed"
    except Exception as error:  # the hub client raises errors of several HTTP libraries
        reason = f"{type(error).__name__}"
    raise DataError(
        f"{source.benchmark}: cannot fetch {source.hub_file} of {source.hub_id} from the hub ({reason}): "
        f"set evaluation.data_dir to a folder that holds {source.file}"
    )


def missing(source: Source, data_dir: str | None) -> str | None:
    """Why ``source`` can't be read without the hub, or None."""
    if data_dir is None:
        return f"no evaluation.data_dir with {source.file}"
    path = Path(data_dir).expanduser() / source.file
    return None if path.is_file() else f"{path} is missing"


def content(source: Source, data_dir: str | None) -> str:
    """What a fingerprint says of the data: the local file's SHA-256, else its address on the hub."""
    path = Path(data_dir).expanduser() / source.file if data_dir is not None else None
    if path is not None and path.is_file():
        return sha256_of(path)
    return f"hub:{source.hub_id}/{source.hub_file}@{source.revision or 'main'}"


def use_nltk(data_dir: str | None) -> None:
    """Make NLTK look for its resources in ``<data_dir>/nltk_data`` first, where there is such a folder."""
    if data_dir is not None and (folder := Path(data_dir).expanduser().absolute() / "nltk_data").is_dir():
        known = os.environ.get("NLTK_DATA", "")
        if str(folder) not in known.split(os.pathsep):
            os.environ["NLTK_DATA"] = os.pathsep.join(filter(None, [str(folder), known]))
    if "nltk" in sys.modules or find_spec("nltk") is not None:
        import nltk

        for listed in filter(None, os.environ.get("NLTK_DATA", "").split(os.pathsep)):
            if listed not in nltk.data.path:
                nltk.data.path.insert(0, listed)


def noted(source: Source, data_dir: str | None, facts: dict[str, Any]) -> Path:
    """The file of ``source``, its hash among ``facts``; one that is not the published file is named in
    ``facts["other_data"]``.

    Raises :class:`DataError` when it is missing.
    """
    path = locate(source, data_dir)
    found = sha256_of(path)
    facts.setdefault("data_sha256", {})[source.file] = found
    same_form = path.suffix == Path(source.file).suffix
    if source.sha256 is not None and same_form and found != source.sha256:
        facts.setdefault("other_data", []).append(
            f"{path} is not {source.benchmark}'s published file (sha256 {found[:12]}…, published {source.sha256[:12]}…)"
        )
    return path


def sha256_of_all(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 over several files and their names below ``root``."""
    state = hashlib.sha256()
    for path in paths:
        state.update(f"{path.relative_to(root)}\0{sha256_of(path)}\0".encode())
    return state.hexdigest()


def read_jsonl(path: Path, *fields: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a JSONL file (gzipped when so named; the hub's parquet likewise) with their line numbers, each checked to
    be an object with ``fields``; a ``.json`` file may hold one list of them instead.

    Raises :class:`DataError` naming file and line.
    """
    if path.suffix == ".parquet":
        yield from _parquet(path, fields)
        return
    rows = _listed(path) if path.suffix == ".json" else None
    for number, line in enumerate(_lines(path) if rows is None else rows, 1):
        if isinstance(line, bytes) and not line.strip():
            continue
        try:
            row = json.loads(line) if isinstance(line, bytes) else line
        except ValueError as error:
            raise DataError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: not a JSON object")
        if absent := [name for name in fields if name not in row]:
            raise DataError(f"{path}:{number}: has no {' and no '.join(absent)}")
        yield number, row


def _listed(path: Path) -> list[Any] | None:
    """The rows of a file that is one JSON list; None for any other."""
    try:
        with path.open("rb") as file:
            if file.read(1) != b"[":
                return None
        found: list[Any] = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from None
    except ValueError:
        return None
    return found


def _parquet(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("pyarrow", "eval") from None
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise DataError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    if absent := [name for name in fields if name not in table.column_names]:
        raise DataError(f"{path}: has no {' and no '.join(absent)}")
    yield from enumerate(table.to_pylist(), 1)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            yield from lines
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from None


def _origin(source: Source) -> str:
    if source.origin:
        return f" (from {source.origin})"
    return f" ({source.hub_file} of the hub's {source.hub_id})" if source.hub_id else ""
