"""GSM8K through lm-eval: what counts as the right number, by hand."""

import json

import pytest

from autoif.errors import DataError
from autoif.generation.base import Completion
from evaluation import gsm8k

pytest.importorskip("lm_eval")

# (gold, answer, flexible, strict)
CASES = [
    ("18", "She makes 9 * 2 = $18 a day.", 1, 0),
    ("18", "The answer is 18.", 1, 1),
    ("18", "The answer is 18. Check: 18 / 2 = 9", 0, 1),
    ("1234", "That is $1,234.", 1, 0),
    ("1234", "The answer is 1,234.", 1, 1),
    ("7", "So 7", 1, 0),
    ("7", "So 7.0 in all", 0, 0),
    ("-5", "It drops to -5", 1, 0),
    ("5", "It drops to -5", 0, 0),
    ("3", "No idea.", 0, 0),
    ("3", "", 0, 0),
    ("20", "<<16-3=13>>13\n#### 20", 1, 0),
]


class Script:
    identity = "script"

    def __init__(self):
        self.asked = []

    def generate(self, requests):
        for request, case in zip(requests, CASES, strict=False):
            self.asked.append(request)
            yield Completion(text=case[1])

    def close(self):
        pass


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "test.jsonl"
    rows = [{"question": f"Question {i}?", "answer": f"Because.\n#### {case[0]}"} for i, case in enumerate(CASES)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_last_number_counts_flexibly_and_the_phrase_strictly(path):
    script, facts = Script(), {}
    items = list(gsm8k.evaluate(script, path, model="m", facts=facts))
    found = [(item.scores["flexible_extract"], item.scores["strict_match"]) for item in items]
    assert found == [(flexible, strict) for _, _, flexible, strict in CASES]
    assert script.asked[0].messages[0].content == "Q: Question 0?\nA: Let's think step by step."
    assert "Q:" in script.asked[0].sampling.stop
    assert facts["sample"] is False


def test_existing_answers_are_scored_by_place_or_question(path, tmp_path):
    given = tmp_path / "given.jsonl"
    rows = [{"key": 1, "response": "18"}, {"prompt": "Question 0?", "response": "18"}]
    given.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="no answer for: 2, 3, 4, 5, 6 and 5 more"):
        list(gsm8k.rescore(given, path, model="m"))
    facts = {}
    items = list(gsm8k.rescore(given, path, model="m", partial=True, facts=facts))
    assert [(item.id, item.scores["flexible_extract"]) for item in items] == [("0", 1.0), ("1", 1.0)]
    assert facts["notes"][0].startswith("answers stand in another order")


def test_a_row_without_a_gold_number_is_named(tmp_path):
    path = tmp_path / "g.jsonl"
    path.write_text('{"question": "q", "answer": "18"}\n')
    with pytest.raises(DataError, match=r"g\.jsonl:1: the answer does not end with"):
        gsm8k.questions(path)


def test_the_authors_file_of_solutions_is_scored_model_by_model_and_by_the_mark(tmp_path):
    pytest.importorskip("lm_eval")
    from evaluation.rescoring import Existing, rescore

    questions = [{"question": f"What is {n} + 1?", "answer": f"So.\n#### {n + 1}"} for n in (999, 2)]
    path = tmp_path / "gsm8k/test.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in questions))
    said = {"6b": ["It is 1,000.\n#### 1,000", "#### 4"], "175b": ["#### 1000", "It is 3."]}
    rows = [
        {"question": row["question"], "ground_truth": row["answer"]}
        | {model: {"solution": texts[n], "is_correct": True} for model, texts in said.items()}
        for n, row in enumerate(questions)
    ]
    file = tmp_path / "solutions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"benchmark": "gsm8k", "data_dir": str(tmp_path), "responses": file}
    values = {(r.model, r.metric): r.value for r in rescore(Existing(model=None, **given)).results}
    assert (values["6b", "marked_answer"], values["6b", "flexible_extract"]) == (0.5, 0.5)
    assert (values["175b", "marked_answer"], values["175b", "flexible_extract"]) == (0.5, 1.0)
    with pytest.raises(DataError, match="has no solutions of 9b: there are some of 6b, 175b"):
        rescore(Existing(model="9b", **given))
