"""Prompts and shipped data, as files beside the code. A prompt's text is part of its stage's fingerprint."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from string import Template

from autoif.records import Message

_HERE = Path(__file__).parent


@cache
def prompt_text(name: str) -> str:
    """The template ``prompts/<name>.txt``."""
    return (_HERE / "prompts" / f"{name}.txt").read_text(encoding="utf-8").strip()


def render(name: str, **fields: object) -> str:
    """Fill a template's ``$fields``; a field that is missing is a KeyError, text in the values is left as it is."""
    return Template(prompt_text(name)).substitute({key: str(value) for key, value in fields.items()})


def conversation(name: str, **fields: object) -> tuple[Message, ...]:
    """A template of several turns, each under a line ``### system``, ``### user`` or ``### assistant``.

    Turns are told apart before the fields are filled: a value cannot make a turn of its own.
    """
    parts = re.split(r"^### (system|user|assistant)\n", prompt_text(name), flags=re.MULTILINE)[1:]
    values = {key: str(value) for key, value in fields.items()}
    turns = zip(parts[::2], parts[1::2], strict=True)
    return tuple(Message(role=role, content=Template(text.strip()).substitute(values)) for role, text in turns)


def texts(*names: str) -> dict[str, str]:
    """Templates by name, for a stage's ``texts``."""
    return {name: prompt_text(name) for name in names}


def shipped(name: str) -> Path:
    """A data file that comes with the package."""
    return _HERE / "data" / name
