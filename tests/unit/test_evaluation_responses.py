"""Existing answers are paired by what they say they answer; whatever does not fit is named."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoif.errors import DataError, RecordingMissError
from autoif.generation.base import Request, Sampling, user
from evaluation.responses import Given, Question, ReplayGenerator, align, read_responses

QUESTIONS = [
    Question(str(key), f"Question number {key}: say something about the {thing} in one line.")
    for key, thing in enumerate(["sea", "mountain", "forest", "river", "desert"], 1000)
]


def answers(*indices, **changes):
    return [Given(line, f"answer {i}", prompt=QUESTIONS[i].prompt, **changes) for line, i in enumerate(indices, 1)]


def aligned(given_answers):
    return align(QUESTIONS, given_answers, "answers.jsonl")


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(5)))
def test_order_does_not_change_what_is_scored_but_is_noted(order):
    found = aligned(answers(*order)).check()
    assert found.responses == {QUESTIONS[i].id: f"answer {i}" for i in range(5)}
    assert bool(found.notes()) == (list(order) != sorted(order))
    if found.notes():
        first = next(i for at, i in enumerate(order) if at != i)
        assert QUESTIONS[first].id in found.notes()[0]


def test_missing_answers_are_named_and_allowed_only_on_request():
    found = aligned(answers(0, 1, 4))
    with pytest.raises(DataError, match="no answer for: 1002, 1003"):
        found.check()
    assert found.check(partial=True).notes() == ["2 questions have no answer: 1002, 1003"]


def test_no_answer_at_all_is_not_a_partial_file():
    with pytest.raises(DataError, match="no answer for"):
        aligned([]).check(partial=True)


def test_duplicated_answers_are_named_with_their_line():
    with pytest.raises(DataError, match=r"answers a question twice: 1001 \(line 6\)"):
        aligned(answers(0, 1, 2, 3, 4, 1)).check()


def test_foreign_answers_are_named():
    stranger = Given(6, "answer", prompt="What is the capital of France?")
    with pytest.raises(DataError, match=r"no question of the benchmark: 'What is the capital of France\?' \(line 6\)"):
        aligned([*answers(0, 1, 2, 3, 4), stranger]).check()


def test_shifted_keys_are_contradictions():
    shifted = [Given(i + 1, f"answer {i}", key=QUESTIONS[i].id, prompt=QUESTIONS[i - 1].prompt) for i in range(5)]
    with pytest.raises(DataError, match=r"different questions: line 1 \(key 1000, prompt of 1004\)"):
        aligned(shifted).check()


def test_an_older_wording_is_used_and_noted():
    old = Given(3, "answer 2", prompt=QUESTIONS[2].prompt.replace("say something", "say some thing"))
    found = aligned(
        [
            *answers(0, 1),
            old,
            *answers(3, 4)[0:0],
            Given(4, "a", prompt=QUESTIONS[3].prompt),
            Given(5, "b", prompt=QUESTIONS[4].prompt),
        ]
    ).check()
    assert found.responses["1002"] == "answer 2"
    assert found.notes() == ["prompts worded differently from the benchmark's: 1002"]


def test_a_wording_near_two_open_questions_is_foreign():
    questions = [
        Question("a", "Write a poem about a cat, please, in four lines."),
        Question("b", "Write a poem about a bat, please, in four lines."),
    ]
    found = align(questions, [Given(1, "x", prompt="Write a poem about a rat, please, in four lines.")], "file")
    assert found.foreign
    assert found.missing == ["a", "b"]


def test_many_faults_are_counted_not_listed():
    questions = [Question(str(i), f"{i}") for i in range(100)]
    with pytest.raises(DataError, match="0, 1, 2, 3, 4 and 95 more"):
        align(questions, [], "file").check()


def write(path, *rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_null_is_an_empty_answer_and_odd_separators_do_not_split_rows(tmp_path):
    text = "one\u2028two\x85three"
    path = write(tmp_path / "r.jsonl", {"prompt": "p", "response": None}, {"key": 7, "response": text})
    first, second = read_responses(path)
    assert (first.prompt, first.response) == ("p", "")
    assert (second.key, second.response, second.line) == ("7", text, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "p"}], "r.jsonl:1: has no response"),
        ([{"response": "r"}], "r.jsonl:1: neither key nor prompt"),
        ([{"prompt": "p", "response": ["r"]}], "r.jsonl:1: prompt and response must be texts"),
        (["text"], "r.jsonl:1: not a JSON object"),
        ([], "holds no responses"),
    ],
)
def test_malformed_files_are_named_with_the_line(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_responses(write(tmp_path / "r.jsonl", *rows))


def test_a_missing_file_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"evaluation\.responses takes a JSONL file"):
        read_responses(tmp_path / "none.jsonl")


def test_replay_answers_by_prompt_and_misses_loudly():
    replay = ReplayGenerator({"a": "1", "b": "2"})
    requests = [Request(messages=user(text), sampling=Sampling()) for text in ("b", "a")]
    assert [answer.text for answer in replay.generate(requests)] == ["2", "1"]
    with pytest.raises(RecordingMissError, match="'c'"):
        list(replay.generate([Request(messages=user("c"), sampling=Sampling())]))
    assert replay.identity == ReplayGenerator({"b": "2", "a": "1"}).identity != ReplayGenerator({"a": "12"}).identity


def test_samples_that_lm_eval_logged_are_read_once_for_all_filters(tmp_path):
    rows = [
        {"doc_id": 0, "doc": {"key": 7, "prompt": "p"}, "resps": [["a"]], "filter": "none"},
        {"doc_id": 1, "doc": {"question": "q"}, "resps": [["b"]], "filter": "none"},
        {"doc_id": 0, "doc": {"key": 7, "prompt": "p"}, "resps": [["a"]], "filter": "strict"},
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [(g.key, g.prompt, g.response) for g in read_responses(path)] == [("7", "p", "a"), (None, "q", "b")]
    path.write_text(json.dumps({"doc": {}, "resps": []}) + "\n")
    with pytest.raises(DataError, match="holds no response"):
        read_responses(path)
