"""Shipped options read by themselves: a plan or an examination looks at all of them, and composing each takes long."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from autoif.border import CONF
from autoif.hints import options_of

C = TypeVar("C")


def shipped(group: str, schema: type[C]) -> dict[str, C]:
    """Name → the values of each option of ``group`` whose schema is ``schema``, as Hydra composes them alone."""
    found = {}
    for name in options_of(CONF / group):
        value = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), _read(CONF / group, name)))
        assert isinstance(value, schema)
        found[name] = value
    return found


def _read(folder: Path, name: str) -> DictConfig:
    """An option's file on top of the options that its defaults name."""
    own: Any = OmegaConf.load(folder / f"{name}.yaml")
    bases = [base for base in own.pop("defaults", []) if isinstance(base, str) and base != "_self_"]
    merged = OmegaConf.merge(*(_read(folder, base) for base in bases), own)
    assert isinstance(merged, DictConfig)
    return merged
