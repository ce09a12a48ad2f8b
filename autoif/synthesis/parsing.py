"""Reading what models write: JSON in and out of fences, booleans in any spelling, scores, labels, lists.

No input makes these functions raise; what cannot be read is ``None`` (or left out), so the caller can keep the reply
beside a reason. JSON that models get almost right is mended: raw newlines and regex escapes in strings, trailing
commas, Python's ``True``/``None``, single quotes.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from typing import Any

from autoif.records import unicode

# The spaces are possessive: without that, a long run of them is tried at every split.
_FENCE = re.compile(r"```[ \t]*+(?:[A-Za-z0-9_+-]++[ \t]*+)?\n(.*?)(?:```|\Z)", re.DOTALL)
_MARKER = re.compile(r"^\s*(?:[-*•]+|\(?\d{1,3}[.):])\s+")
_SCORE = re.compile(
    r"score(?:[ \t]*\([^()\n]{0,40}\))?\W{0,12}?(?:is\s+)?(-?[0-9]{1,9}(?:[.,][0-9]{1,9})?)"
    r"(?:\s*(?:/|out of)\s*([0-9]{1,9}))?",
    re.IGNORECASE,
)
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")', re.DOTALL)
_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt]|u[0-9a-fA-F]{4})|(.))', re.DOTALL)
_LABELS = ("entailment", "neutral", "contradiction")
_LITERALS = {"True": "true", "False": "false", "None": "null"}


def json_objects(reply: str) -> Iterator[dict[str, Any]]:
    """Every JSON object found in ``reply``, fenced ones first, each as it could be read."""
    seen: set[str] = set()
    for candidate in _candidates(reply):
        if candidate in seen:
            continue
        seen.add(candidate)
        value = _loads(candidate)
        if isinstance(value, dict):
            yield value


def _candidates(reply: str) -> Iterator[str]:
    for body in _FENCE.findall(reply):
        yield from _balanced(body)
    yield from _balanced(reply)


def _balanced(text: str) -> Iterator[str]:
    """Outermost ``{…}`` spans, braces inside strings not counted; at most 20 openings are tried."""
    start, tries = text.find("{"), 0
    while start >= 0 and tries < 20:
        tries += 1
        depth, inside, escaped = 0, False, False
        for position in range(start, len(text)):
            character = text[position]
            if inside:
                inside = escaped or character != '"'
                escaped = character == "\\" and not escaped
            elif character == '"':
                inside = True
            elif character == "{":
                depth += 1
            elif character == "}":
                depth -= 1
                if depth == 0:
                    yield text[start : position + 1]
                    start = position
                    break
        start = text.find("{", start + 1)


def _loads(text: str) -> Any:
    for attempt in (text, _mend(text)):
        try:
            return json.loads(attempt, strict=False)
        except (ValueError, RecursionError):
            continue
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stray backslash in a model's string is no news
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _mend(text: str) -> str:
    """In strings: escapes JSON does not know. Outside: no trailing commas, Python's literals as JSON spells them."""
    out: list[str] = []
    for part in _STRING.split(text):
        if part.startswith('"'):
            part = _ESCAPE.sub(_escape, part)
        else:
            part = re.sub(r"\b(True|False|None)\b", lambda match: _LITERALS[match[1]], part)
            # A comma and the bracket behind it stand in one part: strings were split off.
            part = re.sub(r",(\s*[}\]])", r"\1", part)
        out.append(part)
    return "".join(out)


def _escape(match: re.Match[str]) -> str:
    r"""``\d`` of a regular expression means the backslash itself, ``\'`` the quote alone; JSON's own stay."""
    if match[1]:
        return match[0]
    return "'" if match[2] == "'" else f"\\\\{match[2]}"


def string_list(reply: str) -> list[str] | None:
    """A reply's JSON list of strings, fenced or bare, each on one line; None when there is none."""
    for text in (*_FENCE.findall(reply), reply):
        start, end = text.find("["), text.rfind("]")
        value = _loads(text[start : end + 1]) if 0 <= start < end else None
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            return [sentence(unicode(item)) for item in value]
    return None


def boolean(value: Any) -> bool | None:
    """True or False for a bool and for its spellings as text (upstream loses those); else None."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "yes": True, "false": False, "no": False}.get(value.strip().strip("'\"").lower())
    return None


def verifier_reply(reply: str) -> tuple[str, list[tuple[str, bool]]] | None:
    """The function and cases of a reply that follows the verifier contract, else None.

    Contract: an object with ``func`` (source that defines ``evaluate``) and ``cases``, a list of
    ``{"input": str, "output": bool}``. Cases that cannot be read are left out.
    """
    for value in json_objects(reply):
        code = value.get("func")
        if not isinstance(code, str) or "def evaluate" not in code:
            continue
        raw = value.get("cases")
        cases = [case for item in (raw if isinstance(raw, list) else []) if (case := _case(item)) is not None]
        return source(code), cases
    return None


def _case(item: Any) -> tuple[str, bool] | None:
    if not isinstance(item, dict) or not isinstance(item.get("input"), str):
        return None
    expected = boolean(item.get("output"))
    return None if expected is None else (unicode(item["input"]), expected)


def source(code: str) -> str:
    """Python source without the Markdown fence a model may have put around it."""
    fenced = next((body for body in _FENCE.findall(code) if "def evaluate" in body), code)
    return unicode(fenced).replace("\r\n", "\n").strip("\n")


def score(reply: str) -> float | None:
    """The last ``Score: N`` of a reply, on a scale of ten: ``9.5``, ``10/10``, ``**Score:** 9``, ``8 out of 10``."""
    found = _SCORE.findall(reply)
    if not found:
        return None
    number, scale = found[-1]
    value = float(number.replace(",", "."))
    if scale and int(scale) > 0:
        value *= 10 / int(scale)
    return value if 0 <= value <= 10 else None


def nli_label(reply: str) -> str | None:
    """entailment, neutral or contradiction when the reply names exactly one of them (or starts with one)."""
    lowered = reply.strip().lower()
    for label in _LABELS:
        if lowered.lstrip("*\"'` ").startswith(label):
            return label
    named = {label for label in _LABELS if re.search(rf"\b{label}\b", lowered)}
    return named.pop() if len(named) == 1 else None


def lines(reply: str) -> list[str]:
    """A reply's lines as list items: bullets, numbers, quotes and fences taken off, empty ones left out."""
    items = []
    for line in reply.splitlines():
        item = _MARKER.sub("", line).strip()
        if len(item) > 1 and item[0] == item[-1] and item[0] in "\"'":
            item = item[1:-1].strip()
        if item and not item.startswith("```"):
            items.append(item)
    return items


def sentence(reply: str) -> str:
    """The first non-empty paragraph on one line, without a label such as ``Instruction:`` and without quotes."""
    paragraph = next((part for part in re.split(r"\n\s*\n", reply.strip()) if part.strip()), "")
    text = re.sub(r"^(?:instruction|requirement)\s*:\s*", "", " ".join(paragraph.split()), flags=re.IGNORECASE)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text.strip()
