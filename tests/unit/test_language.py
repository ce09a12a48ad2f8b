"""The language of a query, told well enough to filter a list by it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import context, reasons, split

from autoif.config import QueriesConfig, QuerySource
from autoif.synthesis.language import LANGUAGES, language
from autoif.synthesis.prompts import shipped
from autoif.synthesis.queries import load_queries


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What is the best way to learn how to cook?", "en"),
        ("Wie lerne ich am besten, wie man eine gute Suppe kocht?", "de"),
        ("Comment est-ce que je peux apprendre à faire la cuisine ?", "fr"),
        ("¿Cómo puedo aprender a cocinar en casa con mi hijo?", "es"),
        ("Come posso imparare a cucinare con la mia famiglia?", "it"),
        ("Como eu posso aprender a cozinhar em casa com você?", "pt"),
        ("Hoe kan ik het beste leren koken voor mijn familie?", "nl"),
        ("Как мне научиться готовить борщ?", "ru"),
        ("请告诉我怎么做饭", "zh"),
        ("料理の作り方を教えてください", "ja"),
        ("요리하는 방법을 알려 주세요", "ko"),
        ("كيف أتعلم الطبخ؟", "ar"),
        ("4 + 4 = ?", None),
        ("", None),
    ],
)
def test_everyday_questions_are_told_apart(text, code):
    assert language(text) == code
    assert code is None or code in LANGUAGES


def test_the_shipped_queries_are_english():
    lines = [line for line in shipped("queries.txt").read_text(encoding="utf-8").split("\n") if line.strip()]
    assert sum(language(line) == "en" for line in lines) >= 0.99 * len(lines)


@given(st.text())
def test_no_text_is_too_strange(text):
    assert language(text) in LANGUAGES | {None}


def test_queries_of_other_languages_are_counted_and_left_out(tmp_path):
    path = tmp_path / "dump.jsonl"
    texts = [
        "What is the best soup that I can cook?",
        "Wie koche ich denn eine gute Suppe?",
        "如何在家里做一碗好喝的鸡汤面条给家人吃呢请告诉我",
    ]
    rows = [{"conversations": [{"from": "human", "value": text}]} for text in texts]
    path.write_text("\n".join(map(json.dumps, rows)))
    config = QueriesConfig(source=QuerySource.sharegpt, path=str(path), heldout=0, languages=["en", "de"])
    kept, dropped = split(load_queries(context(config)))
    assert [query.text for query in kept] == texts[:2]
    assert [(drop.reason, drop.detail) for drop in dropped] == [("language", "zh")]
    assert reasons(dropped) == ["language"]
