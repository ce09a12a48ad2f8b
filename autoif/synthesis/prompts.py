"""Prompts and shipped data, as files beside the code. A prompt's text is part of its stage's fingerprint."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import Template

_HERE = Path(__file__).parent


@cache
def prompt_text(name: str) -> str:
    """The template ``prompts/<name>.txt``."""
    return (_HERE / "prompts" / f"{name}.txt").read_text(encoding="utf-8").strip()


def render(name: str, **fields: object) -> str:
    """Fill a template's ``$fields``; a field that is missing is a KeyError, text in the values is left as it is."""
    return Template(prompt_text(name)).substitute({key: str(value) for key, value in fields.items()})


def texts(*names: str) -> dict[str, str]:
    """Templates by name, for a stage's ``texts``."""
    return {name: prompt_text(name) for name in names}


def shipped(name: str) -> Path:
    """A data file that comes with the package."""
    return _HERE / "data" / name
