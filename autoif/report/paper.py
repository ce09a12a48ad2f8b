"""The paper's tables and figures as data (``experiments/paper/tables.yaml``), typed and looked up by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from autoif.errors import ConfigError
from autoif.hints import did_you_mean

TABLES = Path(__file__).resolve().parents[2] / "experiments" / "paper" / "tables.yaml"


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a column holds: a benchmark's metric, or a count of a run's stages (see ``autoif/report/counts.py``).

    ``unit``: percent, count or score; measured shares are shown as percentages, the others as they are.
    """

    label: str
    name: str = ""
    benchmark: str = ""
    metric: str = ""
    count: str = ""
    unit: str = "percent"


class PaperRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row as the paper states it: ``values``, or ``differences`` to the row ``base``; ``x`` in a figure.

    A row of an experiment that is not the paper's states neither.
    """

    label: str
    group: str = ""
    base: str = ""
    note: str = ""
    x: float | None = None
    values: tuple[float | None, ...] = ()
    differences: tuple[float | None, ...] = ()


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a table is drawn: one column on each axis over ``x``, which may be logarithmic."""

    x: str
    left: str
    right: str
    logarithmic: bool = False


class PaperTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table or figure of the paper; ``columns`` are names of :class:`Column`."""

    title: str
    columns: tuple[str, ...]
    rows: dict[str, PaperRow]
    about: str = ""
    figure: Figure | None = None

    def value(self, row: str, column: str) -> float | None:
        """What the paper reports, worked out where it states a difference; None where it reports nothing."""
        stated = self.rows[row]
        place = self.columns.index(column)
        if stated.values or not stated.differences:
            return stated.values[place] if stated.values else None
        base, shift = self.value(stated.base, column), stated.differences[place]
        return None if base is None or shift is None else round(base + shift, 2)

    def shift(self, row: str, column: str) -> float | None:
        """The paper's difference to the row's own base; None without one."""
        stated = self.rows[row]
        if stated.differences:
            return stated.differences[self.columns.index(column)]
        if not stated.base:
            return None
        value, base = self.value(row, column), self.value(stated.base, column)
        return None if value is None or base is None else round(value - base, 2)


class _Tables(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    columns: dict[str, Column]
    tables: dict[str, PaperTable]


@cache
def _read() -> _Tables:
    return msgspec.yaml.decode(TABLES.read_bytes(), type=_Tables)


def names() -> list[str]:
    """All tables and figures that the file holds."""
    return list(_read().tables)


def table(name: str) -> PaperTable:
    """The table of that name. Raises :class:`ConfigError` naming the close ones."""
    tables = _read().tables
    if name not in tables:
        raise ConfigError(f"experiment.table={name}: {TABLES.name} has no such table{did_you_mean(name, list(tables))}")
    return tables[name]


def column(name: str) -> Column:
    """The column of that name."""
    return msgspec.structs.replace(_read().columns[name], name=name)
