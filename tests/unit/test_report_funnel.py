"""The funnel's shares: a stage that makes several records of one is not flattered by them."""

import pytest

from autoif.report.funnel import FunnelStep
from autoif.report.select import RejectedGroup


@pytest.mark.parametrize(
    ("entered", "dropped", "kept", "share"),
    [
        (56, 21, 35, "62%"),
        (32, 0, 64, "×2"),
        (64, 45, 63, "30% ×3.32"),
        (40, 6, 34, "85%"),
        (10, 10, 0, "0%"),
        (0, 0, 0, "–"),
    ],
)
def test_a_share_tells_what_passed_apart_from_what_was_made_of_it(
    entered: int, dropped: int, kept: int, share: str
) -> None:
    groups = [RejectedGroup("why", dropped)] if dropped else []
    assert FunnelStep("stage", "", entered, kept, groups).share == share
