"""What a run's report must say, show and withstand."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_run import PlausibleRun, RunSize, plausible_run

from autoif import report
from autoif.records import Comparison, Instruction, Record, Reject, Result
from autoif.report.collect import collect
from autoif.report.files import ReportError
from autoif.report.funnel import funnel
from autoif.report.summary import headline, measures
from autoif.stage import Stage, run_stage

VOID = {"meta", "link", "br", "img", "input"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on markup that is not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def read(run: PlausibleRun) -> tuple[Page, str, str]:
    path = report.write(run.config, run.stages, run.store)
    raw = path.read_text(encoding="utf-8")
    return Page(raw), raw, path.with_name("report.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> PlausibleRun:
    return plausible_run(tmp_path_factory.mktemp("whole")).run()


def test_the_report_stands_beside_the_run_as_page_and_markdown(whole: PlausibleRun) -> None:
    path = report.write(whole.config, whole.stages, whole.store)
    assert path == Path(whole.config.paths.runs) / "demo" / "report.html"
    assert path.with_name("report.md").read_text().startswith("# demo: ")


def test_the_headline_gives_values_n_and_interval(whole: PlausibleRun) -> None:
    page, _, markdown = read(whole)
    sentence = (
        "On 48 held-out prompts, the share of answers that follow their instruction goes from 31.2% to 50.0%: "
        "+18.8 points (95% interval +5.8 to +32.8), a gain."
    )
    assert sentence in page.text
    assert sentence in markdown.replace("\\", "")


@pytest.mark.parametrize(
    "low, high, verdict",
    [(0.01, 0.2, "a gain"), (-0.2, -0.01, "a loss"), (-0.05, 0.06, "not distinguishable from no change")],
)
def test_the_headline_names_the_sign_that_was_measured(
    whole: PlausibleRun, low: float, high: float, verdict: str
) -> None:
    found = collect(whole.config, whole.stages, whole.store)
    for i, row in enumerate(found.comparisons):
        if row.metric == "followed":
            fields = {name: getattr(row, name) for name in row.__struct_fields__}
            found.comparisons[i] = Comparison(**fields | {"difference": (low + high) / 2, "low": low, "high": high})
    assert headline(found)[0].endswith(f", {verdict}.")


def test_without_a_paired_comparison_the_difference_says_that_it_is_unpaired(whole: PlausibleRun) -> None:
    found = collect(whole.config, whole.stages, whole.store)
    ifeval = next(measure for measure in measures(found.results, found.comparisons) if measure.benchmark == "ifeval")
    assert ifeval.sample
    assert ifeval.difference is not None
    assert not ifeval.difference.paired
    assert ifeval.difference.low < 0 < ifeval.difference.high
    _, _, markdown = read(whole)
    row = next(line for line in markdown.splitlines() if line.startswith("| IFEval"))
    assert "(sample)" in row
    assert "unpaired" in row


def test_unpaired_interval_matches_the_published_example() -> None:
    from autoif.report.summary import unpaired

    # Newcombe (1998), table II, example (a): 56/70 against 48/80, method 10 gives 0.0524 to 0.3339.
    old = Result(benchmark="b", metric="m", value=0.6, n=80, low=0.4904, high=0.7004)
    new = Result(benchmark="b", metric="m", value=0.8, n=70, low=0.6919, high=0.8770)
    change = unpaired(old, new)
    assert change.low == pytest.approx(0.0524, abs=5e-4)
    assert change.high == pytest.approx(0.3339, abs=5e-4)


def test_the_funnel_counts_what_the_manifests_count(whole: PlausibleRun) -> None:
    found = collect(whole.config, whole.stages, whole.store)
    steps = {step.title: step for _, panel in funnel(found) for step in panel}
    for stage in whole.stages:
        if stage.title in steps:
            manifest = stage.entry(whole.store).manifest()
            assert manifest is not None
            step = steps[stage.title]
            assert step.kept == manifest.kept
            assert {g.reason: g.count for g in (*step.dropped, *step.parts)} == manifest.rejected
    assert [title for title, _ in funnel(found)][2:] == ["Online round 1", "Online round 2"]


def test_dropped_parts_are_told_apart_from_dropped_records(whole: PlausibleRun) -> None:
    found = collect(whole.config, whole.stages, whole.store)
    steps = {step.title: step for _, panel in funnel(found) for step in panel}
    cross = steps["cross_verify"]
    assert {group.reason: group.unit for group in cross.parts} == {
        "function_below_threshold": "function",
        "case_below_threshold": "case",
    }
    assert cross.entered - cross.kept == sum(group.count for group in cross.dropped)
    assert {group.unit for group in steps["write_verifiers"].parts} == {"reply"}
    assert [(group.reason, group.unit) for group in steps["nli_filter"].parts] == [("nli_contradiction", "function")]
    assert [group.reason for group in steps["nli_filter"].dropped] == ["no_function_left"]
    assert {group.unit for group in steps["verify_responses"].parts} == {"response"}
    assert steps["score"].inside[0].endswith(f"of {steps['verify_responses'].inside[0].split()[0]} responses")


def test_every_reason_has_samples_and_its_count(whole: PlausibleRun) -> None:
    page, _, _ = read(whole)
    for stage in whole.stages:
        manifest = stage.entry(whole.store).manifest()
        assert manifest is not None
        for reason, number in manifest.rejected.items():
            assert f"Dropped: {reason.replace('_', ' ')} ({number})" in page.text


def test_curves_of_every_metric_are_drawn_with_axes_and_hover_titles(whole: PlausibleRun) -> None:
    _, raw, _ = read(whole)
    charts = re.findall(r'<figure class="chart"><figcaption>([^<]+)', raw)
    assert charts == [
        *("loss", "grad norm", "learning rate"),
        *("loss", "margin", "accuracy", "rewards", "grad norm", "learning rate"),
    ]
    assert raw.count('class="label"') == len(charts)
    assert "<title>step 1: loss 2." in raw
    assert "iteration 2" in raw


def test_ten_prompts_show_both_answers_and_all_kinds_of_change(whole: PlausibleRun) -> None:
    found = collect(whole.config, whole.stages, whole.store)
    (pairing,) = found.pairings
    assert pairing.models == ("base", "online_dpo")
    assert pairing.counts == {(True, True): 12, (False, True): 12, (True, False): 3, (False, False): 21}
    assert len({base.id for base, _ in pairing.shown}) == 10
    moves = {(base.scores["followed"], trained.scores["followed"]) for base, trained in pairing.shown}
    assert moves == {(1, 1), (0, 1), (1, 0), (0, 0)}
    assert all(base.id == trained.id for base, trained in pairing.shown)


def test_provenance_names_isolation_fingerprints_times_and_configuration(whole: PlausibleRun) -> None:
    page, raw, markdown = read(whole)
    for text in (page.text, markdown):
        assert "L2 (seccomp, Landlock)" in text.replace("\\", "")
        assert "tokens out" in text
        assert "peak_memory_gb" in text.replace("\\", "")
        assert "2.13.0" in text.replace("\\", "")
        assert "function_threshold: 0.5" in text
    for stage in whole.stages:
        assert stage.entry(whole.store).fingerprint in raw
        assert f"`{stage.entry(whole.store).fingerprint}`" in markdown


def test_one_record_is_shown_from_its_instruction_to_kept_and_dropped_answers(whole: PlausibleRun) -> None:
    _, raw, _ = read(whole)
    shown = Page(raw[raw.index('<section id="example">') : raw.index('<section id="training">')])
    order = ("Instruction", "def evaluate(response)", "entailment", "A user's query", "kept", "below threshold")
    places = [shown.text.index(text) for text in order]
    assert places == sorted(places)


def test_model_calls_are_summed_over_stages(whole: PlausibleRun) -> None:
    from autoif.report.provenance import calls

    found = dict(calls(collect(whole.config, whole.stages, whole.store)))
    assert found["all"]["asked"] == 4 * 48 + 160 + 3 * 300
    assert found["all"]["cached"] == 12


def test_the_same_store_gives_the_same_bytes(whole: PlausibleRun) -> None:
    first = read(whole)[1:]
    assert read(whole)[1:] == first


def test_the_page_fetches_nothing_and_runs_no_script(whole: PlausibleRun) -> None:
    page, raw, _ = read(whole)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "img", "form", "base"}
    targets = [v or "" for _, attrs in page.tags for k, v in attrs.items() if k in ("href", "src")]
    assert all(target.startswith(("#", "data:,", "../index.html")) for target in targets)
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {target[1:] for target in targets if target.startswith("#")} <= ids
    assert "url(" not in raw
    assert "@import" not in raw
    assert "default-src 'none'" in raw
    assert "prefers-color-scheme: dark" in raw


HOSTILE = (
    "</pre></details><script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover=\"alert(3)' x='"
    "\x1b[31mred\x00\x07\u202eevil\u2066\ufeff```\n```\n| a | b |\n<!-- --><![CDATA[ ]]>&lt;script&gt; ${oc.env:HOME} "
    "שלום مرحبا" + "Z" * 30_000
)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    run = plausible_run(tmp_path, RunSize(instructions=14, heldout=6, steps=4, iterations=1, hostile=HOSTILE)).run()
    page, raw, markdown = read(run)
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "<script>alert(1)</script>" in page.text
    for text in (raw, markdown):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]", text)
        assert "⟨U+202E⟩" in text
    assert max(map(len, re.findall(r"<pre[^>]*>(.*?)</pre>", raw, re.S))) < 30_000
    assert len(raw) < 3_000_000
    assert "<script" not in _outside_fences(markdown)
    assert "oc.env:HOME" in raw


def _outside_fences(markdown: str) -> str:
    """What a Markdown reader takes as Markdown: fences close only with as many ticks as opened them."""
    kept, fence = [], ""
    for line in markdown.split("\n"):
        ticks = re.match(r"(`{3,})(\w*)$", line)
        if not fence and ticks:
            fence = ticks.group(1)
        elif fence:
            fence = "" if re.fullmatch(f"`{{{len(fence)},}}", line) else fence
        else:
            kept.append(line)
    assert not fence
    return "\n".join(kept)


def test_a_hostile_run_name_cannot_leave_the_runs_folder(whole: PlausibleRun, tmp_path: Path) -> None:
    run = plausible_run(tmp_path, name="../elsewhere")
    with pytest.raises(ReportError, match="no folder below"):
        report.write(run.config, run.stages, run.store)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("done", [0, 1, 5, 12, 20])
def test_an_unfinished_run_says_what_is_missing(tmp_path: Path, done: int) -> None:
    run = plausible_run(tmp_path, RunSize(instructions=12, heldout=4, steps=4)).run(done)
    page, _, markdown = read(run)
    waiting = [stage.title for stage in run.stages[done:]]
    assert f"{done} of {len(run.stages)} stages are done" in page.text
    assert all(title in page.text for title in waiting)
    assert "Not done yet" in markdown
    assert "Nothing has been measured yet." in page.text


def test_a_damaged_stage_is_named_and_the_rest_still_reported(tmp_path: Path) -> None:
    run = plausible_run(tmp_path, RunSize(instructions=12, heldout=4, steps=4)).run()
    entry = run.stages[2].entry(run.store)
    entry.records_path.write_bytes(entry.records_path.read_bytes()[:-10])
    page, _, markdown = read(run)
    assert "cross_verify cannot be read" in page.text
    assert "delete that folder" in page.text
    assert "damaged" in markdown
    assert "On 4 held-out prompts" in page.text


def test_a_config_address_keeps_no_password(whole: PlausibleRun) -> None:
    from autoif.config import OpenAISupervisor

    supervisor = OpenAISupervisor(model="m", base_url="https://me:secret-word@host.example/v1")
    config = plausible_run(Path(whole.config.paths.runs).parent).config
    config.supervisor = supervisor
    path = report.write(config, whole.stages, whole.store)
    text = path.read_text() + path.with_name("report.md").read_text()
    assert "secret-word" not in text
    assert "host.example" in text


def _many(number: int) -> Callable[..., Any]:
    def rows(context: Any) -> Any:
        for i in range(number):
            record: Record = Instruction(id=f"{i:08}", text=f"Rule {i}. " + "word " * 60, origin="augmented")
            yield record if i % 2 else Reject(record, f"reason_{i % 10}")

    return rows


def test_a_hundred_thousand_records_stay_small_fast_and_out_of_memory(tmp_path: Path) -> None:
    import tracemalloc

    run = plausible_run(tmp_path)
    stage = Stage("self_instruct", Instruction, _many(100_000))
    run_stage(stage, run.store, None)  # type: ignore[arg-type]
    started = time.process_time()
    tracemalloc.start()
    path = report.write(run.config, [stage], run.store)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert path.stat().st_size < 200_000
    assert peak < 20_000_000
    assert time.process_time() - started < 10
    assert "50,000" in path.read_text()


def test_long_trainings_are_averaged_to_a_bounded_number_of_points() -> None:
    from autoif.report.collect import StepRow, averaged

    rows = [StepRow(step=i + 1, loss=float(i), grad_norm=None, tokens=2, metrics={"m": 1.0}) for i in range(10_000)]
    rows[0].loss = None
    short = list(averaged(rows, len(rows), 400))
    assert len(short) == 400
    assert short[-1].step == 10_000
    assert short[0].loss == pytest.approx(12.5)  # of 0 … 24, the first not finite
    assert sum(row.tokens for row in short) == 20_000
    assert short[5].metrics == {"m": 1.0}


def test_reports_import_no_heavy_package(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; sys.path.insert(0, 'tests'); from pathlib import Path; from report_run import *;"
        f"run = plausible_run(Path({str(tmp_path)!r}), RunSize(instructions=12, heldout=4, steps=4)).run();"
        "from autoif import report; report.write(run.config, run.stages, run.store);"
        "print(sorted({'torch', 'transformers', 'lightning', 'wandb', 'numpy'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
