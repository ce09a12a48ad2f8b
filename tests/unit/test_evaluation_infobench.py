"""InfoBench: what the judge is shown and asked, and DRFR by hand."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from autoif.errors import DataError
from autoif.generation.base import Completion
from evaluation import infobench
from evaluation.infobench import Item
from evaluation.judge import Judge
from evaluation.summary import collect, results

ITEMS = [
    Item("a", "Name a fruit.", "basket", ("Is it a fruit?", "Is it red?"), "easy", ("Content", "Style")),
    Item("b", "Name a sea.", "", ("Is it a sea?", "Is it salty?", "Is it warm?"), "hard", ("Content",) * 3),
]
ANSWERS = [(ITEMS[0], "apple"), (ITEMS[1], "the Dead Sea")]


class Scripted:
    """A judge engine that answers each question from a table; anything else is not an answer."""

    identity = "scripted-judge"

    def __init__(self, **replies):
        self.replies, self.asked = replies, []

    def generate(self, requests):
        for request in requests:
            self.asked.append([message.content for message in request.messages])
            said = request.messages[-1].content
            reply = next((reply for word, reply in self.replies.items() if f"{word}?" in said), "Hard to say.")
            yield Completion(text=reply)

    def close(self):
        pass


def table(items):
    return {result.metric: result for result in results(collect(items))}


def test_drfr_is_over_questions_not_items():
    engine = Scripted(fruit="YES", red="No, green.", sea="Yes.", salty="YES", warm="yes")
    found = table(infobench.score(ANSWERS, Judge(engine), "m"))
    assert (found["drfr"].value, found["drfr"].n) == (0.8, 5)
    assert (found["drfr/easy"].value, found["drfr/hard"].value) == (0.5, 1.0)
    assert found["drfr"].judge == "scripted-judge"


def test_the_judge_sees_input_and_text_but_not_the_instruction_and_one_question_a_turn():
    engine = Scripted(fruit="YES", red="NO", sea="YES", salty="YES", warm="NO")
    list(infobench.score(ANSWERS, Judge(engine), "m"))
    first, second = engine.asked[0], engine.asked[2]
    assert "basket" in first[0]
    assert "apple" in first[0]
    assert "Name a fruit" not in first[0]
    assert first[0].endswith("Question: Is it a fruit?")
    assert second[1:] == ["YES", "Question: Is it red?"]
    assert "Input:" not in engine.asked[1][0]
    assert [len(talk) for talk in engine.asked] == [1, 1, 3, 3, 5]


def test_an_unparsable_reply_counts_as_no_and_the_rest_is_still_asked():
    judge = Judge(Scripted(fruit="YES", sea="YES", warm="YES", red="NO"))
    (_, sea) = infobench.score(ANSWERS, judge, "m")
    assert sea.detail == "YES ? YES"
    assert sea.parts["drfr"] == (1.0, 0.0, 1.0)
    assert (judge.retried, judge.unparsable) == (1, 1)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [("YES", True), ("Yes, it is", True), (" no.", False), ("I think YES", True), ("So NO", False),
     ("Either YES or NO", None), ("maybe yes", None), ("", None)],
)  # fmt: skip
def test_replies_are_read_as_published(reply, verdict):
    assert infobench.parse(reply) is verdict


def judgments(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_published_judgments_are_aggregated_and_gaps_are_said(tmp_path):
    path, facts = tmp_path / "DecomposeEval.json", {}
    judgments(path, {"id": "b", "output": "o", "eval": [True, None]}, {"id": "a", "output": "o", "eval": [True, False]})
    items = infobench.rescore(path, ITEMS, model="m", judge="gpt-4", facts=facts)
    assert table(items)["drfr"].value == pytest.approx(2 / 5)
    assert facts["notes"] == ["2 questions have no verdict and count as NO; the published script would print 0.5000"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"id": "a", "eval": [True, True]}], "no judgment of: b"),
        ([{"id": "a", "eval": []}, {"id": "a", "eval": []}], r":2: a is judged twice"),
        ([{"id": "z", "eval": []}], r":1: z is no item of InfoBench"),
        ([{"id": "a", "eval": [True] * 3}], "a has 3 verdicts on 2 questions"),
    ],
)
def test_judgments_that_do_not_fit_are_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        infobench.rescore(judgments(tmp_path / "j", *rows), ITEMS, model="m", judge="j", facts={})


def test_answers_are_paired_by_id(tmp_path):
    path = judgments(tmp_path / "o", {"id": "b", "output": "x"}, {"id": "a", "output": None})
    assert infobench.read_answers(path, ITEMS).check().responses == {"b": "x", "a": ""}


@pytest.mark.skipif("AUTOIF_DATA_DIR" not in os.environ, reason="AUTOIF_DATA_DIR is not set: no published items")
def test_the_published_file_has_the_published_shape():
    items = infobench.load(Path(os.environ["AUTOIF_DATA_DIR"]) / infobench.SOURCE.file)
    assert Counter(item.subset for item in items) == {"easy": 252, "hard": 248}
    assert sum(len(item.questions) for item in items) == 2250
    assert len({item.prompt for item in items}) == 500
