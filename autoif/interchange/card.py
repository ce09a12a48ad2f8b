"""The card of an exported data set: what is in it, what was dropped on the way, what a user must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def text(name: str, sizes: Mapping[str, int], funnel: Sequence[tuple[str, int, Mapping[str, int]]]) -> str:
    """README.md of a ``datasets`` folder. ``sizes``: rows by set; ``funnel``: (stage, kept, dropped by reason)."""
    return "\n".join([*_header(sizes), "", *_body(name, sizes), *_funnel(funnel), *_notes()]) + "\n"


def _header(sizes: Mapping[str, int]) -> list[str]:
    """The metadata block that ``datasets`` and the hub read: one configuration a set."""
    lines = [
        "---",
        "task_categories:",
        "- text-generation",
        "tags:",
        "- instruction-following",
        "- synthetic",
        "configs:",
    ]
    for name in sizes:
        lines += [f"- config_name: {name}", "  data_files:", "  - split: train", f"    path: data/{name}.jsonl"]
    return [*lines, "---"]


def _body(name: str, sizes: Mapping[str, int]) -> list[str]:
    about = {
        "sft": "prompts with answers that code has verified; the functions stand beside each row",
        "preference": "answers to the same prompt, one that the functions accept and one that they refuse",
    }
    lines = [f"# {name}", "", "Instruction-following data made by AutoIF: execution feedback decides what is kept.", ""]
    lines += ["| set | rows | content |", "|---|---:|---|"]
    return [*lines, *(f"| {key} | {count:,} | {about.get(key, '')} |" for key, count in sizes.items())]


def _funnel(funnel: Sequence[tuple[str, int, Mapping[str, int]]]) -> list[str]:
    if not funnel:
        return []
    lines = ["", "## How it came about", "", "| stage | kept | dropped |", "|---|---:|---|"]
    for stage, kept, dropped in funnel:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped.items()) or "–"
        lines.append(f"| {stage} | {kept:,} | {reasons} |")
    return lines


def _notes() -> list[str]:
    return [
        "",
        "## Before you use it",
        "",
        "- Answers come from the supervising model, queries from their source: the licences of both apply; name them.",
        "- The functions are code that a model wrote. Run them only where untrusted code may run.",
        "- A function can be wrong together with its test cases; `accuracy` is agreement, not truth.",
    ]
