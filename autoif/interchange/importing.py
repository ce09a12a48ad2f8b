"""``task=import``: read a file of the authors' scripts, say what is in it, leave it as records, and how to go on."""

from __future__ import annotations

import difflib
import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from autoif.config import RunConfig, Start
from autoif.errors import ConfigError
from autoif.interchange.upstream import Kind, read
from autoif.interchange.upstream_export import RECORDS
from autoif.records import Record, Reject, encode
from autoif.store import StoreError


def import_file(config: RunConfig) -> Iterator[str]:
    """Lines that say what became of ``task.source``, a file of ``task.source_kind``.

    Its records go to ``<paths.runs>/<name>/import/<kind>.jsonl``, rows that cannot be read to
    ``<kind>.rejected.jsonl`` beside it, each with its reason.

    Raises:
        ConfigError: when source or kind is missing or unknown, or no row can be read.
        DataError: when the file is missing or of another format.
        StoreError: when the folder cannot be written.
    """
    kind = _kind(config.task.source_kind)
    if config.task.source is None:
        raise ConfigError("task=import needs the file: add source=FILE")
    source = Path(config.task.source).expanduser()
    items = read(kind, source, config.pipeline.queries.order, config.pipeline.write_verifiers.mend)
    first = next(items, None)  # a missing or foreign file leaves no empty folder behind
    folder = Path(config.task.folder) if config.task.folder else Path(config.paths.runs, config.name, "import")
    kept, dropped = folder / f"{kind.value}.jsonl", folder / f"{kind.value}.rejected.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        count, reasons = _write(chain([first] if first is not None else [], items), kept, dropped)
    except OSError as error:
        raise StoreError(f"cannot write to {folder} ({error.strerror}): free space there or set task.folder") from None
    if not count:
        why = ", ".join(f"{reason} {n:,}" for reason, n in reasons.items()) or "it is empty"
        raise ConfigError(f"{source}: no {kind.value} row can be read ({why}): see {dropped}, or try another kind")
    yield f"{source}: {count:,} {RECORDS[kind].__name__} records → {kept}"
    if reasons:
        said = ", ".join(f"{reason} {n:,}" for reason, n in reasons.items())
        yield f"{sum(reasons.values()):,} rows dropped ({said}) → {dropped}"
    yield f"go on with: python run.py {go_on(kind, source)} …"


def _kind(name: str | None) -> Kind:
    names = [kind.value for kind in Kind]
    if name is None:
        raise ConfigError(f"task=import needs the kind of file: add kind= one of {', '.join(names)}")
    if name not in names:
        close = difflib.get_close_matches(name, names, 1)
        hint = f", did you mean {close[0]}" if close else ""
        raise ConfigError(f"kind={name!r} is no file of the authors' scripts{hint} (kinds: {', '.join(names)})")
    return Kind(name)


def _write(items: Iterator[Record | Reject], kept: Path, dropped: Path) -> tuple[int, dict[str, int]]:
    reasons: Counter[str] = Counter()
    count = 0
    parts = [path.with_name(f"{path.name}.part") for path in (kept, dropped)]
    with parts[0].open("wb") as keep, parts[1].open("wb") as drop:
        for item in items:
            if isinstance(item, Reject):
                reasons[item.reason] += 1
                drop.write(item.encode() + b"\n")
            else:
                count += 1
                keep.write(encode(item) + b"\n")
    for part, path in zip(parts, (kept, dropped), strict=True):
        part.replace(path)
    return count, dict(sorted(reasons.items()))


def go_on(kind: Kind, source: Path) -> str:
    """The settings that start a run from this file at the stage it belongs to."""
    path = shlex.quote(str(source))
    if kind is Kind.seed_instruction:
        return f"pipeline.self_instruct.seeds={path}"
    start = f"pipeline.start.kind={Start(kind.value).value} pipeline.start.path={path}"
    match kind:
        case Kind.sft | Kind.query_rft_score:
            return f"{start} algorithm=sft evaluation.heldout.limit=0"
        case Kind.pairs | Kind.dpo_query_eval_score_results:
            return f"{start} algorithm=offline_dpo evaluation.heldout.limit=0"
        case Kind.dpo_query_w_funcs:
            return f"{start} evaluation.heldout.limit=0"
    return start
