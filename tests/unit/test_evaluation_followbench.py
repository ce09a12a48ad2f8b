"""FollowBench: rules, judge replies and aggregation worked out by hand; the published files where they are at hand."""

import json
import os
from collections import Counter

import pytest

from autoif.errors import DataError
from autoif.generation.base import Completion
from evaluation import followbench
from evaluation.followbench import Item
from evaluation.followbench_rules import follows_template, satisfied
from evaluation.judge import Judge


def level_reached(category, source, example, answer, target=""):
    """The levels that the rules find satisfied."""
    return [level for level in range(1, 6) if satisfied(category, source, example, level, target, answer)]


ALL = [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("source", "answer", "levels"),
    [
        ("gigaword", "two killed in philippines attack on passenger vehicle", ALL),
        ("gigaword", "two killed as philippines attack hits passenger vehicle", [1, 2, 3, 4]),
        ("gigaword", "two killed in philippines attack on passenger bus", [1, 2, 3]),
        ("gigaword", "Two killed in philippines attack on passenger vehicle", [1, 2]),
        ("gigaword", "two killed in philippines attack on a vehicle.", [1]),
        ("gigaword", "two killed  in philippines attack on passenger vehicle", []),
        ("arxiv", "We find mid-layer activations that hold facts.", ALL),
        ("arxiv", "We find transformer activations that hold facts.", [1, 2, 3, 4]),
        ("arxiv", "We find facts.\n", []),
        ("samsum", "Kim may get more stuff done", [1, 2, 3, 4]),
        ("samsum", "Kim may get more stuff done.", ALL),
        ("samsum", "Kim procrastinates over stuff.", [1, 2, 3]),
        ("xsum", "The clean-up operation is continuing after the floods.", ALL),
        ("xsum", "The clean-up operation is continuing in Newton Stewart.", [1, 2]),
        ("cnn_dailymail", "Potter star is rich. The actor is modest. His films have earned much.", ALL),
        ("cnn_dailymail", "Potter star is rich. The actor is modest. His films earned much.", [1, 2, 3, 4]),
        ("cnn_dailymail", "Potter star is rich. The lavish actor is 18. His films earned much.", [1, 2, 3]),
    ],
)
def test_summaries_satisfy_the_levels_whose_constraints_they_meet(source, answer, levels):
    assert level_reached("mixed", source, 11, answer) == levels


@pytest.mark.parametrize(
    ("source", "target", "answer", "followed"),
    [
        ("BBH_logical", "(A)", "Not (B), so (A)", True),
        ("BBH_logical", "(A)", "(A), not (B)", False),
        ("BBH_time", "05/01/2021", "It is 05/01/2021.", True),
        ("gsm_8k", "$12", "First $3, then $12", True),
        ("gsm_8k", "$12", "12 dollars", False),
        ("self_made_space", "left", "the left one", True),
        ("E2E", "name[x]", "name[x] ", False),
        ("WIKIEVENTS", "a\nb", "b", True),
        ("WIKIEVENTS", "a\nb", "b\nc", False),
        ("CONLL2003", "['Bonn', 'France']", "France", True),
        ("CONLL2003", "['Bonn', 'France']", "Fran", False),
    ],
)
def test_answers_with_a_target_are_compared_as_published(source, target, answer, followed):
    assert satisfied("content", source, 1, 3, target, answer) is followed


def test_only_whole_words_that_end_in_ly_are_forbidden():
    points = " ".join(f"**{i} Growth: it brings jobs and skills to every region." for i in range(1, 6))
    assert 5 in level_reached("format", "koala", 30, points)
    assert 5 not in level_reached("format", "koala", 30, points.replace("every region", "nearly all"))
    assert 5 in level_reached("format", "koala", 30, points.replace("every region", "Lyon today"))


def test_a_template_must_be_followed_whole():
    target = "{instruction}\n{{'AI assistant': '{answer}'}}"
    assert follows_template(target, "{'AI assistant': 'Budget (draft)'}")
    assert not follows_template(target, "{'AI assistant': 'Budget'} ")
    assert not follows_template(target, "{'AI assistant': 'two\nlines'}")
    assert not follows_template(target, "Budget")


@pytest.mark.parametrize(
    ("reply", "level", "verdict"),
    [
        ("It does.\nYES", 1, (True,)),
        ("['NO']", 1, (False,)),
        ("YES\nBut I am not sure", 1, None),
        ("...\n['YES', 'NO', 'YES']", 3, (True, False, True)),
        ('["YES", "NO",]\n', 2, (True, False)),
        ("Final: [YES, NO]", 2, (True, False)),
        ("['YES', 'NO']", 3, None),
        ("['YES', 'Maybe']", 2, None),
        ("__import__('os').abort()", 2, None),
        ("", 2, None),
    ],
)
def test_only_the_last_line_of_a_judge_counts(reply, level, verdict):
    assert followbench.parse(reply, level) == verdict


def judged_item(category, example, level):
    versions = tuple(f"{category} {example}: write, rules 0 to {n}" for n in range(level + 1))
    return Item(category, example, level, "made", versions[-1], "", versions)


def rule_item(example, level):
    return Item("mixed", example, level, "gigaword", f"mixed {example} level {level}", "", ())


ITEMS = [judged_item("style", e, n) for e in (1, 2) for n in range(1, 6)] + [rule_item(14, n) for n in range(1, 6)]
ANSWERS = {item.id: "two killed in philippines attack on passenger bus" for item in ITEMS}


class Scripted:
    """A judge engine that satisfies all constraints of style/1 and the first two of style/2."""

    identity = "scripted-judge"

    def __init__(self, first_reply=None):
        self.first_reply, self.asked = first_reply, []

    def generate(self, requests):
        for request in requests:
            self.asked.append(request)
            prompt = request.messages[0].content
            level = prompt.count("=== Instruction")
            verdict = ["YES"] * (level - 1) if "style 1" in prompt else (["YES", "YES", "NO", "NO", "NO"])[: level - 1]
            reply = self.first_reply if self.first_reply and len(request.messages) == 1 else f"Well.\n{verdict}"
            yield Completion(text=reply)

    def close(self):
        pass


def scored(judge):
    return list(followbench.score(((item, ANSWERS[item.id]) for item in ITEMS), judge, "m"))


def test_aggregation_is_over_groups_then_categories():
    judge = Judge(Scripted())
    table = {result.metric: result for result in followbench.aggregate(scored(judge))}
    # style: group 1 all satisfied, group 2 levels 1 and 2; mixed: levels 1 to 3 by rule.
    assert table["hsr_level_1"].value == 1.0
    assert table["hsr_level_3"].value == pytest.approx((0.5 + 1) / 2)
    assert table["hsr_level_5"].value == pytest.approx((0.5 + 0) / 2)
    assert table["ssr_level_3"].value == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    assert table["hsr"].value == pytest.approx(((1 + 0.4) / 2 + 0.6) / 2)
    assert table["csl/style"].value == pytest.approx((5 + 2) / 2)
    assert table["csl"].value == pytest.approx((3.5 + 3) / 2)
    assert table["csl"].n == 3
    assert {result.judge for result in table.values()} == {"scripted-judge"}
    assert all(result.low <= result.value <= result.high and result.sample for result in table.values())


def test_the_judge_sees_every_version_and_the_answer_with_braces_unharmed():
    prompt = followbench.judge_prompt(judged_item("style", 7, 2), "an {answer} with {braces}")
    for expected in ("rules 0 to 0", "rules 0 to 1", "rules 0 to 2", "an {answer} with {braces}", "['YES', 'NO']"):
        assert expected in prompt


def test_an_unparsable_judgment_is_asked_for_again_and_then_counts_as_nothing_satisfied():
    mended = Judge(Scripted(first_reply="I'd rather not say"))
    assert [i.scores for i in scored(mended)] == [i.scores for i in scored(Judge(Scripted()))]
    assert (mended.retried, mended.unparsable) == (10, 0)

    class Mute(Scripted):
        def generate(self, requests):
            for _ in requests:
                yield Completion(text="?")

    mute = Judge(Mute())
    items = [item for item in scored(mute) if item.judge]
    assert {item.detail for item in items} == {"unparsable judgment"}
    assert {item.scores["ssr"] for item in items} == {0.0}
    assert mute.facts()["judge_unparsable"] == 10


def published_prompt(item, reply):
    """A judge prompt in the layout of the published judgment files."""
    parts = ["#Initial Instruction#\n" + item.versions[0]]
    parts += [f"#Initial Instruction + {n} constraint{'s' * (n > 1)}#\n" + item.versions[n]
              for n in range(1, item.level + 1)]  # fmt: skip
    parts += [f"#Answer of Initial Instruction + {item.level} constraint{'s' * (item.level > 1)}#\n{reply}"]
    return "Given an initial instruction.\n\n" + "\n\n".join(parts) + "\n\n#System#\nJudge."


def write_chat(path, rows):
    rows = [{"prompt_new": prompt, "choices": [{"message": {"content": content}}]} for prompt, content in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_published_answers_and_judgments_give_the_same_as_a_live_judge(tmp_path):
    write_chat(tmp_path / "m_style_constraint.jsonl", [(i.instruction, ANSWERS[i.id]) for i in ITEMS[:10]])
    write_chat(tmp_path / "m_mixed_constraint.jsonl", [(i.instruction, ANSWERS[i.id]) for i in ITEMS[10:]])
    answers = followbench.read_answers(tmp_path, ITEMS).check().responses
    judgments = tmp_path / "judgments.jsonl"
    engine = Scripted()
    live = scored(Judge(engine))
    replies = {item.id: item.detail.split() for item in live if item.judge}
    write_chat(judgments, [(published_prompt(i, ANSWERS[i.id]), f"Hm.\n{replies[i.id]}") for i in ITEMS[:10]])
    again = followbench.rescore(answers, followbench.read_judgments(judgments, ITEMS), ITEMS, "m", "scripted-judge")
    assert followbench.aggregate(again) == followbench.aggregate(live)


def test_judgments_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "j.jsonl"
    rows = [(published_prompt(item, "x"), "NO") for item in ITEMS[:10]]
    write_chat(path, rows[:9])
    with pytest.raises(DataError, match="no judgment of 1 items, style/2/5"):
        followbench.read_judgments(path, ITEMS)
    write_chat(path, [*rows, rows[3]])
    with pytest.raises(DataError, match="style/1/4 is judged twice"):
        followbench.read_judgments(path, ITEMS)
    write_chat(path, [(rows[0][0].replace("style 1", "style 9"), "NO")])
    with pytest.raises(DataError, match="about no judged item"):
        followbench.read_judgments(path, ITEMS)


def test_groups_without_every_level_are_left_out_and_no_group_is_an_error():
    items = scored(Judge(Scripted()))
    results = followbench.aggregate(item for item in items if item.id != "style/2/4")
    assert {r.metric: r.value for r in results}["csl/style"] == 5.0
    with pytest.raises(DataError, match="no group has an item at every level"):
        followbench.aggregate(items[:3])
    with pytest.raises(DataError, match=r"item .* is there twice"):
        followbench.aggregate([*items, items[0]])


published = pytest.mark.skipif(
    "AUTOIF_DATA_DIR" not in os.environ, reason="AUTOIF_DATA_DIR is not set: the published items are not at hand"
)


@published
def test_the_published_files_have_the_published_shape():
    items = followbench.load(os.environ["AUTOIF_DATA_DIR"])
    assert len(items) == 820
    assert len({item.instruction for item in items}) == len({item.id for item in items}) == 820
    by_rule = Counter(item.category for item in items if item.rule_based and item.level == 1)
    assert by_rule == {"content": 12, "situation": 8, "format": 2, "mixed": 8, "example": 40}
    assert sum(not item.rule_based for item in items) == 470


@published
def test_the_published_target_of_every_example_follows_its_own_template():
    items = [item for item in followbench.load(os.environ["AUTOIF_DATA_DIR"]) if item.category == "example"]
    fill = [item.target.replace("{instruction}\n", "").replace("{{", "{").replace("}}", "}") for item in items]
    answered = zip(items, (text.replace("{answer}", "x y") for text in fill), strict=True)
    assert {item.scores["hsr"] for item in followbench.score(answered, None, "m")} == {1.0}
    strict = [item for item, text in zip(items, fill, strict=True) if text != "{answer}"]
    assert len(strict) > 100
    assert {item.scores["hsr"] for item in followbench.score(((i, "\n") for i in strict), None, "m")} == {0.0}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"content_constraints\.json is missing: put the benchmark's file there"):
        followbench.load(tmp_path)
