"""IFEval through lm-eval: our own small benchmark file everywhere, the published prompts where they are at hand."""

import json
import os
import random
from pathlib import Path

import pytest

from autoif.errors import DataError, EngineError
from autoif.generation.base import Completion, Failure
from evaluation import ifeval
from evaluation.data import IFEVAL

pytest.importorskip("lm_eval")
pytest.importorskip("nltk")

ROWS = [
    {
        "key": 1,
        "prompt": "Describe rain without any comma.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{}],
    },
    {
        "key": 2,
        "prompt": "Praise tea in at least 5 words, in capitals.",
        "instruction_id_list": ["length_constraints:number_words", "change_case:english_capital"],
        "kwargs": [{"relation": "at least", "num_words": 5}, {}],
    },
    {
        "key": 3,
        "prompt": "Use the letter # at least 2 times.",
        "instruction_id_list": ["keywords:letter_frequency"],
        "kwargs": [{"letter": "#", "let_frequency": 2, "let_relation": "at least"}],
    },
    {
        "key": 4,
        "prompt": "End with exactly: Goodbye",
        "instruction_id_list": ["startend:end_checker"],
        "kwargs": [{"end_phrase": "Goodbye"}],
    },
]
GOOD = {1: "It falls softly.", 2: "TEA IS A WARM AND KIND DRINK.", 3: "zzz", 4: "See you.\nGoodbye"}


class Scripted:
    """A generation engine that answers by prompt; remembers what it was asked."""

    identity = "scripted"

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def generate(self, requests):
        for request in requests:
            self.asked.append(request)
            answer = self.answers[request.messages[-1].content]
            yield answer if isinstance(answer, Failure) else Completion(text=answer)

    def close(self):
        pass


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """A data folder with the small benchmark; its rows need no sentence model, so an empty one will do."""
    import nltk

    (tmp_path / "ifeval").mkdir()
    (tmp_path / "nltk_data/tokenizers/punkt_tab").mkdir(parents=True)
    (tmp_path / IFEVAL.file).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.setenv("NLTK_DATA", os.environ.get("NLTK_DATA", ""))
    monkeypatch.setattr(nltk.data, "path", list(nltk.data.path))
    ifeval.prepare(str(tmp_path))
    return tmp_path


def scripted(**changes):
    return Scripted({row["prompt"]: changes.get(f"a{row['key']}", GOOD[row["key"]]) for row in ROWS})


def evaluated(data_dir, generator, **options):
    return list(ifeval.evaluate(generator, data_dir / IFEVAL.file, model="m", **options))


def test_items_keep_each_instruction_and_the_engine_sees_plain_messages(data_dir):
    generator, facts = scripted(a2="tea is a warm and kind drink."), {}
    items = evaluated(data_dir, generator, facts=facts, max_tokens=77)
    assert [item.id for item in items] == ["1", "2", "3", "4"]
    assert items[1].parts["inst_level_strict_acc"] == (1.0, 0.0)
    assert items[1].scores == {"prompt_level_strict_acc": 0.0, "prompt_level_loose_acc": 0.0}
    assert items[1].labels == ("length_constraints:number_words", "change_case:english_capital")
    assert items[0].scores["prompt_level_strict_acc"] == items[3].scores["prompt_level_strict_acc"] == 1.0
    assert [(m.role, m.content) for m in generator.asked[0].messages] == [("user", ROWS[0]["prompt"])]
    assert (generator.asked[0].sampling.temperature, generator.asked[0].sampling.max_tokens) == (0.0, 77)
    assert facts == {"lm_eval": facts["lm_eval"], "sample": False, "unanswerable": 0}


def test_loose_forgives_markdown_and_a_framing_line(data_dir):
    items = evaluated(data_dir, scripted(a4="**Goodbye**\nI hope that this is as you like it!"))
    assert items[3].scores == {"prompt_level_strict_acc": 0.0, "prompt_level_loose_acc": 1.0}


def test_limit_runs_a_marked_sample_and_asks_no_more(data_dir):
    generator, facts = scripted(), {}
    assert [item.id for item in evaluated(data_dir, generator, limit=2, facts=facts)] == ["1", "2"]
    assert len(generator.asked) == 2
    assert facts["sample"] is True


def test_an_unanswerable_prompt_is_not_followed_and_counted(data_dir):
    facts = {}
    items = evaluated(data_dir, scripted(a1=Failure(reason="too_long")), facts=facts)
    assert items[0].scores == {"prompt_level_strict_acc": 0.0, "prompt_level_loose_acc": 0.0}
    assert (items[0].response, items[0].detail, facts["unanswerable"]) == ("", "too_long", 1)


def test_random_items_score_the_same_whatever_came_before(data_dir):
    answers = {f"a{3}": "".join(chr(97 + i) * (i % 4) for i in range(26))}
    first = evaluated(data_dir, scripted(**answers))
    random.seed(99)
    again = evaluated(data_dir, scripted(**answers))
    alone = evaluated(data_dir, scripted(**answers), only=frozenset({"3"}))
    assert first == again
    assert alone == [first[2]]
    strict, loose = (first[2].scores[name] for name in ifeval.PROMPT_METRICS)
    assert strict <= loose


def test_scoring_leaves_the_random_state_alone(data_dir):
    random.seed(5)
    state = random.getstate()
    ifeval.score(ROWS[2], ["text"])
    assert random.getstate() == state


def test_existing_responses_are_scored_without_a_model(data_dir, tmp_path):
    path, facts = tmp_path / "answers.jsonl", {}
    rows = [{"prompt": row["prompt"], "response": GOOD[row["key"]]} for row in reversed(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    items = list(ifeval.rescore(path, data_dir / IFEVAL.file, model="theirs", facts=facts))
    live = evaluated(data_dir, scripted())
    assert [(i.id, i.scores, i.parts) for i in items] == [(i.id, i.scores, i.parts) for i in live]
    assert facts["notes"] == ["answers stand in another order than the questions, from 4 on"]


def test_a_partial_file_is_refused_unless_asked_for(data_dir, tmp_path):
    path, facts = tmp_path / "answers.jsonl", {}
    path.write_text(json.dumps({"key": 2, "response": GOOD[2]}) + "\n")
    with pytest.raises(DataError, match="no answer for: 1, 3, 4"):
        list(ifeval.rescore(path, data_dir / IFEVAL.file, model="m"))
    (item,) = ifeval.rescore(path, data_dir / IFEVAL.file, model="m", partial=True, facts=facts)
    assert (item.id, item.scores["prompt_level_strict_acc"], facts["sample"]) == ("2", 1.0, True)


def test_log_likelihoods_are_refused_with_a_reason():
    from evaluation.lm_bridge import GeneratorLM

    with pytest.raises(EngineError, match="scripted generates texts"):
        GeneratorLM(scripted()).loglikelihood([])


def test_a_file_that_is_not_ifeval_is_named(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text('{"prompt": "x"}\n')
    with pytest.raises(DataError, match=r"f\.jsonl:1: has no key and no instruction_id_list"):
        ifeval.questions(path)
    path.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[0]) + "\n")
    with pytest.raises(DataError, match="equal keys"):
        ifeval.questions(path)


def test_instructions_that_the_checkers_do_not_know_are_named(data_dir):
    row = {"key": 9, "prompt": "p", "instruction_id_list": ["count:word_count_range"], "kwargs": [{}]}
    (data_dir / IFEVAL.file).write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="do not know the instruction count:word_count_range"):
        evaluated(data_dir, Scripted({"p": "x"}))
    (data_dir / IFEVAL.file).write_text(json.dumps({**row, "kwargs": []}) + "\n")
    with pytest.raises(DataError, match=r":1: 0 kwargs for 1 instructions"):
        ifeval.questions(data_dir / IFEVAL.file)


published = pytest.mark.skipif(
    "AUTOIF_DATA_DIR" not in os.environ, reason="AUTOIF_DATA_DIR is not set: the published prompts are not at hand"
)


@published
def test_scores_of_all_541_prompts_equal_lm_evals_own_but_for_its_random_items():
    from langdetect import DetectorFactory
    from lm_eval.tasks.ifeval.utils import process_results

    data = os.environ["AUTOIF_DATA_DIR"]
    ifeval.prepare(data)
    path = Path(data) / IFEVAL.file
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    # Prompts quote their own constraints, so their text, repeated and shouted, follows many and breaks many.
    answers = {
        row["prompt"]: [row["prompt"], "* " + row["prompt"].upper() * 8, ""][i % 3] for i, row in enumerate(rows)
    }
    items = list(ifeval.evaluate(Scripted(answers), path, model="m"))
    assert len(items) == len(rows) == IFEVAL.rows
    assert sum(len(item.labels) for item in items) == 834
    DetectorFactory.seed = 0
    for item, row in zip(items, rows, strict=True):
        assert item.id == str(row["key"])
        if row["key"] in (1122, 1129):
            continue
        theirs = process_results(row, [answers[row["prompt"]]])
        assert item.scores == {name: float(theirs[name]) for name in ifeval.PROMPT_METRICS}, item.id
        assert item.parts == {name: tuple(map(float, theirs[name])) for name in ifeval.INSTRUCTION_METRICS}, item.id
    followed = [value for item in items for value in item.parts["inst_level_strict_acc"]]
    assert 0.1 < sum(followed) / len(followed) < 0.9
