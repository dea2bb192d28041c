"""One request in the terminal, as a page and as a drawing: whole, readable in any width, and deaf to hostile logs."""

import html
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.ingest.load import load
from pipeline.query.session import open_session
from pipeline.query.spoken import waterfall_lines
from pipeline.report.trace import trace_page, trace_svg
from tests.conftest import missing
from tests.reporting import HOSTILE, call, hostile_lines, large_lines
from tests.test_page import FLAGS

APP_DOWN = "3cd93ecc-14ec-4582-a41f-0e1cc91f88ab"


def chain_lines(depth: int = 30) -> list[bytes]:
    """Write a request that goes through many services, one calling the next."""
    written: list[bytes] = []
    for number in range(depth):
        hop = {"client": f"10.3.0.{number + 1}", "server": f"10.3.0.{number + 2}", "service": f"step-{number}.deep"}
        written += call(number, number, request_id="deep", duration=1000 - 2 * number, **hop)
    return written


def lake_of(folder: Path, *log: bytes) -> Path:
    """Make a lake of some lines."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "access.log").write_bytes(b"".join(log))
    load([str(folder / "access.log")], folder / "lake")
    return folder / "lake"


@pytest.fixture(scope="module")
def lakes(samples_lake, tmp_path_factory) -> dict[str, tuple[Path, str]]:
    """Lakes with the id of one request each: a failed one, a deep chain, a large fan-out, hostile texts."""
    folder = tmp_path_factory.mktemp("traces")
    return {
        "failed": (samples_lake, APP_DOWN),
        "deep": (lake_of(folder / "deep", *chain_lines()), "deep"),
        "large": (lake_of(folder / "large", *large_lines(2, 160)), "trace-1"),
        "hostile": (lake_of(folder / "hostile", *hostile_lines()), HOSTILE[0]),
    }


def drawn(lake: Path, identifier: str, width: int) -> list[str]:
    """Return the terminal's lines."""
    with open_session(lake) as session:
        return [each.text for each in waterfall_lines(session, identifier, width)]


# ---------- the terminal


@pytest.mark.parametrize("name", ["failed", "deep", "large"])
@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(lakes, name, width):
    """Long names, deep chains and large fan-outs keep within the columns, but for a name that is longer by itself."""
    for each in drawn(*lakes[name], width):
        assert len(each) <= width or len(each.split()) == 1


def test_both_sides_are_drawn(lakes):
    """What the caller waited beyond the server's time is light, the server's time dark."""
    lines = drawn(*lakes["failed"], 80)
    cart = next(each for each in lines if "cart.shop" in each)

    assert re.search(r"█+░+$", cart)
    assert re.search(r"payments\.shop +503 !", "\n".join(lines))
    assert lines[lines.index(next(each for each in lines if "payments.shop  503" in each)) + 1] == "    ^ app_down"


def test_a_deep_chain_tells_its_depths(lakes):
    """Beyond six levels a number stands for the indentation, and no call is left out."""
    lines = drawn(*lakes["deep"], 80)

    assert any("29:" in each for each in lines)
    assert sum(each.endswith("█") for each in lines) == 30


def test_a_fan_out_keeps_the_ends_of_names_apart(lakes):
    """Names that begin alike are cut in their middle."""
    lines = [each for each in drawn(*lakes["large"], 80) if "…" in each and "ms" in each]

    assert len(lines) >= 160


def test_attempts_stand_in_their_order(samples_lake):
    """The tries of one call follow each other."""
    with open_session(samples_lake) as session:
        found = session.rows("select request_id from trace_spans where attempts = 3 order by started_at limit 1")
    lines = drawn(samples_lake, found[0]["request_id"], 100)

    assert re.findall(r"attempt (\d)/3", "\n".join(lines)) == ["1", "2", "3"]


def test_times_are_set_right(tmp_path):
    """A pod whose clock is an hour ahead has its bar inside its caller's."""
    log = []
    for number in range(20):
        log += call(number, number * 100, request_id=f"id-{number}", duration=50)
    ahead = [
        re.sub(rb'"start_time":"[^"]+"', lambda found: _later(found[0]), each) if b'"inbound|8080||"' in each else each
        for each in log
    ]
    lines = drawn(lake_of(tmp_path, *ahead), "id-7", 80)

    assert next(each for each in lines if "cart.shop" in each).count("█") > 20


def _later(text: bytes) -> bytes:
    moment = datetime.fromisoformat(text.split(b'"')[3].decode().replace("Z", "+00:00")).astimezone(UTC)
    return f'"start_time":"{moment + timedelta(seconds=3):%Y-%m-%dT%H:%M:%S.%f}Z"'.encode()


def test_a_hostile_request_cannot_steer_the_terminal(lakes):
    """Control characters are escapes."""
    lake, _ = lakes["hostile"]
    with open_session(lake) as session:
        for text in HOSTILE:
            assert all(each.text.isprintable() for each in waterfall_lines(session, text, 80))


def test_an_incomplete_trace_says_so(tmp_path):
    """A server's line alone is drawn, and named incomplete."""
    lake = lake_of(tmp_path, list(call(1))[1])
    lines = drawn(lake, "id-1", 80)

    assert any("incomplete" in each for each in lines)


@pytest.mark.parametrize("more", [[], ["--format", "html"], ["--format", "svg"], ["--format", "csv"]])
def test_an_unknown_id_exits_with_5(meshlog, samples_lake, more):
    """In every form but a table's, which is then empty."""
    ran = meshlog("trace", "nope\x1b[31m", "--lake", samples_lake, *more)

    assert ran.code == (0 if "csv" in more else 5)
    assert "\x1b" not in ran.err


# ---------- the files


def test_a_suffix_chooses_the_form(meshlog, samples_lake, tmp_path):
    """-o trace.html and -o trace.svg need no --format; --format without -o writes to stdout."""
    for form in ("html", "svg"):
        ran = meshlog("trace", APP_DOWN, "--lake", samples_lake, "-o", tmp_path / f"trace.{form}")
        piped = meshlog("trace", APP_DOWN, "--lake", samples_lake, "--format", form)

        assert (ran.code, ran.out) == (0, "")
        assert (tmp_path / f"trace.{form}").read_text() == piped.out


def test_a_drawing_stands_alone(meshlog, samples_lake):
    """The SVG is XML with its own colours for light and dark, a name, and no reference to anything."""
    text = meshlog("trace", APP_DOWN, "--lake", samples_lake, "--format", "svg").out
    root = ET.fromstring(text)  # our own file
    used = set(re.findall(r"var\((--[\w-]+)\)", text))

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "app_down" in root.attrib["aria-label"]
    assert used <= set(re.findall(r"(--[\w-]+):", text))
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"href|<script|<image|url\(", text)
    assert "app_down: 503 UF" in text


def test_a_drawing_shows_one_request(meshlog, tmp_path):
    """Where several have the id, the message gives the ids that tell them apart, and each of those draws."""
    log = [*call(1, 0, request_id="same"), *call(2, 60_000, request_id="same", client="10.1.0.8")]
    lake = lake_of(tmp_path, *log)
    ran = meshlog("trace", "same", "--lake", lake, "--format", "svg")
    ids = re.findall(r"[0-9a-f]{16}", ran.err)

    assert ran.code == 2
    assert len(ids) == 2
    assert all(meshlog("trace", each, "--lake", lake, "--format", "svg").code == 0 for each in ids)


def test_hostile_texts_are_text_in_a_drawing(lakes):
    """Tags in a path stay text, and the XML stays whole."""
    lake, _ = lakes["hostile"]
    with open_session(lake) as session:
        ids = [row["trace_id"] for row in session.rows("from traces")]
        for each in ids:
            root = ET.fromstring(trace_svg(session, each))
            assert not [tag for tag in root.iter() if tag.tag.endswith(("script", "image", "a"))]


# ---------- the page in a browser


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
def pages(lakes, tmp_path_factory) -> dict[str, Path]:
    """Write the page of each lake's request."""
    folder = tmp_path_factory.mktemp("pages")
    written = {}
    for name, (lake, identifier) in lakes.items():
        with open_session(lake) as session:
            written[name] = folder / f"{name}.html"
            written[name].write_text(trace_page(session, identifier, "UTC"))
    return written


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light"), (1280, "dark")])
@pytest.mark.parametrize("name", ["failed", "deep", "large", "hostile"])
def test_a_page_is_accessible_and_alone(browser, pages, name, width, scheme):
    """Axe finds nothing serious; nothing is fetched or printed; the page does not scroll sideways."""
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        missing("axe-playwright-python", "pip install 'meshlog[test]'")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    requests: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.goto(pages[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = Axe().run(page).response["violations"]

    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found
            if each["impact"] in ("serious", "critical")] == []  # fmt: skip
    assert requests == [pages[name].as_uri()]
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("script, img, iframe, [onload], [onerror]").count() == 0
    context.close()


def test_a_page_tells_the_verdict_without_colour(browser, pages):
    """Culprit, cause, advice, both lines, and the place where it began stand there as words, without a script."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["failed"].as_uri())
    shown = page.inner_text("body")

    for text in ("Failed with 502", "payments.shop", "app_down began here", "kubectl -n shop logs deploy/payments",
                 "delayed_connect_error:_Connection_refused", "both sockets agree"):  # fmt: skip
        assert text in shown
    assert page.locator("svg[role=img]:visible").count() == 1
    context.close()


def test_a_printed_page_is_black_on_white(browser, pages):
    """On paper the page is light and fits its width."""
    context = browser.new_context(viewport={"width": 680, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.goto(pages["failed"].as_uri())
    page.emulate_media(media="print")

    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    context.close()


def test_a_page_of_many_calls_says_what_it_leaves_out(lakes, monkeypatch):
    """The number of calls beyond those shown, with the commands for all of them, which name the lake."""
    lake, identifier = lakes["large"]
    monkeypatch.setattr("pipeline.report.trace.MOST_CALLS", 50)
    with open_session(lake) as session:
        text = trace_page(session, identifier, "UTC")
    words = html.unescape(re.sub(r"<[^>]+>", "", text))

    assert re.search(rf'And \d+ more calls: meshlog sql --lake {lake} "from trace_spans where trace_id = ', words)
    assert re.search(rf"And \d+ more failing calls: meshlog diagnose --explain {identifier} --lake {lake}", words)
    assert len(text) < 2_000_000
