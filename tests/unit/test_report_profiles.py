"""Funnels side by side: every stage and reason of each run, in an order that is each run's own."""

import re

from hypothesis import given
from hypothesis import strategies as st

from autoif.report.profiles import _merged, beside, side_by_side
from autoif.report.site import RunSummary, StageSummary, write_site


def stage(title, kept, entered=0, mark="", **rejected):
    return StageSummary(title, f"{title}{mark}", 1.0, kept, funnel=True, entered=entered, rejected=rejected)


def run(name, *stages):
    return RunSummary(name=name, title="t", subtitle="s", sentence="x", figures=(), stages=stages)


PAPER = run("profiles/paper", stage("self_instruct", 56), stage("cross_verify", 35, 56, too_few_functions=21))
BEST = run(
    "profiles/best",
    stage("self_instruct", 56),
    stage("cross_verify", 30, 56, "b", too_few_functions=20, case_contradicts_itself=9),
    stage("mutation_check", 20, 30, function_passes_every_mutation=12),
)


def rows(html):
    found = re.findall(r"<tr>(.*?)</tr>", html)
    return [[re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in found]


def test_each_stage_and_reason_has_a_line_and_each_run_a_column():
    assert rows(side_by_side([BEST, PAPER])) == [
        ["Stage", "", "paper", "best"],
        ["self_instruct", "kept", "56", "56"],
        ["cross_verify", "kept", "35 of 56 62%", "30 of 56 54%"],
        ["", "too few functions", "21", "20"],
        ["", "case contradicts itself", "", "9"],
        ["mutation_check", "kept", "–", "20 of 30 67%"],
        ["", "function passes every mutation", "", "12"],
    ]


def test_one_run_or_equal_funnels_make_no_table():
    assert side_by_side([PAPER]) == ""
    assert side_by_side([PAPER, run("profiles/again", *PAPER.stages)]) == ""
    assert side_by_side([PAPER, run("profiles/trained", StageSummary("train_sft", "f", 1.0, 3))]) == ""


def test_a_run_stands_beside_its_sweep_and_any_other_beside_the_profiles(tmp_path):
    for summary in (PAPER, BEST, run("sweep/a"), run("sweep/b"), run("demo")):
        (tmp_path / summary.name).mkdir(parents=True)
        write_site(tmp_path, summary)
    assert [r.name for r in beside(tmp_path, "demo")] == ["profiles/best", "profiles/paper"]
    assert [r.name for r in beside(tmp_path, "sweep/a")] == ["sweep/a", "sweep/b"]
    assert beside(tmp_path / "none", "demo") == []
    assert "Funnels side by side" in (tmp_path / "index.html").read_text()


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True).map(sorted), max_size=2))
def test_titles_are_merged_without_loss_in_an_order_that_each_run_has(orders):
    merged = _merged(orders)
    assert sorted(merged) == sorted({title for order in orders for title in order})
    for order in orders:
        assert [title for title in merged if title in order] == order
