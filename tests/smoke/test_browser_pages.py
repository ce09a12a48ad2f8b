"""The browser of records in headless Chromium, opened from a folder: quiet, self-contained, quick, and it finds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from chromium import CHROMIUM, Browser
from report_run import RunSize, plausible_run

from autoif import browser as pages_of
from autoif.browser.bench import answers
from autoif.browser.rows import dropped_rows, kept_rows
from autoif.browser.site import document, write_instructions, write_stage
from autoif.execution import ExecutionEngine
from autoif.records import (
    AnswerGroup,
    Answers,
    Function,
    GroupAnswer,
    Message,
    Overlap,
    Prompt,
    Reject,
    Reply,
    Response,
    encode,
    write_records,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")

LOGGED = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)>" + "W" * 600 + "\u202e</pre>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, engine: ExecutionEngine) -> Path:
    size = RunSize(instructions=30, heldout=8, steps=4, hostile=HOSTILE)
    run = plausible_run(tmp_path_factory.mktemp("run"), size).run()
    return pages_of.write(run.config, run.stages, run.store, SimpleNamespace(execution=engine)).page  # type: ignore[arg-type]


def ready(browser: Browser) -> None:
    deadline = time.monotonic() + 30
    while browser.evaluate("document.body && document.body.dataset.ready") != "yes":
        assert time.monotonic() < deadline, [event for event in browser.events if event.get("method") in LOGGED]
        time.sleep(0.02)


def go(browser: Browser, address: str) -> None:
    browser.evaluate(f"document.body.dataset.ready = ''; location.hash = {address!r}")
    ready(browser)


EMPTY = "[...document.querySelectorAll('#rows details[open] .body')].some(body => !body.childNodes.length)"


def read(browser: Browser) -> str:
    """Wait until the open rows show their records; returns the text of the first."""
    deadline = time.monotonic() + 20
    while browser.evaluate(EMPTY):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return str(browser.evaluate("document.querySelector('#rows details[open]')?.innerText"))


def count(browser: Browser) -> str:
    return str(browser.evaluate("document.getElementById('count').textContent"))


@pytest.mark.parametrize("width, dark", [(1280, False), (390, True)])
def test_every_stage_opens_quietly_and_fits(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width, dark)
    ready(browser)
    titles = browser.evaluate("RUN.stages.map(stage => stage.title)")
    assert len(titles) > 10
    for title in titles:
        go(browser, f"#stage={quote(title)}")
        browser.evaluate("document.querySelectorAll('#rows details').forEach((row, i) => { row.open = i < 12 })")
        read(browser)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, title
        assert "missing" not in browser.evaluate("document.getElementById('rows').textContent")
    assert browser.evaluate("document.title") == "demo: records"
    assert browser.evaluate("document.querySelectorAll('#rows script, #rows img').length") == 0
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 300) == dark
    assert [event for event in browser.events if event.get("method") in LOGGED] == []
    fetched = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert all(url == "data:," or url.startswith(page.parent.as_uri()) for url in fetched)


def test_rows_are_found_by_reason_instruction_and_any_text_in_them(browser: Browser, page: Path) -> None:
    browser.open(page, 1280, dark=False)
    ready(browser)
    go(browser, "#stage=cross_verify&state=case_below_threshold")
    assert count(browser).endswith("in all)")
    states = browser.evaluate("[...document.querySelectorAll('#rows summary .tag')].map(tag => tag.textContent)")
    assert set(states) == {"case below threshold"}
    go(browser, f"#stage=cross_verify&instruction={quote('Answer in exactly three sentences.')}")
    texts = browser.evaluate("[...document.querySelectorAll('#rows summary .what')].map(tag => tag.textContent)")
    assert set(texts) == {"Answer in exactly three sentences."}
    steps = browser.evaluate("[...document.querySelectorAll('.steps-along b')].map(step => step.textContent)")
    assert steps[:3] == ["self_instruct", "write_verifiers", "cross_verify"]
    # Only the code of a function holds this, and no index does.
    go(browser, "#stage=write_verifiers&text=43%20%3C%3D%20len(words)")
    assert count(browser).startswith("1–")
    go(browser, "#stage=write_verifiers&text=nowhere-in-here")
    assert count(browser) == "no row matches"


def test_a_record_shows_functions_cases_the_matrix_and_each_verdict(browser: Browser, page: Path) -> None:
    browser.open(page, 1280, dark=False)
    ready(browser)
    go(browser, "#stage=write_verifiers")
    shown = read(browser)
    assert "Functions on cases" in shown
    assert "as expected" in shown
    assert "must pass" in shown
    assert "def evaluate(response):" in shown
    go(browser, "#stage=score")
    shown = read(browser)
    assert "Responses under functions" in shown
    assert "accuracy" in shown
    assert browser.evaluate("document.querySelectorAll('#rows details[open] .matrix .cell').length") > 3
    browser.evaluate("document.body.dataset.ready = ''; document.querySelector('.about-it button').click()")
    ready(browser)
    assert browser.evaluate("document.querySelectorAll('.steps-along a').length") > 3


def test_a_prompt_of_several_lines_is_followed_through_the_answers_of_all_models(browser: Browser, page: Path) -> None:
    browser.open(page, 1280, dark=False)
    ready(browser)
    go(browser, "#stage=answer_heldout_sft")
    read(browser)
    browser.evaluate("document.body.dataset.ready = ''; document.querySelector('.about-it button').click()")
    ready(browser)
    assert count(browser).startswith("1–")
    steps = browser.evaluate("[...document.querySelectorAll('.steps-along b')].map(step => step.textContent)")
    assert steps == ["answer_heldout_base", "answer_heldout_sft", "answer_heldout_online_dpo"]


ASKED = (Message(role="user", content="Why?"),)
SHOWN = {
    "reward 0.75": AnswerGroup(id="1", prompt=ASKED, answers=(GroupAnswer(text="a", reward=0.75, advantage=0.5),)),
    "raw reply 3": Reply(id="1", index=3, text="Sure!"),
    '"share": 0.5': Overlap(benchmark="ifeval", item="1", row="2", share=0.5, prompt="p", text="t"),
    "timed out": Answers(
        id="1",
        prompt=Prompt(
            id="1", verifier_id="v", instruction="i", query="q", text="t", functions=(Function(id="f", code="c"),)
        ),
        responses=(Response(index=0, text="a", outcomes=("timeout",)),),
    ),
}


@pytest.mark.parametrize("expected", SHOWN)
def test_records_of_every_kind_have_a_look(browser: Browser, page: Path, expected: str) -> None:
    browser.open(page, 1280, dark=False)
    ready(browser)
    row = encode(SHOWN[expected]).decode()
    assert expected in browser.evaluate(f"h('div', {{}}, record({row}, app)).outerHTML.replaceAll('&quot;', '\"')")


def test_a_page_that_is_missing_is_said_and_one_that_two_ask_for_comes_once(browser: Browser, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    write_records(records, answers(250))
    folder = tmp_path / "data/score-1"
    summary = write_stage(folder, kept_rows(records), 250)
    write_instructions(folder.parent, [folder])
    page = tmp_path / "index.html"
    page.write_text(document("cut", [{"title": "score", "about": "", "folder": "data/score-1", **summary}], ""))
    browser.open(page, 1280, dark=False)
    ready(browser)
    browser.evaluate(
        "Promise.all([1, 2].map(() => load('data/score-1/1.js', 'score-1/1'))).then(all => { both = all.length })"
    )
    deadline = time.monotonic() + 10
    while browser.evaluate("globalThis.both") != 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (folder / "2.js").unlink()
    go(browser, "#stage=score&text=nowhere-in-here")
    assert "2.js is missing: write the pages again" in browser.evaluate(
        "document.getElementById('working').textContent"
    )


def test_a_hundred_thousand_records_open_and_filter_at_once(browser: Browser, tmp_path: Path) -> None:
    """The index is that of 100 000 records; the pages behind it are those of the few that are opened."""
    total, kept = 100_000, 70_000
    records, rejected = tmp_path / "records.jsonl", tmp_path / "rejected.jsonl"
    write_records(records, answers(700))
    rejected.write_bytes(b"".join(Reject(row, "no_response_passed").encode() + b"\n" for row in answers(300)))
    few = [*kept_rows(records), *dropped_rows(rejected)]
    rows = chain((few[i % 700] for i in range(kept)), (few[700 + i % 300] for i in range(total - kept)))
    folder = tmp_path / "data/score-1"
    summary = write_stage(folder, rows, total)
    write_instructions(folder.parent, [folder])
    page = tmp_path / "index.html"
    page.write_text(document("big", [{"title": "score", "about": "", "folder": "data/score-1", **summary}], ""))
    started = time.monotonic()
    browser.open(page, 1280, dark=False)
    ready(browser)
    opened = time.monotonic() - started
    assert count(browser) == "1–50 of 100,000"
    started = time.monotonic()
    go(browser, "#stage=score&state=no_response_passed")
    filtered = time.monotonic() - started
    assert count(browser) == "1–50 of 30,000 (100,000 in all)"
    assert opened < 10, opened
    assert filtered < 3, filtered
    assert browser.evaluate("performance.memory ? performance.memory.usedJSHeapSize : 0") < 400e6
