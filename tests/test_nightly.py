"""`meshlog report` as its user meets it: flags, periods, objectives, report.md, report.json, meshes large and tiny."""

import contextlib
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from unittest import mock

import pytest

from pipeline.errors import UsageError
from pipeline.ingest.load import load
from pipeline.query.session import Window
from pipeline.report.nightly import JSON_VERSION, write_nightly
from pipeline.report.objectives import objectives
from pipeline.report.periods import day_period, span_period
from tests.conftest import ROOT
from tests.reporting import HOSTILE, SAMPLE_DAY, call, hostile_lines, page_of, wide_lines

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)


# ---------- the command


def test_a_day_is_written_as_page_markdown_json_and_tables(meshlog, samples_lake, tmp_path):
    """The command prints the page's path; the other forms and the tables lie beside it."""
    ran = meshlog(
        "report", "--lake", samples_lake, "--date", "2026-11-23", "--out", tmp_path / "out", "--format", "csv"
    )

    assert (ran.code, ran.out) == (0, f"{tmp_path / 'out' / 'index.html'}\n")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.html", "report.md", "report.json", "tables"}
    assert (tmp_path / "out" / "tables" / "traces.csv").exists()


def test_a_span_is_reported_as_its_sessions_rows(meshlog, samples_lake, tmp_path):
    """With --since and --until the report holds what `meshlog sql` finds in the same window."""
    span = ("--since", "2026-11-23T20:55:50Z", "--until", "2026-11-23T20:55:56Z")
    ran = meshlog("report", "--lake", samples_lake, *span, "--out", tmp_path, "--format", "none")
    report = json.loads((tmp_path / "report.json").read_text())
    asked = meshlog("sql", "select count(*) as n from traces", "--lake", samples_lake, *span, "--format", "csv")

    assert ran.code == 0
    assert f"n\n{report['answers']['day_totals']['rows'][0]['requests']}\n" == asked.out
    assert [(each["period"], each["has_data"]) for each in report["earlier"]] == [
        ("the span before", True),
        ("the same span last week", False),
    ]
    assert "20:55:50 to 20:55:56 UTC" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--date", "today", "--since", "1h"), "--date names a whole day"),
        (("--until", "2026-11-23"), "--until needs a --since"),
        (("--since", "2026-11-23", "--until", "2026-11-22"), "--until 2026-11-22 is not after"),
        (("--slo", "100"), "--slo: 100.0 is no objective"),
        (("--slo", "0"), "--slo: 0.0 is no objective"),
        (("--slo-file", "none.toml"), "none.toml: cannot be read"),
        (("--date", "2026-13-01"), "is no date"),
    ],
)
def test_wrong_calls_end_with_2(meshlog, samples_lake, tmp_path, arguments, said):
    """Flags that contradict each other and values that are none end with 2, a sentence, and nothing written."""
    ran = meshlog("report", "--lake", samples_lake, *arguments, "--out", tmp_path / "out")

    assert ran.code == 2
    assert said in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [("--date", "2020-01-01"), ("--since", "2020-01-01", "--until", "2020-01-02")])
def test_a_time_without_lines_ends_with_5(meshlog, samples_lake, tmp_path, arguments):
    """A day or span that the lake holds nothing of ends with 5, names what there is, and writes nothing."""
    ran = meshlog("report", "--lake", samples_lake, *arguments, "--out", tmp_path / "out")

    assert ran.code == 5
    assert "It holds 2026-11-23" in ran.err
    assert not (tmp_path / "out").exists()


# ---------- periods


def test_a_day_is_held_against_the_day_before_and_the_weekday_last_week():
    """Days are of the time zone, with 23 or 25 hours where its clocks change."""
    period = day_period(date(2026, 10, 26), "Europe/Berlin")
    before, week = period.earlier

    assert period.window == Window(datetime(2026, 10, 25, 23, tzinfo=UTC), datetime(2026, 10, 26, 23, tzinfo=UTC))
    assert before.window == Window(datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC))
    assert week.name == "Monday last week"
    assert week.window == Window(datetime(2026, 10, 18, 22, tzinfo=UTC), datetime(2026, 10, 19, 22, tzinfo=UTC))


def test_a_span_is_held_against_as_long_a_time_before_it():
    """A span is held against the time before it and the same hours of last week, a week against the one before."""
    hour, week = span_period("1h", None, "UTC", NOW), span_period("7d", None, "UTC", NOW)

    assert hour.window == Window(datetime(2026, 11, 24, 2, tzinfo=UTC), NOW)
    assert [each.window for each in hour.earlier] == [
        Window(datetime(2026, 11, 24, 1, tzinfo=UTC), datetime(2026, 11, 24, 2, tzinfo=UTC)),
        Window(datetime(2026, 11, 17, 2, tzinfo=UTC), datetime(2026, 11, 17, 3, tzinfo=UTC)),
    ]
    assert [each.name for each in week.earlier] == ["the span before"]


def test_a_span_of_days_says_the_day_of_each_moment(tmp_path):
    """Where a time of the day could be that of several days, the date stands with it."""
    lines = [each for number in range(4) for each in call(number, number * 43_200_000, response_code=503)]
    page = page_of(tmp_path, *lines, period=span_period("2021-02-18", "2021-02-21", "UTC"))

    assert "2021-02-18 07:08:50 to 2021-02-19 19:08:50." in page.read_text()
    assert "18 February 2021 to 21 February 2021" in page.read_text()


# ---------- objectives


def test_objectives_come_from_flag_and_file(tmp_path):
    """The flag is the default of all services, a file has one of its own and those of single services."""
    file = tmp_path / "slo.toml"
    file.write_text('default = 99.5\n[services]\n"payments.shop" = 99.95\n')

    assert objectives(None, None).default == 0.999
    assert objectives(None, file).default == 0.995
    assert objectives(99.0, file).default == 0.99
    assert objectives(99.0, file).services == {"payments.shop": 0.9995}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default = 'high'", "default: 'high' is no objective"),
        ("default = true", "default: True is no objective"),
        ("[services]\n'a.b' = 101", "services.a.b: 101 is no objective"),
        ("services = 1", "services is no table"),
        ("slo = 1", "slo: not known"),
        ("default =", "is no TOML"),
    ],
)
def test_a_wrong_file_of_objectives_is_named(tmp_path, text, said):
    """What is wrong with a file is said with its name."""
    (tmp_path / "slo.toml").write_text(text)

    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        objectives(None, tmp_path / "slo.toml")
    assert "slo.toml" in str(caught.value)


# ---------- report.md and report.json


def test_markdown_tables_line_up_and_keep_their_columns(samples_lake, tmp_path):
    """Every row of a table is as wide as its head and has as many cells, with a bar in a cluster's name too."""
    write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path, tables_format=None)
    tables = re.findall(r"(?m)(?:^\|.*\n)+", (tmp_path / "report.md").read_text())

    assert len(tables) >= 8
    for table in tables:
        rows = table.splitlines()
        assert len({len(row) for row in rows}) == 1
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_markdown_says_what_the_page_says(samples_lake, tmp_path):
    """Verdict, findings with advice, and coverage stand in Markdown too."""
    write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path, tables_format=None)
    said = (tmp_path / "report.md").read_text()

    assert "**33 of 175 requests failed (18.9\u00a0%), 27 of them through `payments.shop`.**" in said
    assert "application down behind a healthy sidecar" in said
    assert "next: `kubectl -n shop logs deploy/payments --tail=200`" in said
    assert said.count("Coverage ") == 10


def test_hostile_lines_are_code_in_markdown(tmp_path):
    """Outside code spans Markdown has no character that a log could act with."""
    page_of(tmp_path, *hostile_lines(), tables_format=None)
    said = (tmp_path / "out" / "report.md").read_text()
    outside = re.sub(r"(?s)(`+)(?!`).*?(?<!`)\1(?!`)", "", said)

    assert "script>" in said
    for text in HOSTILE:
        assert text.split()[0] not in outside
    assert not re.search("[<>\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]", outside)


def test_json_has_its_documented_shape(samples_lake, tmp_path):
    """The names of report.json are those of docs/report.md, and grow with a version."""
    write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path, tables_format=None)
    report = json.loads((tmp_path / "report.json").read_text())
    documented = (ROOT / "docs" / "report.md").read_text()

    assert (report["format"], report["version"]) == ("meshlog-report", JSON_VERSION)
    assert f'"version": {JSON_VERSION}' in documented
    for name in [*report, *report["answers"]]:
        assert f"`{name}`" in documented, name
    for answer in report["answers"].values():
        assert set(answer) == {"question", "command", "found", "rows"}
    assert set(report["earlier"][0]) == {"period", "since", "until", "has_data", "calls", "services"}


# ---------- large and small


def test_a_mesh_of_300_services_fits_a_page(tmp_path):
    """The page of a large mesh stays under 2 MB, and says what it leaves out."""
    page = page_of(tmp_path, *wide_lines(300))
    report = json.loads((page.parent / "report.json").read_text())["answers"]

    assert page.stat().st_size < 2_000_000
    assert report["error_budgets"]["found"] == 300
    assert report["graph_edges"]["found"] == 300
    assert "And 264 more edges" in page.read_text()
    assert page.read_text().count('<article class="finding"') == 25
    assert page.read_text().count('<details><summary>  <h3 id="finding-') == 20
    assert "And 275 more services" in page.read_text()


def test_a_mesh_of_one_service_makes_a_page(tmp_path):
    """One service and one call are enough."""
    page = page_of(tmp_path, *call())
    report = json.loads((page.parent / "report.json").read_text())["answers"]

    assert [row["service"] for row in report["error_budgets"]["rows"]] == ["cart.shop"]
    assert "None of 1 requests failed." in page.read_text()


def test_a_circle_of_calls_can_be_drawn(tmp_path):
    """Services that call each other, and themselves, have a picture with every edge."""
    address = {"a.x": "10.1.0.1", "b.x": "10.1.0.2", "c.x": "10.1.0.3"}
    edges = (("a.x", "b.x"), ("b.x", "c.x"), ("c.x", "a.x"), ("a.x", "a.x"))
    lines = [
        each
        for number, (caller, called) in enumerate(edges)
        for each in call(number, number * 1000, service=called, client=address[caller], server=address[called])
    ]
    page = page_of(tmp_path, *lines).read_text()
    picture = page.split('<div class="chart picture">')[1].split("</svg>")[0]

    assert len(re.findall(r'<path[^>]*stroke="var\(--calm\)"', picture)) == len(edges)
    assert all(f">{name}</text>" in picture for name in address)


# ---------- the rendered sample

SAMPLE = ROOT / "reports" / "sample"


def rendered(folder: Path) -> dict[str, str]:
    """Write the report of the README's lake in a folder, and give its forms for people.

    A source is known by its absolute path, which differs from checkout to checkout; here it stays as it was typed.
    """
    (folder / "sample_logs").symlink_to(ROOT / "sample_logs")
    with contextlib.chdir(folder), mock.patch("pipeline.ingest.sources.os.path.abspath", str):
        load(["sample_logs/app_down.jsonl", "sample_logs/pods"], Path("lake"))
        page = write_nightly(Path("lake"), day_period(SAMPLE_DAY), Path("out"), tables_format=None)
        return {path.name: path.read_text() for path in (page, page.with_name("report.md"))}


def test_the_rendered_sample_is_current(tmp_path):
    """`reports/sample` is what the code writes; `python -m tests.test_nightly` writes it afresh."""
    for name, text in rendered(tmp_path).items():
        assert (SAMPLE / name).read_text() == text, f"{name} is old. Run: python -m tests.test_nightly"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        SAMPLE.mkdir(exist_ok=True)
        for name, text in rendered(Path(scratch)).items():
            (SAMPLE / name).write_text(text)
