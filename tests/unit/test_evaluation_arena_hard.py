"""Arena-Hard: verdicts, both orders, win rates by hand; style control against an independent fit."""

import json
import math
import os

import numpy as np
import pytest

from autoif.errors import DataError
from autoif.generation.base import Completion
from evaluation import arena_hard, arena_style
from evaluation.arena_hard import V01, V20, Given, Item
from evaluation.judge import Judge

ITEMS = [Item(f"q{i}", "arena-hard-v0.1", f"Request {i}") for i in range(4)]
BASE = {item.id: f"base {item.id}" for item in ITEMS}


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("so [[A>B]]", "A>B"),
        ("first [[A>B]], on reflection [[B>>A]].", "B>>A"),
        ("[[ A=B ]]", None),
        ("[[A = B]]", "A=B"),
        ("[[A>A]]", None),
        ("[[C]] [A>B]", None),
        ("", None),
    ],
)
def test_the_last_verdict_counts(reply, verdict):
    assert arena_hard.parse(reply) == verdict


@pytest.mark.parametrize(
    ("verdict", "as_a", "as_b"),
    [
        ("A>B", (1.0,), (0.0,)),
        ("A>>B", (1.0,) * 3, (0.0,) * 3),
        ("A=B", (0.5,), (0.5,)),
        ("B>A", (0.0,), (1.0,)),
        ("B>>A", (0.0,) * 3, (1.0,) * 3),
        ("A<<B", (0.0,) * 3, (1.0,) * 3),
        ("B<A", (1.0,), (0.0,)),
    ],
)
def test_a_strong_verdict_is_three_battles(verdict, as_a, as_b):
    assert (arena_hard.battles(verdict, "A"), arena_hard.battles(verdict, "B")) == (as_a, as_b)


class Scripted:
    """A judge engine that decides by which side the baseline stands on."""

    identity = "scripted-judge"

    def __init__(self, base_first, base_second):
        self.replies = (base_first, base_second)

    def generate(self, requests):
        for request in requests:
            prompt = request.messages[0].content
            first = prompt.index("base q") < prompt.index("answer q")
            yield Completion(text=self.replies[0 if first else 1])

    def close(self):
        pass


def judged(base_first, base_second, version=V01):
    answered = [(item, f"answer {item.id} {{x}}") for item in ITEMS]
    return list(arena_hard.score(version, answered, BASE, Judge(Scripted(base_first, base_second)), "m"))


def test_both_orders_are_judged_and_the_model_is_b_in_the_first():
    items = judged("[[B>A]]", "[[B>>A]]")
    assert {item.detail for item in items} == {"B>A B>>A"}
    assert items[0].parts == {"win_rate": (1.0, 0.0, 0.0, 0.0)}
    (result,) = arena_hard.aggregate(V01, items)
    assert (result.value, result.n, result.judge, result.sample) == (0.25, 4, "scripted-judge", True)


def test_a_judge_that_only_likes_first_places_gives_a_draw():
    (result,) = arena_hard.aggregate(V01, judged("[[A>B]]", "[[A>B]]"))
    assert result.value == 0.5
    assert result.low < 0.5 < result.high


def test_a_game_without_a_verdict_is_left_out_and_in_v2_its_twin_too():
    mute_second = judged("[[B>A]]", "hm")
    (result,) = arena_hard.aggregate(V01, mute_second)
    assert result.value == 1.0
    two = [Item("q0", "hard_prompt", "r")]
    replies = [(two[0], "answer q0")]
    items = list(arena_hard.score(V20, replies, BASE, Judge(Scripted("[[B>A]]", "hm")), "m"))
    assert items[0].parts == {"win_rate/hard_prompt": ()}
    with pytest.raises(DataError, match="no verdict on any request of hard_prompt"):
        arena_hard.aggregate(V20, items)


def row(id, first, second, model="m", key="question_id"):
    games = [{"score": first, "judgment": "…"}, {"score": second, "judgment": "…"}]
    return {key: id, "model": model, "judge": "gpt-4", "games": games}


def write(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_published_judgments_give_the_bradley_terry_win_rate(tmp_path):
    rows = [row("q0", "B>>A", "A>B"), row("q1", "A>B", "B>A"), row("q2", "A=B", None), row("q3", "B>A", "A=B")]
    path = write(tmp_path / "m.jsonl", *rows, row("q0", "A>B", "A>B", model="other"))
    items = arena_hard.rescore(V01, arena_hard.read_judgments(path), ITEMS, "m")
    (result,) = arena_hard.aggregate(V01, items)
    # q0: three and one won; q1: two lost; q2: a tie; q3: one won and a tie.
    share = (3 + 1 + 0.5 + 1 + 0.5) / 9
    assert result.value == pytest.approx(share)
    # The same through Elo: the likelihood's maximum puts E - E_base at 400 log10(share / (1 - share)).
    elo = 400 * math.log10(share / (1 - share))
    assert result.value == pytest.approx(1 / (1 + 10 ** (-elo / 400)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("q0", "A>B", "A>B")], "no judgment of m on: q1, q2, q3"),
        ([row("q0", "A>B", "A>B")] * 2, "m: q0 is judged twice"),
        ([row("zz", "A>B", "A>B", key="uid")], "m: zz is no request of Arena-Hard"),
        ([row("q0", "A>C", "A>B")], r":1: 'A>C' is no verdict"),
        ([{"uid": "q0", "model": "m", "judge": "j", "games": [None]}], "has 1 games"),
    ],
)
def test_judgments_that_do_not_fit_are_named(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        arena_hard.rescore(V01, arena_hard.read_judgments(write(tmp_path / "j", *rows)), ITEMS, "m")


def test_answers_are_read_in_both_published_forms(tmp_path):
    old = {"question_id": "q0", "choices": [{"turns": [{"content": "a"}]}], "conv_metadata": {"token_len": 1}}
    new = {"uid": "q1", "messages": [{"role": "user", "content": "r"}, {"content": {"answer": "b"}}]}
    found = arena_hard.read_answers(write(tmp_path / "a", old, new), ITEMS[:2])
    assert found == {"q0": Given("a", {"token_len": 1}), "q1": Given("b", None)}
    with pytest.raises(DataError, match="no answer for: q2, q3"):
        arena_hard.read_answers(tmp_path / "a", ITEMS)
    with pytest.raises(DataError, match=r":3: q0 is answered twice"):
        arena_hard.read_answers(write(tmp_path / "b", old, new, old), ITEMS)


def test_style_is_counted_outside_code():
    reply = "# Title\n\n1. **one**\n2. two\n- __three__\n\n```\n# not a header\n- nor an item\n```\n"
    found = arena_style.measure(reply, lambda text: len(text.split()))
    assert found == {"token_len": 18, "header_count": 1, "list_count": 3, "bold_count": 2}


def random_battles(version, category, models, seed=0):
    """Items and styles of ``models`` and the baseline, longer answers winning more often."""
    rng = np.random.default_rng(seed)
    names = [*models, version.baselines[category]]
    styles = {name: {f"q{i}": Given("", dict(zip(arena_style.FEATURES, map(int, rng.integers(1, 300, 4)), strict=True)))
                     for i in range(80)} for name in names}  # fmt: skip
    items = {}
    for name in models:
        rows = []
        for i in range(80):
            longer = styles[name][f"q{i}"].style["token_len"] > styles[names[-1]][f"q{i}"].style["token_len"]
            pick = rng.random()
            verdict = ("B>A" if longer else "A>B") if pick < 0.6 else "A=B" if pick < 0.8 else "A>B"
            rows.append({"id": f"q{i}", "model": name, "judge": "j", "games": [verdict, rng.choice(["A>B", "B>>A"])]})
        asked = [Item(f"q{i}", category, "r") for i in range(80)]
        items[name] = arena_hard.rescore(version, rows, asked, name)
    return items, styles


def test_style_control_of_v01_agrees_with_an_independent_regularised_fit():
    linear = pytest.importorskip("sklearn.linear_model")
    items, styles = random_battles(V01, "arena-hard-v0.1", ["x", "y"])
    found = arena_style.style_control(V01, items, styles, "arena-hard-v0.1", resamples=5)
    # Every battle twice, a tie as one win and one loss; baseline first, as the published evaluation lays them out.
    design, outcome = [], []
    for place, name in enumerate(("x", "y")):
        for item in items[name]:
            own, base = (
                [g.style[f] for f in arena_style.FEATURES]
                for g in (styles[name][item.id], styles["gpt-4-0314"][item.id])
            )
            relative = [(b - o) / (b + o + 1) for o, b in zip(own, base, strict=True)]
            for won in item.parts["win_rate"]:
                for half in (0, 1):
                    design.append([-math.log(10) * (place == 0), -math.log(10) * (place == 1), math.log(10), *relative])
                    outcome.append({1.0: 0, 0.0: 1, 0.5: half}[won])
    design = np.asarray(design)
    design[:, 3:] = (design[:, 3:] - design[:, 3:].mean(axis=0)) / design[:, 3:].std(axis=0)
    fit = linear.LogisticRegression(fit_intercept=False, tol=1e-10, max_iter=1000).fit(design, outcome).coef_[0]
    for place, name in enumerate(("x", "y")):
        expected = 1 / (1 + 10 ** (fit[2] - fit[place]))
        assert found.win_rates[name].value == pytest.approx(expected, abs=1e-5)
    assert list(found.coefficients.values()) == pytest.approx(list(fit[3:]), abs=1e-4)
    assert found.coefficients["token_len"] > 0.2


def test_without_a_style_effect_the_controlled_rate_of_v2_is_the_win_rate():
    items, styles = random_battles(V20, "hard_prompt", ["x"])
    same = {name: {id: Given("", dict.fromkeys(arena_style.FEATURES, 10)) for id in by} for name, by in styles.items()}
    found = arena_style.style_control(V20, items, same, "hard_prompt", resamples=20)
    (plain,) = arena_hard.aggregate(V20, items["x"])
    assert found.win_rates["x"].value == pytest.approx(plain.value, abs=1e-6)
    assert found.win_rates["x"].low < plain.value < found.win_rates["x"].high
    assert set(found.coefficients.values()) == {0.0}


def test_length_explains_wins_away():
    items, styles = random_battles(V20, "hard_prompt", ["x"])
    found = arena_style.style_control(V20, items, styles, "hard_prompt", resamples=3)
    assert found.coefficients["token_len"] > 0.1


def test_a_model_that_wins_everything_has_a_finite_fit():
    fit = arena_style.fit_logistic(np.ones((10, 1)), np.ones(10), np.ones(10), 1e-6)
    assert 10 < fit[0] < 40


def test_style_control_without_counts_says_whose_are_missing():
    items, styles = random_battles(V01, "arena-hard-v0.1", ["x"])
    styles["x"]["q3"] = Given("")
    with pytest.raises(DataError, match="style counts of x's answer to q3"):
        arena_style.style_control(V01, items, styles, "arena-hard-v0.1")


@pytest.mark.skipif("AUTOIF_DATA_DIR" not in os.environ, reason="AUTOIF_DATA_DIR is not set: no published questions")
def test_the_published_files_have_the_published_shape():
    data = os.environ["AUTOIF_DATA_DIR"]
    first, second = arena_hard.load(V01, data), arena_hard.load(V20, data)
    assert (len(first), len(second)) == (V01.questions, V20.questions)
    baseline = arena_hard.read_answers(arena_hard.Path(data) / "arena_hard/v0.1/baseline_gpt-4-0314.jsonl", first)
    assert all(given.text for given in baseline.values())
