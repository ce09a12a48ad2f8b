"""The index over all runs: links that resolve, sweeps together, shared stages once, safe beside strangers' files."""

from __future__ import annotations

import csv
import multiprocessing
from pathlib import Path
from urllib.parse import unquote

import pytest
from report_run import RunSize, plausible_run
from test_report import Page

from autoif import report
from autoif.report.collect import collect
from autoif.report.site import read_summaries, summarise, write_site

SMALL = RunSize(instructions=12, heldout=8, steps=4, iterations=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two points that share their synthesis, a run of its own and an unfinished one."""
    folder = tmp_path_factory.mktemp("site")
    for name, size, done in (
        ("sweep/beta=0.1", SMALL, None),
        ("sweep/beta=0.3, lr=1e-5", SMALL, None),
        ("demo", RunSize(instructions=14, heldout=8, steps=4, iterations=2), None),
        ("later", RunSize(instructions=16, heldout=8, steps=4), 6),
    ):
        run = plausible_run(folder, size, name=name).run(done)
        report.write(run.config, run.stages, run.store)
    return folder / "runs"


def test_every_run_is_linked_and_every_link_resolves(runs: Path) -> None:
    page = Page((runs / "index.html").read_text())
    links = [attrs["href"] or "" for tag, attrs in page.tags if tag == "a"]
    parts = {link.partition("#")[::2] for link in links if "#" in link and not link.startswith("#")}
    assert len(parts) > 8
    for path, part in parts:
        ids = {attrs["id"] for _, attrs in Page((runs / unquote(path)).read_text()).tags if "id" in attrs}
        assert part in ids
    pages = {link.partition("#")[0] for link in links if not link.startswith("#")}
    assert all((runs / unquote(link)).is_file() for link in pages)
    assert {unquote(link) for link in pages} == {
        "results.csv",
        "sweep/beta=0.1/report.html",
        "sweep/beta=0.3, lr=1e-5/report.html",
        "demo/report.html",
        "later/report.html",
    }
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {link[1:] for link in links if link.startswith("#")} == ids


def test_a_reports_way_back_to_the_index_resolves_at_any_depth(runs: Path) -> None:
    for path in runs.rglob("report.html"):
        page = Page(path.read_text())
        (back,) = {attrs["href"] for tag, attrs in page.tags if tag == "a" and "index.html" in (attrs["href"] or "")}
        assert (path.parent / (back or "")).resolve() == runs / "index.html"


def test_points_of_a_sweep_stand_together_and_shared_stages_count_once(runs: Path) -> None:
    page = Page((runs / "index.html").read_text())
    assert "2 points of one sweep." in page.text
    summaries = list(read_summaries(runs))
    distinct = {stage.fingerprint for run in summaries for stage in run.stages if stage.seconds is not None}
    everything = [stage for run in summaries for stage in run.stages if stage.seconds is not None]
    assert f"{len(distinct)} distinct stages" in page.text
    assert len(distinct) < len(everything)


def test_an_unfinished_run_is_listed_as_such(runs: Path) -> None:
    text = Page((runs / "index.html").read_text()).text
    assert "6 of 26 stages" in text
    assert "Nothing has been measured yet." in text


def test_results_csv_holds_every_measured_number(runs: Path) -> None:
    with (runs / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == {"demo", "sweep/beta=0.1", "sweep/beta=0.3, lr=1e-5"}
    (row,) = (r for r in rows if (r["run"], r["metric"], r["model"]) == ("demo", "followed", "online_dpo"))
    assert float(row["value"]) == 0.5
    assert int(row["n"]) == 8


def test_strangers_files_and_damaged_summaries_are_passed_over(tmp_path: Path) -> None:
    run = plausible_run(tmp_path, SMALL).run()
    folder = Path(run.config.paths.runs)
    for name, text in (("old", '{"name": "old"}'), ("cut", '{"name": "cu'), ("wandb", "{}")):
        (folder / name).mkdir(parents=True)
        (folder / name / "report.json").write_text(text)
    report.write(run.config, run.stages, run.store)
    assert [summary.name for summary in read_summaries(folder)] == ["demo"]


def test_hostile_names_and_labels_stay_text(tmp_path: Path) -> None:
    name = 'x"><script>alert(1)<\u202eb>'
    run = plausible_run(tmp_path, SMALL, name=name).run()
    run.config.model.name = "<img src=x onerror=alert(1)>"
    report.write(run.config, run.stages, run.store)
    for path in (Path(run.config.paths.runs) / "index.html", Path(run.config.paths.runs) / name / "report.html"):
        page = Page(path.read_text())
        assert not {tag for tag, _ in page.tags} & {"script", "img", "b>"}
        assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)


def _write(arguments: tuple[str, str]) -> None:
    folder, name = arguments
    run = plausible_run(Path(folder), SMALL, name=name)
    summary = summarise(collect(run.config, run.stages, run.store))
    (Path(run.config.paths.runs) / name).mkdir(parents=True)
    write_site(Path(run.config.paths.runs), summary)


def test_points_that_end_at_the_same_time_all_stand_in_the_index(tmp_path: Path) -> None:
    names = [f"sweep/point-{i}" for i in range(6)]
    (tmp_path / "runs").mkdir()
    with multiprocessing.get_context("fork").Pool(6) as pool:
        pool.map(_write, [(str(tmp_path), name) for name in names])
    text = (tmp_path / "runs" / "index.html").read_text()
    assert all(f"sweep/point-{i}/report.html" in text for i in range(6))
