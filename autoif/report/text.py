"""Text on its way into a report: hostile until it went through here.

Model output may hold markup, terminal and bidirectional controls, or one line of megabytes. :func:`clip` bounds it,
:func:`visible` makes what cannot be seen readable, :func:`escape` makes it safe inside HTML text and attributes.
"""

from __future__ import annotations

import html
import re

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u061c\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ufffe\uffff"  # direction overrides, isolates, specials
    "\ud800-\udfff\U000e0000-\U000e0fff]"  # lone surrogates, tag characters
)
_TICKS = re.compile(r"`+")
_MARKDOWN = re.compile(r"[\\`*\[\]|~]|^[#>+-]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads as more than text: underscores at a word's edge only, heading and list marks in front only."""


def visible(text: str) -> str:
    """``text`` with each control, direction override or unpaired surrogate spelled out as ``⟨U+XXXX⟩``."""
    return _INVISIBLE.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text.replace("\r\n", "\n"))


def clip(text: str, limit: int) -> tuple[str, int]:
    """The first ``limit`` characters and how many were left out."""
    return (text, 0) if len(text) <= limit else (text[:limit], len(text) - limit)


def escape(value: object) -> str:
    """Safe as HTML text and inside a double-quoted attribute."""
    return html.escape(visible(str(value)), quote=True)


def line(text: str, limit: int = 160) -> str:
    """One line of plain text of at most ``limit`` characters, an ellipsis where something was cut. Not escaped."""
    head, _ = clip(text, limit * 4)
    flat = " ".join(visible(head).split())
    return flat if len(flat) <= limit and len(head) == len(text) else flat[: limit - 1].rstrip() + "…"


def markdown(text: str, limit: int = 160) -> str:
    """One line that stays text inside Markdown, table cells included."""
    return _MARKDOWN.sub(r"\\\g<0>", line(text, limit)).replace("&", "&amp;").replace("<", "&lt;")


def fence(text: str, language: str = "text", limit: int = 1500) -> str:
    """``text`` as a fenced Markdown block that it cannot close itself."""
    head, more = clip(text, limit)
    longest = max((len(run) for run in _TICKS.findall(head)), default=0)
    bar = "`" * max(3, longest + 1)
    tail = f"\n… {count(more)} more characters" if more else ""
    return f"{bar}{language}\n{visible(head)}{tail}\n{bar}"


def count(number: int) -> str:
    """12345 → 12,345."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """1 step, 2 steps."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def percent(share: float, digits: int = 1) -> str:
    """0.354 → 35.4%."""
    return f"{100 * share:.{digits}f}%"


def signed(value: float, digits: int = 1) -> str:
    """With a sign whatever it is: +12.5, −3.1, ±0.0."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return f"±{text}"
    return f"{'+' if value > 0 else '−'}{text}"


def number(value: float) -> str:
    """Four significant digits, scientific only where plain digits would be long."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def duration(seconds: float) -> str:
    """25 ms, 3.2 s, 4 min 10 s, 2 h 05 min."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(nbytes: int) -> str:
    """Bytes in decimal units: 3.4 MB."""
    value = float(nbytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
