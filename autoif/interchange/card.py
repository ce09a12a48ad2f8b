"""The card of an exported data set: what is in it, what was dropped on the way, what a user must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoif.records import Contamination

_CONTENT = {
    "sft": "prompts with answers that code has verified",
    "preference": "answers to the same prompt: one that the functions accept, one that they refuse",
    "online": "the same, of the answers of the model that is trained, iteration by iteration",
}
_COLUMNS = {
    "prompt": "messages (`role`, `content`) that ask",
    "completion": "the verified answer, as a message",
    "chosen, rejected": "two answers to `prompt`, as messages",
    "instruction": "the verifiable part of the prompt",
    "functions": "Python code: `evaluate(response) -> bool`, all that judged the row",
    "accuracy": "share of the functions that accept it, of those that gave a verdict (pairs: `chosen_…`, `rejected_…`)",
    "score": "the supervisor's score of the answer, 1 to 10",
    "level": "of a pair: `query` and `instruction` (offline), `online`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an export says of itself. ``sources``: (what, where from, on what terms); ``funnel``: (stage, kept, dropped
    by reason); ``settings``: name → value of what made it."""

    name: str
    sources: Sequence[tuple[str, str, str]] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    funnel: Sequence[tuple[str, int, Mapping[str, int]]] = ()
    contamination: Sequence[Contamination] = ()


def text(about: About, sizes: Mapping[str, int]) -> str:
    """README.md of a ``datasets`` folder. ``sizes``: rows by set."""
    parts = [
        *_header(sizes),
        "",
        *_body(about, sizes),
        *_funnel(about.funnel),
        *_contamination(about.contamination),
        *_sources(about),
    ]
    return "\n".join(parts) + "\n"


def _header(sizes: Mapping[str, int]) -> list[str]:
    """The metadata block that ``datasets`` and the hub read: one configuration a set. The licence is for whoever
    publishes the set to state: it depends on the model that answered and on where the queries are from."""
    lines = [
        "---",
        "task_categories:",
        "- text-generation",
        "tags:",
        "- instruction-following",
        "- execution-feedback",
        "- synthetic",
        "size_categories:",
        f"- {_size(sum(sizes.values()))}",
        "configs:",
    ]
    for name in sizes:
        lines += [f"- config_name: {name}", "  data_files:", "  - split: train", f"    path: data/{name}.jsonl"]
        lines += ["  default: true"] if name == next(iter(sizes)) else []
    return [*lines, "---"]


def _size(rows: int) -> str:
    """The hub's classes."""
    bounds = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((name for bound, name in bounds.items() if rows < bound), "1M<n<10M")


def _body(about: About, sizes: Mapping[str, int]) -> list[str]:
    lines = [
        f"# {about.name}",
        "",
        "Instruction-following data made by AutoIF: execution feedback decides what is kept.",
    ]
    lines += ["", "| set | rows | content |", "|---|---:|---|"]
    lines += [f"| {name} | {count:,} | {_CONTENT.get(name.partition('_')[0], '')} |" for name, count in sizes.items()]
    example = next(iter(sizes), "sft")
    lines += [
        "",
        "```python",
        "from datasets import load_dataset",
        f'rows = load_dataset("path/to/this/folder", "{example}", split="train")',
        "```",
    ]
    lines += ["", "| column | holds |", "|---|---|", *(f"| {key} | {what} |" for key, what in _COLUMNS.items())]
    if about.settings:
        lines += ["", "## Made with", "", *(f"- {name}: {value}" for name, value in about.settings.items())]
    return lines


def _funnel(funnel: Sequence[tuple[str, int, Mapping[str, int]]]) -> list[str]:
    if not funnel:
        return []
    lines = ["", "## How it came about", "", "| stage | kept | dropped |", "|---|---:|---|"]
    for stage, kept, dropped in funnel:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped.items()) or "–"
        lines.append(f"| {stage} | {kept:,} | {reasons} |")
    return lines


def _contamination(rows: Sequence[Contamination]) -> list[str]:
    if not rows:
        return []
    lines = ["", "## Benchmark prompts in it", ""]
    lines += [
        f"| set | benchmark | prompts | share {rows[0].words} words in a row | contaminated |",
        "|---|---|---:|---:|---:|",
    ]
    counts = ((row, row.test, row.overlapping, row.contaminated) for row in rows)
    return [
        *lines,
        *(f"| {row.data} | {row.benchmark} | {n:,} | {any_:,} | {most:,} |" for row, n, any_, most in counts),
    ]


def _sources(about: About) -> list[str]:
    lines = ["", "## Sources and terms", ""]
    if about.sources:
        lines += ["| what | from | terms |", "|---|---|---|"]
        lines += [f"| {what} | {origin} | {terms} |" for what, origin, terms in about.sources]
        lines.append("")
    return [
        *lines,
        "- The terms of the model that answered and of the queries apply to the rows: name both where you publish.",
        "- The functions are code that a model wrote. Run them only where untrusted code may run.",
        "- A function can be wrong together with its test cases; `accuracy` is agreement, not truth.",
    ]
