"""What generation would take: tokens in and out, money at the supervisor's prices, device-hours of models at hand.

All are upper bounds: every answer is taken to be as long as its settings allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from autoif.config import (
    LocalSupervisor,
    ModelConfig,
    OpenAISupervisor,
    RecordedSupervisor,
    RunConfig,
    SupervisorConfig,
)
from autoif.planning.options import shipped
from autoif.planning.stages import PlanRow
from autoif.planning.tokens import answer_limit, assumed_prompt
from autoif.stage import Stage


@dataclass(frozen=True, slots=True)
class Generation:
    """One stage's model calls. ``cost``: in the currency of the prices; ``device_hours``: of the run's hardware, where
    the model answers there."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost: float = 0.0
    device_hours: float = 0.0


def generation(config: RunConfig, stage: Stage, row: PlanRow) -> Generation | None:
    """The calls of a stage that is to run; None when it makes none, or a recording answers them."""
    if row.done or not row.model_calls:
        return None
    given, taken = row.model_calls * assumed_prompt(stage), row.model_calls * answer_limit(stage.config)
    who = _who(config, stage)
    if isinstance(who, RecordedSupervisor):
        return None
    cost = (given * who.input_price + taken * who.output_price) / 1e6 if who else 0.0
    size = config.model.parameters if who is None else _parameters(who)
    return Generation(row.model_calls, given, taken, cost, _device_hours(config, size, given, taken))


def _who(config: RunConfig, stage: Stage) -> SupervisorConfig | None:
    """Who answers a stage's calls; None: the model in training."""
    if "supervisor" in stage.engines:
        return config.supervisor
    return None


def _parameters(who: SupervisorConfig) -> int:
    """Of a supervisor that runs on machines of one's own: weights at hand, or a server of a model that we know."""
    if isinstance(who, LocalSupervisor):
        return who.source.parameters
    own = isinstance(who, OpenAISupervisor) and not who.output_price
    return _shipped().get(who.model, 0) if own else 0


@cache
def _shipped() -> dict[str, int]:
    """Path → parameters of the models in ``conf/model``."""
    return {model.path: model.parameters for model in shipped("model", ModelConfig).values()}


def _device_hours(config: RunConfig, parameters: int, given: int, taken: int) -> float:
    """Two operations a weight and token: prompts at training's share of the peak, answers at decoding's."""
    hardware = config.hardware
    if not hardware.peak_tflops:
        return 0.0
    work = given / hardware.mfu + taken / hardware.generation_mfu
    return 2 * parameters * work / (hardware.peak_tflops * 1e12) / 3600
