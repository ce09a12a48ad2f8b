"""IFBench: the checkers of an installed package, strict and loose, seeded, and what they lack is named."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from autoif.errors import DataError, MissingExtraError
from evaluation import ifbench
from evaluation.rescoring import Existing, rescore


class Checker:
    """A made-up constraint: the answer has a word; ``break`` fails as a checker does on what it did not expect."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build_description(self, word: str | None = None, prompt: str | None = None) -> None:
        self.word = word or random.choice("abcdefgh")
        self.prompt = prompt

    def get_instruction_args(self) -> dict[str, Any] | None:
        return {"prompt": None} if self.name == "echo" else None

    def check_following(self, reply: str) -> bool:
        if self.name == "nltk":
            raise LookupError("Resource stopwords not found: use the NLTK downloader")
        if self.name == "break":
            return bool(reply.split("|")[1])
        return reply == self.prompt if self.name == "echo" else self.word in reply.split("\n")[0]


CLASSES = dict.fromkeys(("has", "echo", "nltk", "break"), Checker)


def item(id: str, *names: str, word: str | None = "yes") -> ifbench.Item:
    given = {"word": word} if word else {}
    return ifbench.Item(id, f"Prompt {id}", names, tuple(given for _ in names))


def test_loose_takes_lines_and_asterisks_off() -> None:
    strict, loose = ifbench.followed(CLASSES, item("1", "has"), "Sure:\nyes")
    assert (strict, loose) == ([False], [True])
    assert len(ifbench.variants("a\nb\nc")) == 8
    assert {"b\nc", "a\nb", "b"} <= set(ifbench.variants("a\nb\nc"))


def test_an_open_argument_is_drawn_alike_whatever_was_drawn_before() -> None:
    first = ifbench.followed(CLASSES, item("7", "has", word=None), "abcd")
    random.random()
    assert ifbench.followed(CLASSES, item("7", "has", word=None), "abcd") == first


def test_a_checker_that_needs_the_prompt_gets_it_and_one_that_breaks_is_not_followed() -> None:
    assert ifbench.followed(CLASSES, item("1", "echo"), "Prompt 1") == ([True], [True])
    assert ifbench.followed(CLASSES, item("1", "break"), "no bar") == ([False], [False])
    assert ifbench.followed(CLASSES, item("1", "has"), " ") == ([False], [False])


def test_items_without_their_resource_are_left_out_and_named() -> None:
    facts: dict[str, Any] = {}
    answered = [(item("1", "has"), "yes"), (item("2", "nltk"), "yes")]
    (scored,) = ifbench.score(CLASSES, answered, "m", facts)
    assert (scored.id, scored.scores["prompt_level_loose_acc"], scored.labels) == ("1", 1.0, ("has",))
    assert facts["sample"]
    assert "1 items are left out" in facts["notes"][0]
    assert "2 (nltk)" in facts["notes"][0]


def test_an_unknown_constraint_is_named() -> None:
    with pytest.raises(DataError, match="do not know the instruction new of item 1"):
        list(ifbench.score(CLASSES, [(item("1", "new"), "x")], "m", {}))


def test_without_a_checker_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifbench, "_CHECKERS", ("no_such_package.registry",))
    assert ifbench.package_missing() == "IFBench's checker is not installed: pip install 'autoif[ifbench]'"
    with pytest.raises(MissingExtraError, match=r"autoif\[ifbench\]"):
        ifbench.checkers(None)


def test_existing_answers_are_scored_by_the_installed_checkers(tmp_path: Path) -> None:
    pytest.importorskip("if_verifiable")
    rows = [
        {"key": str(n), "prompt": f"Name {n} keywords.", "instruction_id_list": ["count:numbers"], "kwargs": [{"N": n}]}
        for n in (1, 2)
    ]
    path = tmp_path / ifbench.SOURCE.file
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"prompt": row["prompt"], "response": "I have 7."}) + "\n" for row in rows))
    found = rescore(Existing(benchmark="ifbench", model="m", data_dir=str(tmp_path), responses=answers))
    assert {r.metric: r.value for r in found.results}["prompt_level_loose_acc"] == 0.5
