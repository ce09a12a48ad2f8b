"""What the supervisor's calls would take, before the first is made: tokens and money, stage by stage.

Calls are upper bounds, as in the rest of a plan: filters keep less, and what is in the call cache costs nothing. Tokens
and money are given twice: as expected by what is known (:mod:`autoif.planning.tokens`), and at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoif.config import OpenAISupervisor, RecordedSupervisor, RunConfig
from autoif.planning.stages import PlanRow
from autoif.planning.text import bound, grid, short
from autoif.planning.tokens import call_tokens
from autoif.stage import Stage
from autoif.store import Store

MANY_SAMPLES = ("write_verifiers", "respond")
"""Stages that ask for several samples of a conversation, whose prompts a server may be sent once for all of them."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """One stage's calls: ``given`` and ``taken`` tokens as expected, ``most_taken`` at most; cost likewise."""

    title: str
    calls: int
    given: float
    taken: float
    most_taken: int
    cost: float
    most_cost: float
    source: str


def supervision(config: RunConfig, stages: Sequence[Stage], rows: Sequence[PlanRow], store: Store) -> list[Supervision]:
    """What the stages that are to run would ask the supervisor; nothing when a recording answers."""
    supervisor = config.supervisor
    if isinstance(supervisor, RecordedSupervisor):
        return []
    together = supervisor.samples_per_request if isinstance(supervisor, OpenAISupervisor) else 1
    found = []
    for stage, row in zip(stages, rows, strict=True):
        if row.done or not row.model_calls or "supervisor" not in stage.engines:
            continue
        tokens = call_tokens(stage, store)
        prompts = row.model_calls / (together if stage.name in MANY_SAMPLES else 1)
        given, taken, most = prompts * tokens.given, row.model_calls * tokens.taken, row.model_calls * tokens.most_taken
        paid_in = given * supervisor.input_price / 1e6
        found.append(
            Supervision(
                title=row.title,
                calls=row.model_calls,
                given=given,
                taken=taken,
                most_taken=most,
                cost=paid_in + taken * supervisor.output_price / 1e6,
                most_cost=paid_in + most * supervisor.output_price / 1e6,
                source=tokens.source,
            )
        )
    return found


def render_supervision(config: RunConfig, found: Sequence[Supervision]) -> str:
    """A table with totals, where its numbers come from, and what a budget would stop."""
    priced = any(row.most_cost for row in found)
    header = ("supervisor", "calls", "tokens in", "tokens out", "at most", *(("cost", "at most") if priced else ()))
    total = Supervision(
        title="all",
        calls=sum(row.calls for row in found),
        given=sum(row.given for row in found),
        taken=sum(row.taken for row in found),
        most_taken=sum(row.most_taken for row in found),
        cost=sum(row.cost for row in found),
        most_cost=sum(row.most_cost for row in found),
        source="",
    )
    lines = [grid(header, (_cells(row, priced) for row in found), _cells(total, priced))]
    sources: dict[str, list[str]] = {}
    for row in found:
        sources.setdefault(row.source, []).append(row.title)
    lines += [f"  {', '.join(titles)}: {source}" for source, titles in sources.items()]
    if not priced:
        lines.append("  No prices are set: supervisor.input_price and supervisor.output_price, per million tokens")
    return "\n".join([*lines, *_budget(config, total)])


def _cells(row: Supervision, priced: bool) -> tuple[str, ...]:
    money = (f"~ {row.cost:,.2f}", f"≤ {row.most_cost:,.2f}") if priced else ()
    return (
        row.title,
        bound(row.calls),
        f"~ {short(row.given)}",
        f"~ {short(row.taken)}",
        f"≤ {short(row.most_taken)}",
        *money,
    )


def _budget(config: RunConfig, total: Supervision) -> list[str]:
    spent = {"max_tokens": total.given + total.taken, "max_cost": total.cost}
    limits = {"max_tokens": config.budget.max_tokens, "max_cost": config.budget.max_cost}
    return [
        f"  budget.{name}={limit:g} would stop it before the end (~ {spent[name]:,.2f} expected)"
        for name, limit in limits.items()
        if limit is not None and spent[name] > limit
    ]
