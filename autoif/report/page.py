"""HTML building blocks. Every function takes plain values and returns markup in which they are escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

from autoif.report.text import clip, count, escape, line

TEXT_LIMIT = 4000
"""Characters shown of one text."""
FOLD_CHARS, FOLD_LINES = 420, 9
"""Longer texts are folded."""


@cache
def style() -> str:
    """The style sheet that every page carries."""
    return files("autoif.report").joinpath("style.css").read_text(encoding="utf-8")


def document(title: str, header: str, body: str, links: Sequence[tuple[str, str]], footer: str) -> str:
    """A whole page. Its policy lets no script run and nothing be fetched, whatever a text might smuggle in."""
    nav = "".join(f'<a href="{escape(target)}">{escape(label)}</a>' for target, label in links)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(line(title))}</title>\n'
        f"<style>{style()}</style>\n</head>\n<body>\n"
        f"<header>{header}</header>\n<nav><div>{nav}</div></nav>\n<main>\n{body}\n</main>\n<footer>{footer}</footer>\n"
        "</body>\n</html>\n"
    )


def section(key: str, title: str, about: str, *parts: str) -> str:
    """A titled part of the page with an anchor; empty when it has no content."""
    content = "\n".join(part for part in parts if part)
    if not content:
        return ""
    lead = f'<p class="about">{escape(about)}</p>' if about else ""
    return f'<section id="{key}"><h2>{escape(title)}</h2>{lead}\n{content}\n</section>'


def text_block(text: str, kind: str = "prose", fold: int = FOLD_CHARS) -> str:
    """Model text, bounded, isolated from the page's direction. ``kind``: prose, code or plain.

    Longer than ``fold`` characters, or of many lines, it is folded; 0 never folds.
    """
    head, more = clip(text, TEXT_LIMIT)
    tail = f'<p class="small">… {count(more)} more characters</p>' if more else ""
    block = f'<pre class="{kind}" dir="auto">{escape(head)}</pre>{tail}'
    if not head.strip():
        return '<p class="small">(empty)</p>'
    if not fold or (len(text) <= fold and (kind == "code" or head.count("\n") < FOLD_LINES)):
        return block
    size = f"{count(len(text))} characters"
    return f'<details class="long"><summary><bdi>{escape(line(head, 110))}</bdi> ({size})</summary>{block}</details>'


def labelled(label: str, content: str) -> str:
    """Content under a small label."""
    return f'<p class="field">{escape(label)}</p>{content}'


def tag(text: object, tone: str = "") -> str:
    """A small rounded label; ``tone``: ok, no or nothing."""
    return f'<span class="tag {tone}">{escape(line(str(text), 60))}</span>'


def details(summary: str, body: str, open_: bool = False) -> str:
    """Foldable content; both arguments are markup."""
    return f'<details{" open" if open_ else ""}><summary>{summary}</summary><div class="body">{body}</div></details>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int] = (), kind: str = "") -> str:
    """A table that scrolls sideways by itself. Heads are text, cells are markup; ``numeric`` columns align right."""
    right = set(numeric)

    def cells(name: str, values: Sequence[str]) -> str:
        return "".join(f"<{name}{_right(i in right)}>{value}</{name}>" for i, value in enumerate(values))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    if not body:
        return ""
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{cells("th", [escape(h) for h in head])}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _right(yes: bool) -> str:
    return ' class="num"' if yes else ""


def figures(values: Iterable[tuple[str, str]]) -> str:
    """A band of key figures."""
    cells = "".join(f"<div><b>{escape(figure)}</b><span>{escape(label)}</span></div>" for figure, label in values)
    return f'<div class="figures">{cells}</div>'
