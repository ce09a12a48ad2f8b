"""The client benchmark: it measures both sides and prints what a script can read."""

from __future__ import annotations

import json
from pathlib import Path

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


def test_memory_is_watched_over_one_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--memory", "--requests", "200", "--concurrency", "16"]) == 0
    found = json.loads(capsys.readouterr().out)["resident_mib"]
    assert list(found) == [str(20 * part) for part in range(1, 11)]


@pytest.mark.slow
def test_memory_is_flat_over_a_hundred_thousand_requests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--memory", "--requests", "100000"]) == 0
    found = json.loads(capsys.readouterr().out)["resident_mib"]
    print(found)
    assert found["100000"] < 1.1 * found["20000"]


def test_local_decoding_is_compared_with_a_plain_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch").set_num_threads(1)
    from training_tiny import tiny_model

    folder = tiny_model(tmp_path)
    capsys.readouterr()
    sizes = ["--rows", "5", "--batch", "2", "--tokens", "16", "--rounds", "1"]
    assert main(["--engine", "transformers", "--model", str(folder), *sizes, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["loads"]) == ["even", "mixed"]
    assert all(rates["plain"] > 0 and rates["ours"] > 0 for rates in found["loads"].values())
