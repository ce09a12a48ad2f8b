"""The key goes to the server and nowhere else: not to the screen, the store, the cache, recordings or reports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Reply, chat, error
from scripted import asked
from teacher import SEEDS, answer

from autoif.border import load
from autoif.errors import ConfigError

ROOT = Path(__file__).parents[2]
KEY = "sk-the-key-of-this-test-0123456789"


def teacher(body: dict[str, Any]) -> Reply:
    """Answers until responses are scored, then refuses with an error that repeats the key, as careless servers do."""
    text = body["messages"][-1]["content"]
    if asked(text) == "score":
        return error(400, f"cannot do this for Authorization: Bearer {KEY}")
    return chat(body, text=answer((text, body["seed"])))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that a permanent error stopped in its last stage of synthesis, and what it printed."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "seeds.txt").write_text("\n".join(SEEDS))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    with ChatServer(teacher) as server:
        command = [
            *(sys.executable, "run.py", "supervisor=openai", "supervisor.model=teacher", "algorithm=sft_demo"),
            f"supervisor.base_url={server.url}",
            f"supervisor.record={folder}/recording.jsonl",
            f"model.path={folder}/model",
            f"pipeline.self_instruct.seeds={folder}/seeds.txt",
            *("pipeline.self_instruct.rewrites_per_seed=0", "pipeline.write_verifiers.samples=3"),
            *("pipeline.queries.per_instruction=1", "pipeline.respond.samples=2", "evaluation=none"),
            *(f"paths.{name}={folder}/{name}" for name in ("store", "runs", "cache")),
        ]
        run = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "OPENAI_API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        heads = "".join(server.headers)
    assert run.returncode == 1, run.stdout
    assert KEY in heads, run.stdout
    return folder, run.stdout


def test_the_run_stopped_with_one_line_that_says_why_and_no_key(stopped: tuple[Path, str]) -> None:
    printed = stopped[1]
    assert re.search(r"http://127\.0\.0\.1:\d+/v1 refused the request \(HTTP 400\).*\*\*\*", printed.splitlines()[-1])
    assert KEY not in printed


def test_no_file_of_the_run_holds_the_key(stopped: tuple[Path, str]) -> None:
    folder = stopped[0]
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"manifest.json", "records.jsonl", "config.yaml", "report.md", "report.html", "recording.jsonl"} <= names
    assert any(name.startswith("calls.sqlite") for name in names)
    assert [str(path) for path in files if KEY.encode() in path.read_bytes()] == []


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError, match=r"supervisor\.base_url holds a name or password.*OPENAI_API_KEY") as caught:
        load(["supervisor=openai", "supervisor.base_url=https://me:pass-word@host.example/v1"])
    assert "pass-word" not in str(caught.value)
