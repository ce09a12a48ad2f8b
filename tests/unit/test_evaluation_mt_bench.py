"""MT-Bench: two turns, references, ratings as published, and means worked out by hand."""

import json
import os
from collections import Counter

import pytest

from autoif.errors import DataError
from autoif.generation.base import Completion
from evaluation import mt_bench
from evaluation.judge import Judge
from evaluation.mt_bench import Item, JudgePrompt
from evaluation.summary import collect, results

ITEMS = [
    Item("81", "writing", ("Write about tea.", "Shorter.")),
    Item("111", "math", ("Add 1 and 2.", "Double it."), ("three", "six")),
]
PROMPTS = {
    (False, 1): JudgePrompt("sys", "grade {question} | {answer}"),
    (True, 1): JudgePrompt("sys", "grade {question} | {ref_answer_1} | {answer}"),
    (False, 2): JudgePrompt("sys", "grade {question_1} {answer_1} {question_2} {answer_2}"),
    (True, 2): JudgePrompt("sys", "{ref_answer_1} {ref_answer_2} | {answer_1} | {answer_2} | {question_2}"),
}


class Scripted:
    """An engine that answers by a function of the messages."""

    identity = "scripted"

    def __init__(self, reply):
        self.reply, self.asked = reply, []

    def generate(self, requests):
        for request in requests:
            self.asked.append(request)
            yield Completion(text=self.reply([message.content for message in request.messages]))

    def close(self):
        pass


def table(items):
    return {result.metric: result for result in results(collect(items))}


def test_the_second_turn_is_asked_with_the_first_answer_and_temperature_follows_the_category():
    engine = Scripted(lambda messages: f"answer {len(messages)}")
    answered = mt_bench.generate(engine, ITEMS)
    assert [replies for _, replies in answered] == [("answer 1", "answer 3")] * 2
    assert [m.content for m in engine.asked[2].messages] == ["Write about tea.", "answer 1", "Shorter."]
    assert [request.sampling.temperature for request in engine.asked] == [0.7, 0.0, 0.7, 0.0]


def test_references_are_shown_where_the_category_has_them():
    def content(item, turn):
        return mt_bench.judge_messages(PROMPTS, item, ("one {answer_2}", "two"), turn)[1].content

    assert content(ITEMS[0], 1) == "grade Write about tea. | one {answer_2}"
    assert content(ITEMS[1], 1) == "grade Add 1 and 2. | three | one {answer_2}"
    assert content(ITEMS[1], 2) == "three six | one {answer_2} | two | Double it."


@pytest.mark.parametrize(
    ("judgment", "rating"),
    [
        ("Rating: [[7]]", 7.0),
        ("[[8.5]] though [[3]]", 8.5),
        ("so [6]", 6.0),
        ("[1] is wrong, so [[2]]", 2.0),
        ("Rating: [[N/A]]", None),
        ("ten", None),
    ],
)
def test_ratings_are_read_as_published(judgment, rating):
    assert mt_bench.parse(judgment) == rating


def test_scores_are_means_over_rated_turns():
    ratings = iter(["[[8]]", "[[4]]", "no idea", "[[6]]", "still none"])
    judge = Judge(Scripted(lambda _: next(ratings)))
    found = table(mt_bench.score([(item, ("a", "b")) for item in ITEMS], judge, PROMPTS, "m"))
    assert found["score"].value == pytest.approx((8 + 4 + 6) / 3)
    assert (found["score/turn_1"].value, found["score/turn_2"].value) == (6.0, 6.0)
    assert (found["score/writing"].value, found["score/math"].value) == (8.0, 5.0)
    assert (found["score"].n, found["score/turn_2"].n) == (3, 1)
    assert (judge.retried, judge.unparsable) == (1, 1)


def grade_row(question, turn, score, model="m"):
    return {"question_id": question, "model": model, "judge": ["gpt-4", "single-v1"], "turn": turn, "score": score}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


ROWS = [grade_row(81, 1, 9), grade_row(81, 2, -1), grade_row(111, 1, 4), grade_row(111, 2, 5.5)]


def test_published_grades_are_aggregated_for_one_model(tmp_path):
    path = write(tmp_path / "gpt-4_single.jsonl", [*ROWS, grade_row(81, 1, 1, model="other")])
    found = table(mt_bench.rescore(mt_bench.read_judgments(path), ITEMS, "m"))
    assert found["score"].value == pytest.approx((9 + 4 + 5.5) / 3)
    assert found["score"].judge == "gpt-4"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:3], "no judgment of m on question 111 turn 2"),
        ([*ROWS, ROWS[2]], "turn 1 of question 111 of m is judged twice"),
        ([*ROWS, grade_row(99, 1, 3)], "no question 99"),
        ([grade_row(81, 1, 3, model="llama")], "no judgment of m; there are some of llama"),
        ([grade_row(81, 3, 3)], r"j:1: turn 3 with score 3"),
        ([grade_row(81, 1, "9")], r"j:1: turn 1 with score '9'"),
    ],
)
def test_judgments_that_do_not_fit_are_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        mt_bench.rescore(mt_bench.read_judgments(write(tmp_path / "j", rows)), ITEMS, "m")


def answer_row(question, *turns):
    return {"question_id": question, "model_id": "m", "choices": [{"index": 0, "turns": list(turns)}]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([answer_row(81, "a", "b")], "no answer for: 111"),
        ([answer_row(81, "a", "b"), answer_row(81, "a", "b"), answer_row(111, "a", "b")], "twice: 81"),
        ([answer_row(81, "a", "b"), answer_row(111, "a", "b"), answer_row(5, "a", "b")], r"5 \(line 3\)"),
        ([answer_row(81, "a")], "question 81 has 1 answers to 2 turns"),
    ],
)
def test_answers_that_do_not_fit_are_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        mt_bench.read_answers(write(tmp_path / "a", rows), ITEMS)


def test_answers_are_read_by_question(tmp_path):
    path = write(tmp_path / "a", [answer_row(111, "x", None), answer_row(81, "a", "b")])
    assert mt_bench.read_answers(path, ITEMS) == {"111": ("x", ""), "81": ("a", "b")}


@pytest.mark.skipif("AUTOIF_DATA_DIR" not in os.environ, reason="AUTOIF_DATA_DIR is not set: no published questions")
def test_the_published_files_fit_together():
    data = os.environ["AUTOIF_DATA_DIR"]
    items, prompts = mt_bench.load(data), mt_bench.load_prompts(data)
    assert Counter(item.category for item in items) == dict.fromkeys(
        ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"), 10
    )
    assert sum(bool(item.references) for item in items) == 30
    for item in items:
        for turn in (1, 2):
            system, asked = mt_bench.judge_messages(prompts, item, ("FIRST", "SECOND"), turn)
            assert system.role == "system"
            assert item.turns[turn - 1] in asked.content
            assert ("FIRST", "SECOND")[turn - 1] in asked.content
            assert not item.references or item.references[turn - 1] in asked.content


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"reference_answer_gpt-4\.jsonl is missing"):
        mt_bench.load(tmp_path)
