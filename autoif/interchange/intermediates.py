"""What a run has made, as the files that the authors' scripts leave between their steps: one for each that is done.

Whoever has their scripts can go on with them from any of these; here ``pipeline.start`` takes them back in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoif import jsonrows
from autoif.interchange.upstream import Kind
from autoif.interchange.upstream_export import RECORDS, rows
from autoif.stage import Rows, Stage
from autoif.store import Store, write_atomically

MADE_BY: dict[Kind, tuple[str, ...]] = {
    Kind.seed_instruction: ("self_instruct", "near_duplicates"),
    Kind.eval_func_rft: ("write_verifiers",),
    Kind.cross_validation: ("cross_verify",),
    Kind.back_trans: ("back_translate", "nli_filter"),
    Kind.query_rft: ("respond",),
    Kind.query_rft_score: ("score",),
    Kind.dpo_query_w_funcs: ("respond",),
    Kind.dpo_query_eval_score_results: ("verify_responses",),
}
"""Kind of file → stages whose rows it holds: those of the last one that is done."""


def write(folder: Path, done: Sequence[Stage], store: Store) -> dict[Path, int]:
    """Write a file under ``folder`` for each kind that the finished stages ``done`` can fill; returns their rows."""
    files = {}
    for kind, names in MADE_BY.items():
        made = [stage for stage in done if stage.name in names and stage.record is RECORDS[kind]]
        if not made:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        found = rows(kind, Rows(made[-1].entry(store), made[-1].record))
        if kind is Kind.seed_instruction:
            lines = [" ".join(str(text).split()) for text in found]
            path = folder / f"{kind.value}.txt"
            write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
            files[path] = len(lines)
        else:
            path = folder / f"{kind.value}.jsonl"
            files[path] = jsonrows.write_lines(path, found)
    return files
