"""An incident's page in a real browser: the recorded one with a bad pod, a quiet one, and one of a hostile log."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.ingest.load import load
from pipeline.query.session import Window
from pipeline.report.incident import Asked
from pipeline.report.incident_bundle import write_bundle
from tests.conftest import missing
from tests.reporting import HOSTILE, hostile_lines, quiet_lines
from tests.test_incident import FAULTS, OUTAGE
from tests.test_page import browser, opened

__all__ = ["browser", "opened"]  # fixtures: the pages that they open are those below

PAGES = ("bad_pod", "quiet", "hostile")
LONG_AGO = datetime(2021, 2, 18, tzinfo=UTC)


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Write the pages."""
    folder = tmp_path_factory.mktemp("incidents")
    window = Window(*(datetime.fromisoformat(FAULTS[1][name]) for name in ("began_at", "ended_at")))
    load([str(log) for log in OUTAGE.glob("*.xz")], folder / "outage")
    written = {"bad_pod": write_bundle(folder / "outage", Asked(window), folder / "bad_pod")}
    for name, log in (("quiet", quiet_lines()), ("hostile", hostile_lines())):
        (folder / f"{name}.log").write_bytes(b"".join(log))
        load([str(folder / f"{name}.log")], folder / f"{name}-lake")
        written[name] = write_bundle(folder / f"{name}-lake", Asked(Window(LONG_AGO)), folder / name)
    return written


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_but_itself(opened, pages, name):
    """It makes no request beyond its own file, prints nothing to the console and opens no dialog."""
    found = opened(name)
    found.page.wait_for_load_state("networkidle")

    assert found.requests == [pages[name].as_uri()]
    assert found.said == []


@pytest.mark.parametrize("width", [320, 360, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_never_scrolls_sideways(opened, name, width):
    """With everything unfolded, the page is no wider than a phone or a screen."""
    assert opened(name, width).page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["bad_pod", "hostile"])
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


def test_gaps_stand_first_and_links_lead_somewhere(opened):
    """The first section is about the evidence; every link has its place, no two elements share an id."""
    page = opened("bad_pod").page
    titles = page.locator("h2").all_inner_texts()
    lost = page.evaluate(
        "[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
        ".filter(href => !document.getElementById(href.slice(1)))"
    )
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")

    assert titles[0] == "What the evidence lacks"
    assert lost == []
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("width", [360, 1280])
def test_drawings_stay_inside_their_frames(opened, width):
    """The names of onset, peak and recovery and all labels lie inside the drawings."""
    outside = opened("bad_pod", width).page.evaluate(
        """() => [...document.querySelectorAll('svg')].filter(svg => svg.checkVisibility()).flatMap(svg => {
            const frame = svg.closest('.chart').getBoundingClientRect();
            return [...svg.querySelectorAll('text')].map(text => [text, text.getBoundingClientRect()])
                .filter(([_, box]) => box.left < frame.left - 1 || box.right > frame.right + 1)
                .map(([text]) => text.textContent);
        })"""
    )

    assert outside == []


def test_hostile_lines_are_text(opened):
    """Tags, template marks, escapes and direction marks of a log are read as text, and run nothing."""
    found = opened("hostile")
    shown = found.page.inner_text("body")

    for text in HOSTILE:
        assert text.encode("unicode_escape").decode() in shown
    assert found.page.locator("script, img, iframe, object, embed, [onload], [onerror]").count() == 0
    assert found.page.title() == "meshlog incident: 2021-02-18 00:00:00"


def test_a_printed_page_fits_its_paper(opened):
    """On paper it is black on white, with the wide drawings, and no wider than the paper."""
    page = opened("bad_pod", 680, "dark").page
    page.emulate_media(media="print")

    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.locator(".chart.narrow:visible").count() == 0
