"""What the user probably meant: close matches for mistyped keys and options."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path

LISTED = 12
"""Keys that a message lists before it counts the rest."""


def options_of(group: Path) -> list[str]:
    """Names of the options in a group's folder, sorted."""
    return sorted(path.stem for path in group.glob("*.yaml"))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean X?"`` when something close is known, else an empty string."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def unknown_key(path: str, known: Iterable[str]) -> str:
    """The message for a key that does not exist: its nearest relatives, or what its parent has instead."""
    keys = list(dict.fromkeys(known))
    if close := nearest(path, keys):
        return f"unknown key {path!r}; did you mean {' or '.join(close)}?"
    parent = path.rpartition(".")[0]
    while parent and parent not in keys:
        parent = parent.rpartition(".")[0]
    depth = parent.count(".") + 2 if parent else 1
    inside = [k for k in keys if k.count(".") == depth - 1 and (not parent or k.startswith(f"{parent}."))]
    children = [key.rpartition(".")[2] for key in inside]
    where = f"{parent!r} has" if parent else "there are"
    more = f" and {len(children) - LISTED} more" if len(children) > LISTED else ""
    return f"unknown key {path!r}: {where} {', '.join(children[:LISTED]) or 'no keys'}{more}"


def nearest(path: str, keys: Iterable[str]) -> list[str]:
    """Up to three dotted keys whose last name is close to that of ``path``; the same parent counts in favour.

    A misspelt parent is found too: ``algorithm.doo.beta`` is close to ``algorithm.dpo.beta``.
    """
    parent, _, name = path.rpartition(".")
    scored = []
    for key in keys:
        key_parent, _, key_name = key.rpartition(".")
        similarity = _ratio(name, key_name)
        if similarity >= 0.75:
            scored.append((similarity + 0.5 * _ratio(parent, key_parent), key))
    scored.sort(key=lambda pair: (-pair[0], pair[1]))
    return [key for score, key in scored[:3] if score >= scored[0][0] - 0.05]


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b).ratio() if a or b else 1.0
