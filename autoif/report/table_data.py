"""What a joined table holds: cells of ours and the paper's, rows with the runs behind them; also its form on disk."""

from __future__ import annotations

import statistics

import msgspec

from autoif.report.paper import Column, Figure


class Shift(msgspec.Struct, frozen=True):
    """A difference to the row's own base, in the column's unit; ``low`` to ``high`` is its 95% interval.

    ``how``: paired (the same items), unpaired, or seeds (the interval is then the mean ± one standard deviation).
    """

    value: float
    low: float | None = None
    high: float | None = None
    how: str = ""


class Cell(msgspec.Struct, frozen=True):
    """One number: ours (a value a seed, in the column's unit), the paper's, and both differences to the own base.

    ``n``: items behind each value; ``sample``: only a part of the benchmark was run; ``low``, ``high``: 95% interval
    of a single seed's value.
    """

    values: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    n: int = 0
    sample: bool = False
    shift: Shift | None = None
    paper: float | None = None
    paper_shift: float | None = None

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None where nothing was measured."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over seeds; None for one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


class Row(msgspec.Struct, frozen=True):
    """A row of the joined table.

    ``state``: done, partly (some seeds), missing, not_run (the experiment has no point for it) or same (at this scale
    it would be another row's run). ``runs``: names of the runs it was read from; ``fingerprints``: of their results;
    ``commands``: what makes what is missing.
    """

    name: str
    label: str
    state: str
    cells: tuple[Cell, ...]
    group: str = ""
    base: str = ""
    note: str = ""
    x: float | None = None
    runs: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


class Table(msgspec.Struct, frozen=True):
    """An experiment's table.

    ``name``: what its runs share; ``paper``: the paper's table. ``columns``: those that the paper reports or we
    measured, in the paper's order.
    """

    name: str
    paper: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    about: str = ""
    scale: str = ""
    models: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    figure: Figure | None = None

    @property
    def measured(self) -> tuple[Column, ...]:
        """Columns with at least one value of ours."""
        return tuple(c for i, c in enumerate(self.columns) if any(row.cells[i].values for row in self.rows))

    @property
    def reported(self) -> bool:
        """Whether the paper has any of its numbers; an experiment of one's own has not."""
        return any(cell.paper is not None or cell.paper_shift is not None for row in self.rows for cell in row.cells)

    def cell(self, row: Row, column: Column) -> Cell:
        """The cell of ``row`` under ``column``."""
        return row.cells[self.columns.index(column)]
