"""Joined tables: ours by fingerprint beside the paper's, differences to the own base, seeds, what is missing."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import msgspec
import pytest
from measured import measure, responses
from test_report import Page

from autoif import border
from autoif.config import RunConfig
from autoif.errors import ConfigError
from autoif.pipeline import build
from autoif.points import alike, points
from autoif.records import Answers, Contamination, Prompt
from autoif.report import paper
from autoif.report.counts import Counts
from autoif.report.experiment import write_experiment
from autoif.report.site import TABLE, read_tables
from autoif.report.table_data import Table
from autoif.report.table_text import to_csv, to_latex, to_markdown
from autoif.store import Store


def configs(folder: Path, *overrides: str) -> tuple[list[RunConfig], dict[str, str]]:
    """The points of an experiment with store and runs below ``folder``, and which are the same run."""
    paths = [f"paths.store={folder}/store", f"paths.runs={folder}/runs"]
    cfg, _ = border.compose_any([*overrides, *paths], multirun=False)
    found = points(cfg)
    return [point.config for point in found], alike(found)


def joined(folder: Path, *overrides: str) -> tuple[Table, list[RunConfig]]:
    made, same = configs(folder, *overrides)
    page = write_experiment(made, overrides, same)
    return msgspec.json.decode((page.parent / TABLE).read_bytes(), type=Table), made


VALUES = {"base": 0.3, "sft": 0.35, "online_dpo": 0.5}


@pytest.fixture(scope="module")
def table3(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Table]:
    """Table 3 with its first two points measured."""
    folder = tmp_path_factory.mktemp("table3")
    overrides = ("experiment=table3_components", "scale=cpu")
    made, _ = configs(folder, *overrides)
    measure(made[0], VALUES)
    measure(made[1], {**VALUES, "online_dpo": 0.25})
    return folder / "runs/table3_components_cpu", joined(folder, *overrides)[0]


def cell(table: Table, row: str, column: str):  # type: ignore[no-untyped-def]
    found = next(r for r in table.rows if r.name == row)
    return found, table.cell(found, next(c for c in table.columns if c.name == column))


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "shift"),
    [
        ("table1_main", "qwen2_7b_online_dpo", "ifeval_prompt_loose", 46.6, 3.0),
        ("table1_main", "llama3_70b_instruct_online_dpo", "followbench_ssr_avg", 66.5, 5.6),
        ("table1_main", "gpt_4", "gsm8k", None, None),
        ("table2_supervisor_ablation", "gpt_4_offline_dpo", "ifeval_inst_loose", 68.9, 15.5),
        ("table3_component_ablation", "without_cross_verification", "ifeval_inst_loose", 54.9, -3.0),
        ("figure4_function_threshold", "threshold_0.8", "sft", 5700.0, None),
        ("figure4_dpo_fraction", "share_1_64", "ifeval_prompt_loose", 54.8, None),
        ("cross_domain", "qwen2_7b_online_dpo", "arena_hard_win_rate", None, 6.71),
        ("table5_data_efficiency", "gpt_4", "total", 210000.0, None),
        ("table4_contamination", "llama3_70b_followbench", "ngram_percent", 1.2, None),
    ],
)
def test_the_papers_numbers(table: str, row: str, column: str, value: float | None, shift: float | None) -> None:
    stated = paper.table(table)
    assert (stated.value(row, column), stated.shift(row, column)) == (value, shift)


def test_tables_are_rectangular_and_their_bases_are_rows() -> None:
    for name in paper.names():
        stated = paper.table(name)
        assert all(paper.column(column).label for column in stated.columns)
        for row in stated.rows.values():
            assert {len(row.values), len(row.differences)} == {0, len(stated.columns)}
            assert not row.base or row.base in stated.rows
        if stated.figure:
            assert {stated.figure.left, stated.figure.right} <= set(stated.columns)
            assert all(row.x is not None for row in stated.rows.values())


def test_an_unknown_table_is_named_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match=r"no such table; did you mean table1_main\?"):
        paper.table("table1_mian")


def test_ours_stands_beside_the_papers_with_both_differences(table3: tuple[Path, Table]) -> None:
    _, table = table3
    full, value = cell(table, "full", "ifeval_prompt_loose")
    assert (full.state, value.values, value.paper, value.shift) == ("done", (40.0,), 46.6, None)
    ablated, value = cell(table, "without_back_translation", "ifeval_prompt_loose")
    assert (value.values, value.paper, value.paper_shift) == ((15.0,), 45.8, -0.8)
    assert value.shift.value == pytest.approx(-25)
    assert value.shift.how == "unpaired"
    assert ablated.base == "full"
    assert ablated.fingerprints != full.fingerprints
    # Both answered the same held-out prompts: their difference is found item by item.
    _, value = cell(table, "without_back_translation", "heldout_followed")
    assert value.shift.how == "paired"
    assert value.shift.low < value.shift.value < value.shift.high
    assert value.shift.value == pytest.approx(-25, abs=2)
    assert value.paper is None


def test_what_is_missing_names_the_command_that_makes_it(table3: tuple[Path, Table]) -> None:
    folder, table = table3
    row, value = cell(table, "without_any_quality_process", "ifeval_prompt_loose")
    assert (row.state, value.values, value.paper_shift) == ("missing", (), -2.2)
    command = "python run.py experiment=table3_components scale=cpu experiment.point=without_any_quality_process"
    assert row.commands == (command,)
    assert command in (folder / "table.md").read_text()
    assert command in Page((folder / "index.html").read_text()).text


def test_every_form_says_the_same(table3: tuple[Path, Table]) -> None:
    folder, table = table3
    assert "| without back-translation | ours | 15.0 (−25.0) |" in to_markdown(table)
    assert r"without back-translation & ours & 15.0 ($-$25.0) &" in to_latex(table)
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert len(rows) == len(table.rows) * len(table.columns)
    row = next(r for r in rows if (r["row"], r["column"]) == ("without_back_translation", "ifeval_prompt_loose"))
    assert (row["mean"], row["difference"], row["paper_difference"]) == ("15", "-25", "-0.8")
    assert row["runs"] == "table3_components_cpu/without_back_translation"
    text = Page((folder / "index.html").read_text()).text
    assert "15.0 (−25.0)" in text
    assert "Not measured: IFEval Ins. (L), FollowBench SSR." in text


def test_latex_is_balanced_and_escaped(table3: tuple[Path, Table]) -> None:
    text = to_latex(msgspec.structs.replace(table3[1], title="50% of A_b & c"))
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert all(name in text for name in (r"\toprule", r"\midrule", r"\bottomrule"))
    body = text.split(r"\midrule")[1]
    widths = {line.count(" & ") for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line}
    assert len(widths) == 1
    assert not re.search(r"(?<!\\)[%#_]", body)


def test_results_are_found_by_fingerprint_whatever_their_run_was_called(tmp_path: Path) -> None:
    overrides = ("experiment=cross_domain", "scale=cpu")
    made, _ = configs(tmp_path, *overrides, "name=somebody/elses")
    measure(made[0], VALUES)
    table, _ = joined(tmp_path, *overrides)
    assert [row.state for row in table.rows] == ["done", "done"]
    changed, _ = joined(tmp_path, *overrides, "algorithm.dpo.beta=0.2")
    assert {row.state for row in changed.rows} == {"missing"}


def test_seeds_give_mean_and_deviation_and_their_absence_is_said(tmp_path: Path) -> None:
    overrides = ("experiment=cross_domain", "scale=cpu", "seed=0,1,2")
    made, _ = configs(tmp_path, *overrides)
    for config, value in zip(made, (0.4, 0.5), strict=False):
        measure(config, {"base": 0.3, "online_dpo": value})
    table, _ = joined(tmp_path, *overrides)
    row, value = cell(table, "qwen2_7b_online_dpo", "heldout_followed")
    assert row.state == "partly"
    assert row.commands == ("python run.py experiment=cross_domain scale=cpu experiment.point=online_dpo seed=2",)
    assert value.mean == pytest.approx(45)
    assert value.deviation == pytest.approx(7.07, abs=0.01)
    assert (value.shift.value, value.shift.how) == (pytest.approx(15), "seeds")
    assert "45.0 ± 7.1 (+15.0)" in to_markdown(table)


def test_points_that_are_one_run_at_this_scale_say_so(tmp_path: Path) -> None:
    overrides = ("experiment=table2_supervisor", "scale=cpu")
    made, _ = configs(tmp_path, *overrides)
    measure(made[1], VALUES)
    table, _ = joined(tmp_path, *overrides)
    states = {row.name: row.state for row in table.rows}
    assert states["qwen2_72b_online_dpo"] == states["qwen2_72b_sft"] == states["base"] == "done"
    assert states["gpt_4_online_dpo"] == "same"
    note = next(row.note for row in table.rows if row.name == "gpt_4_online_dpo")
    assert note == "at this scale the same run as qwen2_72b_online_dpo"
    assert note in to_markdown(table)


def test_a_figure_is_drawn_with_two_axes_for_ours_and_the_papers(tmp_path: Path) -> None:
    overrides = ("experiment=figure4_function_threshold", "scale=cpu")
    made, _ = configs(tmp_path, *overrides)
    for number, config in enumerate(made):
        measure(config, {"base": 0.3, "sft": 0.3 + 0.03 * number}, sft=100 - 10 * number)
    table, _ = joined(tmp_path, *overrides)
    html = (tmp_path / "runs/figure4_function_threshold_cpu/index.html").read_text()
    assert html.count('<rect class="amount"') == 12
    assert html.count('<circle class="dot accent"') == 12
    assert [row.x for row in table.rows] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert [cell(table, row.name, "sft")[1].mean for row in table.rows] == [100, 90, 80, 70, 60, 50]


def test_the_index_holds_the_tables_and_passes_over_damaged_ones(table3: tuple[Path, Table]) -> None:
    runs = table3[0].parent
    text = Page((runs / "index.html").read_text()).text
    assert "Table 3: the quality checks" not in text  # no point of it has left a report yet
    assert list(read_tables(runs, ["table3_components_cpu", "nothing"])) == ["table3_components_cpu"]
    (runs / "broken").mkdir()
    (runs / "broken" / TABLE).write_text('{"name": "bro')
    assert "broken" not in read_tables(runs, ["broken"])


@pytest.fixture
def counted(tmp_path: Path) -> tuple[RunConfig, Store]:
    made, _ = configs(tmp_path, "experiment=table5_data_efficiency", "scale=cpu")
    return made[1], Store(tmp_path / "store")


def test_counts_come_from_the_stages(counted: tuple[RunConfig, Store]) -> None:
    from measured import commit

    config, store = counted
    stages = build(config)
    assert Counts(config, stages, store)["sampled", ""] is None
    prompt = Prompt(id="p", verifier_id="v", instruction="i", query="q", text="t", functions=())
    rows = [
        Answers(id="a", prompt=prompt, responses=responses([9.0, 4.0, None])),
        Answers(id="b", prompt=prompt, responses=responses([8.0])),
    ]
    for stage in stages:
        match stage.name:
            case "respond" | "score":
                commit(stage, store, rows)
            case "sft_dataset":
                commit(stage, store, [], kept=7)
            case "preference_dataset":
                commit(stage, store, [], kept=3)
            case "contamination":
                commit(
                    stage,
                    store,
                    [
                        Contamination(
                            data="sft_dataset",
                            benchmark="ifeval",
                            train=7,
                            test=50,
                            overlapping=2,
                            contaminated=0,
                            rows=0,
                            words=13,
                            share=0.5,
                        )
                    ],
                )
    counts = Counts(config, stages, store)
    assert [counts[name, ""] for name in ("sampled", "sft", "pairs")] == [4, 7, 3]
    assert counts["well_scored", ""] == pytest.approx(200 / 3)
    if any(stage.name == "contamination" for stage in stages):
        assert (counts["train", "ifeval"], counts["ngram_share", "ifeval"]) == (7, 4)
        assert counts["rephrased_share", "ifeval"] is None
        assert counts["train", "followbench"] is None


def test_an_experiment_of_ones_own_has_no_line_of_the_paper(table3: tuple[Path, Table]) -> None:
    cells = [tuple(msgspec.structs.replace(c, paper=None, paper_shift=None) for c in r.cells) for r in table3[1].rows]
    rows = tuple(msgspec.structs.replace(r, cells=c) for r, c in zip(table3[1].rows, cells, strict=True))
    own = msgspec.structs.replace(table3[1], rows=rows)
    assert not own.reported
    assert "paper |" not in to_markdown(own)
    assert "{paper}" not in to_latex(own)
