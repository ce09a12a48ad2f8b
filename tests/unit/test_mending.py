"""Code that JSON distorted is mended; code that parses is never touched, and nothing else becomes code."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import context, instruction, split, verifier_json

from autoif.config import WriteVerifiersConfig
from autoif.interchange.upstream import Kind, read
from autoif.synthesis.mending import mend, parses
from autoif.synthesis.write_verifiers import write_verifiers

BROKEN = "def evaluate(response):\n    return len(response.split('\n')) == 2  # it's two"
MEANT = "def evaluate(response):\n    return len(response.split('\\n')) == 2  # it's two"


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        (BROKEN, MEANT),
        ('def evaluate(r):\n    return "\n- " in r', 'def evaluate(r):\n    return "\\n- " in r'),
        (
            "def evaluate(r):\n    import re\n    return re.match(r'^a\n$', r)",
            "def evaluate(r):\n    import re\n    return re.match(r'^a\\n$', r)",
        ),
        (
            'def evaluate(r):\n    """It\'s\n    fine."""\n    return "a\nb" in r',
            'def evaluate(r):\n    """It\'s\n    fine."""\n    return "a\\nb" in r',
        ),
        (r"def evaluate(r):\n    return r.islower()", "def evaluate(r):\n    return r.islower()"),
        (r"def evaluate(r):\n    return '\\n' in r", "def evaluate(r):\n    return '\\n' in r"),
    ],
)
def test_what_was_meant_is_written(code, meant):
    assert not parses(code)
    assert mend(code) == meant


@pytest.mark.parametrize(
    "code", ["def evaluate(r):\n    return '", "def evaluate(r:\n    pass", "\x00", "((((" * 500, "# it's\n)"]
)
def test_what_cannot_be_told_stays_as_it_is_and_is_refused_by_name_later(code):
    assert mend(code) == code


@settings(max_examples=300)
@given(st.text(st.sampled_from("abc'\"\\\n\t #()=:def return"), max_size=40))
def test_no_code_is_too_broken_and_none_that_parses_is_touched(code):
    mended = mend(code)
    assert mended == code if parses(code) else parses(mended) or mended == code
    assert mend(mended) == mended


def test_replies_and_imported_replies_are_mended_where_the_setting_says_so(tmp_path):
    reply = verifier_json(BROKEN, ("a\nb", True))
    path = tmp_path / "file.jsonl"
    path.write_text(json.dumps({"instruction": "Use two lines", "gpt-answer": [reply]}))
    for wanted, code in ((True, MEANT), (False, BROKEN)):
        made = context(WriteVerifiersConfig(samples=1, mend=wanted), lambda request: reply)
        (row,), _ = split(write_verifiers(made, [instruction()]))
        assert row.functions[0].code == code
        (row,) = read(Kind.eval_func_rft, path, mended=wanted)
        assert row.functions[0].code == code
