"""The browser's files: the page, and for each finished stage an index and pages of rows."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from autoif.browser import Written
from autoif.browser.matrix import Matrices
from autoif.browser.rows import Row, dropped_rows, kept_rows
from autoif.config import RunConfig
from autoif.errors import AutoifError, ConfigError
from autoif.progress import track
from autoif.records import Comparison, Contamination, Result, TrainStep, Verifier
from autoif.report.files import ReportError, run_folder
from autoif.report.funnel import ABOUT
from autoif.report.page import style
from autoif.report.text import escape
from autoif.stage import Stage
from autoif.store import Entry, Manifest, Store, write_atomically

if TYPE_CHECKING:
    from autoif.engines import Engines

PAGE = 100
"""Rows a file: what one click loads."""
INDEX_CHARS = 16_000_000
"""Characters of all rows' beginnings in one index: with a million rows each has fewer."""
SHORTEST, LONGEST = 24, 140
"""Bounds of one row's beginning."""
VERSION = 3
"""Of the files' form: pages of another version are written again."""
NOT_SHOWN = (TrainStep, Result, Comparison, Contamination)
"""Curves and measurements: the report shows them."""
DONE = "stage.json"


def write_site(config: RunConfig, stages: Sequence[Stage], store: Store, engines: Engines) -> Written:
    """See :func:`autoif.browser.write`."""
    shown = [
        (stage, stage.entry(store), manifest)
        for stage in stages
        if stage.record not in NOT_SHOWN and (manifest := stage.entry(store).manifest()) is not None
    ]
    if not shown:
        raise ConfigError(
            f"{config.name} has no records in {config.paths.store} yet: run it first, with the same settings"
        )
    folder = Path(config.task.folder).expanduser() if config.task.folder else run_folder(config) / "inspect"
    try:
        return _write(config, shown, folder, engines)
    except OSError as error:
        raise ReportError(
            f"cannot write the browser to {folder} ({error.strerror}): free space there or set task.folder"
        ) from None


def _write(
    config: RunConfig, shown: Sequence[tuple[Stage, Entry, Manifest]], folder: Path, engines: Engines
) -> Written:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    summaries, found, matrices = [], 0, None
    for stage, entry, manifest in shown:
        target = data / f"{_slug(stage.title)}-{entry.fingerprint[:10]}"
        summary = _known(target)
        if summary is None:
            if stage.record is Verifier and matrices is None:
                matrices = _matrices(engines)
            total = manifest.kept + sum(manifest.rejected.values())
            rows = track(_rows(entry), f"pages of {stage.title}", total, "rec")
            summary = write_stage(target, rows, total, matrices if stage.record is Verifier else None)
        else:
            found += summary["rows"]
        about = ABOUT.get(stage.name, "")
        head = {"title": stage.title, "about": about, "folder": f"data/{target.name}", "record": stage.record.__name__}
        summaries.append(head | summary)
    for other in data.iterdir():
        if other.is_dir() and f"data/{other.name}" not in {summary["folder"] for summary in summaries}:
            shutil.rmtree(other)
    write_instructions(data, [data.parent / summary["folder"] for summary in summaries])
    page = folder / "index.html"
    report = run_folder(config) / "report.html"
    link = os.path.relpath(report, folder) if report.exists() else ""
    write_atomically(page, document(config.name, summaries, link).encode("utf-8", "backslashreplace"))
    return Written(page, sum(summary["rows"] for summary in summaries), found)


def _matrices(engines: Engines) -> Matrices | None:
    """None where functions cannot be executed: the rest can still be read."""
    try:
        return Matrices(engines.execution)
    except AutoifError:
        return None


def _rows(entry: Entry) -> Iterator[Row]:
    return chain(kept_rows(entry.records_path), dropped_rows(entry.rejected_path))


def write_stage(target: Path, rows: Iterator[Row], total: int, matrices: Matrices | None = None) -> dict[str, Any]:
    """Write the rows of one stage (kept ones first) to ``target``; returns what the page needs of it at once.

    ``total``: how many rows there will be, for the length of their beginnings.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    length = max(SHORTEST, min(LONGEST, INDEX_CHARS // max(1, total)))
    names: dict[str, int] = {}
    instructions: dict[str, int] = {}
    states, about, texts = [], [], []
    counts: Counter[str] = Counter()
    traces: dict[str, list[int]] = {}
    kept = page = 0
    batch: list[Row] = []
    for row in rows:
        states.append(names.setdefault(row.state, len(names)))
        counts[row.state] += 1
        kept += row.kept
        about.append(instructions.setdefault(row.instruction, len(instructions)) if row.instruction else -1)
        if row.instruction:
            traces.setdefault(row.instruction, [0, 0])[not row.kept] += 1
        texts.append(" ".join(row.text[: 2 * length].split())[:length])
        batch.append(row)
        if len(batch) == PAGE:
            _page(target, page, batch, matrices)
            batch, page = [], page + 1
    if batch:
        _page(target, page, batch, matrices)
    index = {
        "states": list(names),
        "state": states,
        "instructions": list(instructions),
        "instruction": about,
        "text": texts,
    }
    _script(target / "index.js", b"index", _quoted(target.name), msgspec.json.encode(index))
    summary = {
        "version": VERSION,
        "rows": len(states),
        "kept": kept,
        "size": PAGE,
        "states": [[name, counts[name], name.startswith("kept")] for name in names],
        "matrices": matrices is not None and matrices.left_out == 0,
    }
    # Written last: its presence means that the stage's pages are whole.
    write_atomically(target / DONE, json.dumps(summary | {"traces": traces}).encode())
    return summary


def _page(target: Path, number: int, rows: Sequence[Row], matrices: Matrices | None) -> None:
    extra = msgspec.json.encode(matrices.of([row.record for row in rows])) if matrices else b"null"
    body = b"[" + b",\n".join(row.raw for row in rows) + b"]"
    _script(target / f"{number}.js", b"page", _quoted(target.name), str(number).encode(), body, extra)


def _script(path: Path, function: bytes, *arguments: bytes) -> None:
    """A file that hands ``arguments`` (JSON) to the page."""
    path.write_bytes(b"autoif." + function + b"(" + b",".join(arguments) + b")\n")


def _quoted(text: str) -> bytes:
    return json.dumps(text).encode()


def _known(target: Path) -> dict[str, Any] | None:
    """The summary of pages that an earlier call wrote whole."""
    try:
        summary: dict[str, Any] = json.loads((target / DONE).read_bytes())
    except (OSError, ValueError):
        return None
    summary.pop("traces", None)
    return summary if summary.get("version") == VERSION else None


def write_instructions(data: Path, folders: Sequence[Path]) -> None:
    """``instructions.js``: how each instruction fared, [kept, dropped] stage by stage; loaded when one is asked for."""
    traces: dict[str, list[list[int]]] = {}
    for number, folder in enumerate(folders):
        for instruction, (kept, dropped) in json.loads((folder / DONE).read_bytes())["traces"].items():
            traces.setdefault(instruction, []).append([number, kept, dropped])
    _script(data / "instructions.js", b"traces", json.dumps(traces, ensure_ascii=False).encode("utf-8", "replace"))


def document(name: str, stages: Sequence[dict[str, Any]], report: str) -> str:
    """The page. Its policy lets its own script run and scripts from its own folder be loaded, nothing else."""
    script = "\n".join(
        files("autoif.browser").joinpath(part).read_text(encoding="utf-8")
        for part in ("records.js", "files.js", "browser.js")
    )
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{allowed}' 'self' file:; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    run = json.dumps({"name": name, "report": report, "stages": stages}).replace("<", "\\u003c")
    css = style() + files("autoif.browser").joinpath("browser.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(name)}: records</title>\n<style>{css}</style>\n</head>\n'
        '<body class="browser">\n<noscript>The records are shown by this page\'s script; please allow it.</noscript>\n'
        f'<script type="application/json" id="run">{run}</script>\n<div id="app"></div>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _slug(title: str) -> str:
    return "".join(character if character.isalnum() or character in "-_" else "_" for character in title)[:60]
