"""The page in a real browser: complete without a network or a script, readable on a phone, and deaf to hostile logs.

Needs Debian's chromium (`apt-get install chromium`) and the `test` extra; without them the tests are skipped with that
advice, and on CI they fail.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.report.nightly import write_nightly
from pipeline.report.periods import day_period
from tests.conftest import missing
from tests.reporting import HOSTILE, SAMPLE_DAY, hostile_lines, large_lines, page_of, quiet_lines, wide_lines

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGES = ("samples", "quiet", "hostile", "large", "wide")


@dataclass
class Opened:
    """A page in the browser, and what it did."""

    page: object
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Start Debian's chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright", "pip install 'meshlog[test]'")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        missing("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(samples_lake, tmp_path_factory) -> dict[str, Path]:
    """Write the pages: the samples', a quiet day's, a hostile log's, a large mesh's, and one's of 300 services."""
    folder = tmp_path_factory.mktemp("pages")
    return {
        "samples": write_nightly(samples_lake, day_period(SAMPLE_DAY), folder / "samples", tables_format=None),
        "quiet": page_of(folder / "quiet", *quiet_lines(), tables_format=None),
        "hostile": page_of(folder / "hostile", *hostile_lines(), tables_format=None),
        "large": page_of(folder / "large", *large_lines(), tables_format=None),
        "wide": page_of(folder / "wide", *wide_lines(), tables_format=None),
    }


@pytest.fixture
def opened(browser, pages):
    """Open pages by name, width and colour scheme, with everything unfolded."""
    contexts = []

    def open_page(name: str, width: int = 1280, scheme: str = "light", script: bool = True) -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.on("request", lambda request: found.requests.append(request.url))
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("dialog", lambda dialog: (found.said.append(dialog.message), dialog.dismiss()))
        found.page.goto(pages[name].as_uri())
        if script:
            found.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        return found

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_but_itself(opened, pages, name):
    """A page makes no request beyond its own file, prints nothing to the console and opens no dialog."""
    found = opened(name)
    found.page.wait_for_load_state("networkidle")

    assert found.requests == [pages[name].as_uri()]
    assert found.said == []


@pytest.mark.parametrize("width", [320, 360, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_never_scrolls_sideways(opened, name, width):
    """With everything unfolded, the page is no wider than a phone or a screen; tables scroll in their own boxes."""
    page = opened(name, width).page

    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["samples", "hostile", "wide"])
def test_a_page_is_accessible(opened, name, width, scheme):
    """Axe finds nothing serious or critical, contrast in light and dark included."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("axe-playwright-python", "pip install 'meshlog[test]'")

    found = Axe().run(opened(name, width, scheme).page).response["violations"]

    assert [
        (each["id"], [node["html"][:200] for node in each["nodes"]][:3])
        for each in found
        if each["impact"] in ("serious", "critical")
    ] == []


def test_a_page_reads_without_scripts(opened):
    """With scripts turned off, text and drawings are there."""
    page = opened("samples", script=False).page

    assert page.get_by_role("heading", level=1).inner_text() == "Monday, 23 November 2026"
    assert "requests failed" in page.locator(".verdict").inner_text()
    assert page.locator("svg[role=img]:visible").count() == 14


def test_headings_go_down_one_level_at_a_time(opened):
    """One h1, sections as h2, findings and requests as h3."""
    page = opened("samples").page
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(each => Number(each.tagName[1]))")

    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_link_leads_to_a_place_on_the_page(opened):
    """Each link's target exists, and the skip link is the first thing that the keyboard reaches."""
    page = opened("samples").page
    lost = page.evaluate(
        "[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
        ".filter(href => !document.getElementById(href.slice(1)))"
    )
    page.keyboard.press("Tab")

    assert lost == []
    assert page.evaluate("document.activeElement.className") == "skip"


def test_no_two_elements_share_an_id(opened):
    """Drawings bring no id of their own that another one has."""
    page = opened("samples").page
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")

    assert len(ids) == len(set(ids))


def test_drawings_differ_between_light_and_dark(opened):
    """The texts of a drawing have the page's own colour in both schemes."""
    for scheme in ("light", "dark"):
        page = opened("samples", scheme=scheme).page
        drawn, written = page.evaluate(
            "[getComputedStyle(document.querySelector('#latency .wide text:last-of-type')).fill,"
            " getComputedStyle(document.body).color]"
        )
        axis = page.evaluate("getComputedStyle(document.querySelector('.lead')).color")

        assert drawn in (written, axis)


def test_drawings_stay_inside_their_frames(opened):
    """Labels and figures of every drawing lie inside it and do not run into each other, with the longest names too."""
    for name in ("samples", "large", "wide"):
        for width in (360, 1280):
            page = opened(name, width).page
            outside = page.evaluate(
                """() => [...document.querySelectorAll('svg')].filter(svg => svg.checkVisibility()).flatMap(svg => {
                    const frame = svg.closest('.chart').getBoundingClientRect();
                    return [...svg.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()])
                        .filter(([_, box]) => box.left < frame.left - 1 || box.right > frame.right + 1)
                        .map(([text]) => text.textContent);
                })"""
            )

            assert outside == []


def test_names_and_outcomes_of_drawings_are_whole(opened):
    """A gateway's long name in the graph, and what a line of a waterfall says of a failure, are not cut on a screen."""
    page = opened("samples").page
    drawn = page.locator(".chart:visible text").all_text_contents()

    assert "istio-ingressgateway.istio-system" in drawn
    assert any(each.startswith("connect_refused: 503 URX,UF, ") for each in drawn)


@pytest.mark.parametrize("name", ["samples", "wide"])
def test_tables_fit_a_screen(opened, name):
    """On a wide screen no table has to be scrolled to see its last column."""
    page = opened(name).page

    assert (
        page.evaluate(
            "[...document.querySelectorAll('section > .scroll')].filter(box => box.scrollWidth > box.clientWidth)"
            ".map(box => box.getAttribute('aria-label'))"
        )
        == []
    )


def test_hostile_lines_are_text(opened):
    """Tags, quotes, template marks, terminal escapes and direction marks of a log are read as text, and run nothing."""
    found = opened("hostile")
    shown = found.page.inner_text("body")

    for text in HOSTILE:
        assert text.encode("unicode_escape").decode() in shown
    assert found.said == []
    assert found.page.locator("script, img, iframe, object, embed, [onload], [onerror]").count() == 0
    assert found.page.title() == "meshlog: 2021-02-18"


def test_a_cut_value_is_whole_in_its_title(opened):
    """A path too long to show keeps its whole beginning in the title."""
    title = opened("large").page.locator("#failed h3 .cut").first.get_attribute("title")

    assert title.startswith("/long/long/")
    assert len(title) > 1000


def test_a_printed_page_is_black_on_white(opened):
    """On paper the page is light, shows wide drawings, fits its width and leaves out what cannot be clicked."""
    page = opened("samples", 680, "dark").page
    page.emulate_media(media="print")

    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.locator(".chart.narrow:visible").count() == 0
    assert page.locator(".chart.wide:visible").count() == 13
    assert page.locator(".chart.picture:visible").count() == 1
    assert not page.locator("nav").is_visible()
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = false)")
    assert page.locator(".finding h3:visible").count() == page.locator(".finding").count() > 5
