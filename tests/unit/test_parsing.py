"""Reading model output: nothing crashes it or makes it slow, and what it accepts is what the model meant."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoif.synthesis import parsing

READERS = [
    parsing.verifier_reply,
    parsing.score,
    parsing.nli_label,
    parsing.lines,
    parsing.sentence,
    parsing.source,
    lambda text: list(parsing.json_objects(text)),
]
EVALUATE = "def evaluate(response):\n    return response.islower()"

# Pieces that parsers stumble over, beside any text at all (lone surrogates included).
PIECES = st.sampled_from(
    [
        *"{}[]\"'\\\n,:\0\u2028²٣\ud83d",
        "\\u",
        "\\ud83d",
        "```",
        "```json\n",
        "True",
        "null",
        "score:",
        "Score (1-10): ",
        " " * 40,
        "10/0",
        "9" * 30,
        "func",
        '"func": "def evaluate(response)"',
        '"cases": [',
        "entailment",
    ]
)
TEXT = st.lists(st.one_of(PIECES, st.text(st.characters(codec=None), max_size=8)), max_size=30).map("".join)


@settings(max_examples=400, deadline=None)
@given(TEXT)
def test_no_text_makes_a_reader_raise(text):
    for read in READERS:
        read(text)


@settings(max_examples=200, deadline=None)
@given(TEXT)
def test_what_is_read_can_be_written_as_utf_8(text):
    found = parsing.verifier_reply(text)
    if found is not None:
        json.dumps(found, ensure_ascii=False).encode()


N = 100_000
LONG = {
    "openings": "{" * N,
    "balanced": "{" * (N // 2) + "}" * (N // 2),
    "deep objects": '{"a":' * (N // 6) + "1" + "}" * (N // 6),
    "deep lists": "{" + "[" * (N // 2) + "]" * (N // 2) + "}",
    "deep invalid Python": "{" * 190 + "1 1" + "}" * 190,
    "nested parentheses": "{" + "(" * 190 + "1 1" + ")" * 190 + "}",
    "unterminated string": '{"' + "a" * N,
    "escaped quotes": '{"' + '\\"' * (N // 2),
    "strings": "{" + '"a" ' * (N // 4) + "}",
    "commas": "{" + ", " * (N // 2) + "}",
    "signs": "{" + "-" * N + "1}",
    "sum": "{" + "1+" * (N // 2) + "1}",
    "open fences": "```\n{" * (N // 5),
    "backticks": "`" * N,
    "fence and spaces": "```" + " " * N,
    "fence and letters": "```" + "a" * N,
    "spaces": " " * N,
    "newline and spaces": "a\n" + " " * N + "b",
    "newlines": "a" + "\n" * N + "b",
    "dashes": "-" * N,
    "scores": "score" * (N // 5),
    "score and spaces": "score" + " " * (N // 2) + "is" + " " * (N // 2),
    "score in parentheses": "score (" * (N // 7),
    "digits": "score: 1/" + "9" * N,
    "quotes": "'" * N,
}


@pytest.mark.parametrize("name", LONG)
def test_a_hundred_kilobytes_of_anything_are_read_in_a_second(name):
    started = time.process_time()
    for read in READERS:
        read(LONG[name])
    assert time.process_time() - started < 1.5


REPLY = {"func": EVALUATE, "cases": [{"input": "a {b}", "output": True}, {"input": 'C "d"', "output": False}]}
READ = (EVALUATE, [("a {b}", True), ('C "d"', False)])
BARE = json.dumps(REPLY)


@pytest.mark.parametrize(
    "reply",
    [
        BARE,
        json.dumps(REPLY, indent=2),
        f"```json\n{BARE}\n```",
        f"Here you are:\n```JSON  \n{BARE}\n```\nIt checks the case.",
        f"```\n{BARE}",
        f"Sure! {BARE} I hope {{this}} helps.",
        BARE.replace("\\n", "\n"),
        BARE.replace("}]", "},]").replace("]}", "],}"),
        BARE.replace("true", "True").replace("false", "False"),
        BARE.replace("true", '"true"').replace("false", '"False"'),
        f'{{"thought": "a function", "steps": []}}\n{BARE}',
        str(REPLY),
        json.dumps({**REPLY, "func": f"```python\n{EVALUATE}\n```"}),
        json.dumps({**REPLY, "func": EVALUATE.replace("\n", "\r\n")}),
    ],
)
def test_upstream_fault_9_json_in_any_dress_is_read(reply):
    assert parsing.verifier_reply(reply) == READ


SPELLINGS = {
    True: ["true", '"True"', '"true"', '"TRUE "', "True", '"yes"'],
    False: ["false", '"False"', '"false"', "False", '"no"'],
}


@pytest.mark.parametrize(("spelling", "value"), [(s, value) for value in SPELLINGS for s in SPELLINGS[value]])
def test_upstream_fault_3_expected_outputs_as_words_are_booleans(spelling, value):
    reply = f'{{"func": "def evaluate(response): return True", "cases": [{{"input": "x", "output": {spelling}}}]}}'
    assert parsing.verifier_reply(reply) == ("def evaluate(response): return True", [("x", value)])


@pytest.mark.parametrize("spelling", ["1", "0", "null", '"maybe"', "[true]", '"True or False"', "1.0"])
def test_a_case_whose_output_is_no_boolean_is_left_out(spelling):
    reply = f'{{"func": "def evaluate(response): return True", "cases": [{{"input": "x", "output": {spelling}}}]}}'
    assert parsing.verifier_reply(reply) == ("def evaluate(response): return True", [])


@pytest.mark.parametrize(
    "case", ['"x"', "3", "null", '{"output": true}', '{"input": 3, "output": true}', '{"input": "x"}']
)
def test_a_malformed_case_costs_only_itself(case):
    reply = f'{{"func": "def evaluate(r): return r", "cases": [{case}, {{"input": "x", "output": true}}]}}'
    assert parsing.verifier_reply(reply) == ("def evaluate(r): return r", [("x", True)])


def test_upstream_fault_4_lines_that_mention_requests_or_download_stay():
    code = 'def evaluate(response):\n    # many requests download this\n    return "requests" in response.download()'
    assert parsing.verifier_reply(json.dumps({"func": code, "cases": []})) == (code, [])


def test_regex_escapes_that_json_does_not_know_mean_themselves():
    reply = r"""{"func": "import re\ndef evaluate(r):\n    return re.match('\d+\.\s', r.strip(\'x\'))", "cases": []}"""
    code = "import re\ndef evaluate(r):\n    return re.match('\\d+\\.\\s', r.strip('x'))"
    assert parsing.verifier_reply(reply) == (code, [])


def test_text_in_strings_is_never_mended():
    code = 'def evaluate(r):\n    return r in ["True, ]", "None,}", "a,\\n]"]'
    reply = json.dumps({"func": code, "cases": [{"input": "None, }", "output": True}]}).replace("true}", "True,}")
    assert parsing.verifier_reply(reply) == (code, [("None, }", True)])


def test_backticks_inside_code_are_not_a_fence():
    code = 'def evaluate(response):\n    return "```\\n" in response and response.count("```") == 2'
    assert parsing.verifier_reply(f"```json\n{json.dumps({'func': code, 'cases': []})}\n```") == (code, [])
    assert parsing.source(f'FENCE = """```\nx\n```"""\n{code}') == f'FENCE = """```\nx\n```"""\n{code}'


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot do that.",
        "{}",
        "[]",
        '{"func": 3, "cases": []}',
        '{"func": "print(1)", "cases": []}',
        BARE[:-30],
        "```json\n```",
        "null",
    ],
)
def test_a_reply_without_a_function_is_none(reply):
    assert parsing.verifier_reply(reply) is None


@settings(max_examples=150, deadline=None)
@given(
    body=st.text(st.characters(codec="utf-8", exclude_characters="\r`"), max_size=60),
    cases=st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=40), st.booleans()), max_size=4),
    indent=st.sampled_from([None, 2]),
    fenced=st.booleans(),
    ascii_only=st.booleans(),
)
def test_what_was_accepted_round_trips(body, cases, indent, fenced, ascii_only):
    code = "def evaluate(response):\n    return " + repr(body)
    items = [{"input": text, "output": expected} for text, expected in cases]
    reply = json.dumps({"func": code, "cases": items}, indent=indent, ensure_ascii=ascii_only)
    fence = "```" not in reply
    first = parsing.verifier_reply(f"```json\n{reply}\n```" if fenced and fence else reply)
    assert first == (code, cases)
    again = json.dumps({"func": first[0], "cases": [{"input": t, "output": e} for t, e in first[1]]})
    assert parsing.verifier_reply(again) == first


def test_half_a_surrogate_pair_becomes_a_replacement_character():
    case = '{"input": "\\udc00 \\ud83d\\ude00", "output": true}'
    reply = f'{{"func": "def evaluate(r): return r == \'\\ud83d\'", "cases": [{case}]}}'
    assert parsing.verifier_reply(reply) == ("def evaluate(r): return r == '\ufffd'", [("\ufffd 😀", True)])


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Score: 9.5", 9.5),
        ("Score: 9,5", 9.5),
        ("Score: 10/10", 10),
        ("**Score:** 9", 9),
        ("**Score: 9**", 9),
        ("Score: **7**/10", 7),
        ("Good answer.\nScore: 8\nThank you!", 8),
        ("score is 6", 6),
        ("SCORE - 7", 7),
        ("Score: [4]", 4),
        ("Score: 9 out of 10", 9),
        ("Score: 4/5", 8),
        ("Score: 95/100", 9.5),
        ("Score (1-10): 9", 9),
        ("Score (out of 10): 3", 3),
        ("A score of ten is rare. Score: 3\nFinal Score: 8", 8),
        ("Score: 0", 0),
    ],
)
def test_upstream_fault_8_scores_are_read_as_models_write_them(reply, value):
    assert parsing.score(reply) == value


@pytest.mark.parametrize(
    "reply", ["", "9", "Score: N", "Score: eleven", "Score: 11", "Score: -1", "Score: 12/10", "Score: 3 Score: 99"]
)
def test_no_score_or_one_off_the_scale_is_none(reply):
    assert parsing.score(reply) is None


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("contradiction", "contradiction"),
        ("Neutral.", "neutral"),
        ("**Entailment**: they ask the same", "entailment"),
        ("The relation is a contradiction.", "contradiction"),
        ("entailment, not contradiction", "entailment"),
        ("neutral or contradiction", "neutral"),
        ("It is entailment rather than contradiction", None),
        ("no idea", None),
        ("", None),
    ],
)
def test_nli_labels_are_read_when_they_are_unambiguous(reply, label):
    assert parsing.nli_label(reply) == label


def test_list_items_lose_their_markers_and_nothing_else():
    reply = (
        '- Use "a" twice.\n* Write it (in red).\n3. End with 3.\n(4) Start low.\n```\n\n"Quote it."\n-5 degrees stay\n'
    )
    assert parsing.lines(reply) == [
        'Use "a" twice.',
        "Write it (in red).",
        "End with 3.",
        "Start low.",
        "Quote it.",
        "-5 degrees stay",
    ]


def test_a_back_translation_is_its_first_paragraph_on_one_line():
    assert (
        parsing.sentence('\n\nInstruction: "Answer in\nlower case."\n\nThe code calls islower.')
        == '"Answer in lower case."'[1:-1]
    )
    assert parsing.sentence(" \n ") == ""
