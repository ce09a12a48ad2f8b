"""The client benchmark: it measures both sides and prints what a script can read."""

from __future__ import annotations

import json

import pytest

from autoif.generation.bench import main


def test_the_benchmark_reports_both_sides_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--requests", "40", "--concurrency", "8", "--rounds", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["requests"] == 40
    assert min(found["requests_per_second"].values()) > 0
    assert found["ours_over_bare"] == pytest.approx(
        found["requests_per_second"]["ours"] / found["requests_per_second"]["bare"], abs=0.01
    )
