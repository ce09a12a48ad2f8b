"""The report's pages in a real browser: nothing logged, nothing fetched, nothing wider than the screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from chromium import CHROMIUM, Browser
from measured import measure
from report_run import RunSize, plausible_run

from autoif import border, report
from autoif.pipeline import build
from autoif.points import alike, points
from autoif.report.experiment import write_experiment
from autoif.store import Store

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("profile"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    hostile = "<script>document.title='owned'</script>" + "W" * 3000 + "\u202e</pre><style>*{display:none}</style>"
    for name, size in (
        ("demo", RunSize()),
        ("hostile", RunSize(instructions=12, heldout=6, steps=30, hostile=hostile)),
    ):
        run = plausible_run(folder, size, name=name).run()
        found[name] = report.write(run.config, run.stages, run.store)
    for name, rest in (("table3_components", 0.5), ("figure4_function_threshold", 0.4)):
        found[name] = experiment(folder, name, rest)
    return found | {"index": folder / "runs" / "index.html"}


def experiment(folder: Path, name: str, value: float) -> Path:
    """An experiment's page; all of its points but the last are measured."""
    typed = [f"experiment={name}", "scale=cpu"]
    cfg, _ = border.compose_any([*typed, f"paths.store={folder}/made", f"paths.runs={folder}/runs"], multirun=False)
    found = points(cfg)
    for number, point in enumerate(found[:-1]):
        last = "sft" if name.startswith("figure") else "online_dpo"
        measure(point.config, {"base": 0.3, last: value - 0.05 * number})
        report.write(point.config, build(point.config), Store(folder / "made"))
    return write_experiment([point.config for point in found], typed, alike(found))


@pytest.mark.parametrize("width, dark", [(1280, False), (390, True)])
@pytest.mark.parametrize("name", ["demo", "hostile", "index", "table3_components", "figure4_function_threshold"])
def test_a_page_is_quiet_self_contained_and_fits(
    browser: Browser, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    browser.open(pages[name], width, dark)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.title") != "owned"
    assert browser.evaluate("document.querySelectorAll('h2').length") >= 1
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 300) == dark
    methods = [event.get("method") for event in browser.events]
    logged = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
    assert [event for event in browser.events if event.get("method") in logged] == []
    fetched = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert set(fetched) <= {pages[name].as_uri(), "data:,"}
    assert "Network.loadingFailed" not in methods


def test_anchors_lead_to_their_sections(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["demo"], 1280, dark=False)
    broken = browser.evaluate(
        "[...document.querySelectorAll('nav a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).length"
    )
    assert broken == 0
    drawn = browser.evaluate("[...document.querySelectorAll('figure.chart svg')].every(s => s.clientWidth > 200)")
    assert drawn is True


def test_every_link_of_every_page_resolves(browser: Browser, pages: dict[str, Path]) -> None:
    runs = pages["index"].parent
    for page in sorted(runs.rglob("*.html")):
        browser.open(page, 1280, dark=False)
        for target in browser.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)"):
            path, _, part = unquote(target.removeprefix("file://")).partition("#")
            assert Path(path).is_file(), f"{page} links {target}"
            assert not part or f'id="{part}"' in Path(path).read_text(encoding="utf-8"), f"{page} links {target}"
