"""The benchmark of scoring: both sides score the same answers, and the command prints JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation import bench, ifeval
from evaluation.data import IFEVAL


def test_both_sides_find_the_same_and_the_command_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lm_eval")
    monkeypatch.setattr(ifeval, "prepare", lambda data_dir: None)  # these constraints need no NLTK data
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk_data"))
    (tmp_path / "nltk_data/tokenizers/punkt_tab").mkdir(parents=True)
    names = ["punctuation:no_comma", "change_case:english_lowercase", "punctuation:no_comma"]
    prompts = ["say it plainly", "small, please", "a, b, c"]
    rows = [
        {"key": n, "prompt": prompt, "instruction_id_list": [name], "kwargs": [{}]}
        for n, (prompt, name) in enumerate(zip(prompts, names, strict=True))
    ]
    path = tmp_path / IFEVAL.file
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert bench.main(["--data", str(tmp_path), "--rounds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["responses"] == 3
    assert found["ours_over_lm_eval"] > 0
    values = found["prompt_level_strict_acc"]
    assert values["ours"] == pytest.approx(values["lm_eval"])
    assert 0 < values["ours"] < 1


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench.main(["--data", str(tmp_path)])
    assert stopped.value.code == 1
    assert "ifeval/input_data.jsonl is missing" in capsys.readouterr().err
