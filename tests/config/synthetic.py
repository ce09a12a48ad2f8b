"""A small graph of real stages that needs no engine: queries → ask → judge(ask, queries)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from autoif.config import NOT_IDENTITY
from autoif.records import Query, Record, Reject
from autoif.stage import Context, Estimate, Rows, Stage, run_stage
from autoif.store import Store


@dataclass(kw_only=True)
class Settings:
    threshold: float = 0.5
    samples: int = 2
    workers: int = field(default=1, metadata=NOT_IDENTITY)


def source(context: Context) -> Iterator[Query]:
    for index in range(10):
        yield Query(id=str(index), text=f"query {index}", source="test")


def halve(context: Context, rows: Rows[Query], *more: Rows[Query]) -> Iterator[Record | Reject]:
    for index, row in enumerate(rows):
        yield row if index % 2 else Reject(row, "even")


def graph(first: Settings | None = None, last: Settings | None = None, **changes: Any) -> list[Stage]:
    """queries → ask → judge(ask, queries), each estimating one call a record and one execution a sample."""
    settings = first or Settings()
    queries = Stage(name="queries", record=Query, function=source, seed=0, estimate=lambda: Estimate(records=10))
    ask = Stage(
        name="ask",
        record=Query,
        function=halve,
        config=settings,
        inputs=(queries,),
        texts={"prompt": "answer this"},
        engines={"supervisor": "model-a"},
        estimate=lambda count: Estimate(count, model_calls=count * settings.samples),
    )
    ask = replace(ask, **changes)
    judge = Stage(
        name="judge",
        record=Query,
        function=halve,
        config=last or Settings(),
        inputs=(ask, queries),
        estimate=lambda count, others: Estimate(count, executions=count * others),
    )
    return [queries, ask, judge]


def run(stages: list[Stage], store: Store) -> None:
    for stage in stages:
        run_stage(stage, store, engines=None)  # type: ignore[arg-type] # these functions use none
