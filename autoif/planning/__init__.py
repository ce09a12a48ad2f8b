"""``task=plan``: what would run, what it would cost, whether it fits, how it would be started. Never imports torch."""

from autoif.planning.show import show
from autoif.planning.stages import PlanRow, plan
from autoif.planning.table import render

__all__ = ["PlanRow", "plan", "render", "show"]
