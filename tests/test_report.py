"""The nightly report against the tables: its numbers are theirs, and a run that fails leaves nothing behind."""

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from pipeline.errors import LakeError, MeshlogError, NoDataError, UsageError
from pipeline.ingest.load import load
from pipeline.query.session import open_session
from pipeline.query.window import day_window
from pipeline.report import text
from pipeline.report.nightly import TABLES, write_nightly
from pipeline.report.objectives import Objectives
from pipeline.report.periods import day_period
from pipeline.report.questions import ask
from pipeline.text import whom
from tests.conftest import ROOT
from tests.ingesting import line
from tests.reporting import DAY, SAMPLE_DAY, call, hostile_lines, large_lines, page_of, quiet_lines


@pytest.fixture(scope="module")
def written(samples_lake, tmp_path_factory):
    """The samples' page and tables."""
    return write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def session(samples_lake):
    """The tables of the samples' day."""
    opened = open_session(samples_lake, day_window(SAMPLE_DAY, "UTC"))
    yield opened
    opened.close()


def texts_of(page: Path) -> str:
    """Give a page's text as a reader meets it: no markup, one space between words."""
    source = re.sub(r"(?s)<(style|svg)\b.*?</\1>", " ", page.read_text())
    return " ".join(unescape(re.sub(r"<(?!wbr)[^>]*>", " ", source).replace("<wbr>", "")).split())


def report_of(page: Path) -> dict[str, Any]:
    """Give the report.json beside a page."""
    report: dict[str, Any] = json.loads((page.parent / "report.json").read_text())
    return report


def values_of(page: Path) -> list[str]:
    """Give the figures of the totals."""
    return [unescape(value) for value in re.findall(r'<dd class="value">(.*?)</dd>', page.read_text())]


# ---------- numbers


def test_the_verdict_and_the_totals_are_those_of_the_tables(written, session):
    """Requests and failures are what `traces` says; calls, their failures and times what the callers' lines say."""
    [requests] = session.rows("select count(*) as n, count(*) filter (where is_error) as failed from traces")
    [calls] = session.rows(
        """
        select
            count(*) as calls,
            count(*) filter (where is_error) as failed,
            avg(is_error::integer) as error_rate,
            quantile_cont(duration_ms, 0.5) filter (where kind <> 'tcp') as p50,
            quantile_cont(duration_ms, 0.95) filter (where kind <> 'tcp') as p95,
        from access_logs
        where direction = 'outbound'
        """
    )

    assert f"{requests['failed']} of {requests['n']} requests failed" in texts_of(written)
    assert values_of(written) == [
        text.count(calls["calls"]),
        text.count(calls["failed"]),
        text.rate(calls["error_rate"]),
        text.ms(calls["p50"]),
        text.ms(calls["p95"]),
    ]


def test_every_finding_is_on_the_page(written, session):
    """Each diagnosis stands on the page with its title, counts, evidence, advice and next command."""
    page = texts_of(written)
    findings = session.rows("from diagnoses")

    assert findings
    for finding in findings:
        assert finding["title"] in page
        assert finding["advice"] in page
        assert finding["next_command"] in page
        assert (finding["client_evidence"] or "") in page
        assert (finding["server_evidence"] or "") in page


def test_failed_requests_of_findings_add_up(session):
    """Every failed request belongs to exactly one finding, so the findings' counts add up to the total."""
    findings = ask(session, "findings", limit=1000).rows
    [row] = session.rows("select count(*) as failed from traces where is_error")

    assert sum(finding["failed_requests"] for finding in findings) == row["failed"]


def test_coverage_is_stated_with_the_loads_counts(written, session):
    """Lines, sources, rejects and noise are what the table loads says."""
    [row] = session.rows(
        "select sum(lines) as lines, sum(rejects) as rejects, sum(noise) as noise, count(distinct source) as n "
        "from loads"
    )

    assert (
        f"Read {row['lines']:,.0f} lines from {row['n']} sources: 888 rows of this day, "
        f"{row['rejects']:,.0f} rejected , {row['noise']:,.0f} noise."
    ) in texts_of(written)


def test_steps_of_time_add_up_to_the_totals(session):
    """The steps of the error rate's chart hold every request of the day once."""
    steps = ask(session, "requests_over_time").rows
    totals = ask(session, "day_totals").rows[0]

    assert sum(step["requests"] for step in steps) == totals["requests"]
    assert sum(step["failed"] for step in steps) == totals["failed"]
    assert [step["position"] for step in steps] == list(range(len(steps)))


def test_calls_lie_inside_their_request(session):
    """A waterfall has each call once, the server's bar inside the client's, the root at 0."""
    ids = [row["trace_id"] for row in session.rows("select trace_id from traces where hops > 1")]
    calls = ask(session, "request_calls", trace_ids=ids, limit=1000).rows
    paired = [call for call in calls if call["link"] in ("address", "endpoint") and call["attempt"] == call["attempts"]]

    [row] = session.rows("select sum(hops)::bigint as hops from traces where hops > 1")
    assert len(calls) == row["hops"]
    assert all(call["server_from_ms"] >= call["client_from_ms"] for call in paired)
    assert {call["client_from_ms"] for call in calls if call["depth"] == 0} == {0}


def test_tries_of_a_call_stand_in_their_order(session):
    """A waterfall shows the tries of one call one after the other, from the first to the last."""
    ids = [row["trace_id"] for row in session.rows("select distinct trace_id from trace_spans where attempts > 1")]
    calls = ask(session, "request_calls", trace_ids=ids, limit=1000).rows
    tries = [(call["trace_id"], call["attempt"]) for call in calls if call["attempts"] > 1]

    assert tries
    assert tries == sorted(tries)


def test_earlier_days_are_compared_with(tmp_path):
    """The totals say by how much each measure differs from the day before and from the same weekday of last week."""
    before = [each.replace(b"2021-02-18T", b"2021-02-17T") for each in quiet_lines()[:8]]
    last_week = [each.replace(b"2021-02-18T", b"2021-02-11T") for each in quiet_lines()[:4]]
    failed = list(call(90, 90_000, response_code=503, response_flags="UF"))

    page = texts_of(page_of(tmp_path, *last_week, *before, *quiet_lines(), *failed))

    assert "Calls 11 +7 from 4 the day before +9 from 2 Thursday last week" in page
    assert "Failed calls 1 +1 from 0 the day before +1 from 0 Thursday last week" in page
    assert "Error rate 9.1 % +9.1 points from 0 % the day before" in page
    assert "Median time 5 ms no change from 5 ms the day before" in page


def test_services_that_differ_by_much_are_named(tmp_path):
    """A service that fails more, one that is new and one that is gone stand out; one that is the same does not."""

    def day(of: str, fails: int, others: str) -> list[bytes]:
        lines = []
        for number in range(60):
            failed = {"response_code": 503, "response_flags": "UF"} if number < fails else {}
            lines += call(number, number * 100, service="payments.shop", **failed)
            lines += call(100 + number, number * 100, service=others)
            lines += call(200 + number, number * 100, service="steady.shop")
        return [each.replace(b"2021-02-18T", of.encode() + b"T") for each in lines]

    page = page_of(tmp_path, *day("2021-02-17", 1, "old.shop"), *day("2021-02-18", 30, "young.shop"))
    changes = report_of(page)["answers"]["services_against_earlier"]["rows"]

    assert [(row["service"], row["period"], row["change"]) for row in changes] == [
        ("payments.shop", "the day before", "fails more"),
        ("old.shop", "the day before", "gone"),
        ("young.shop", "the day before", "new"),
    ]
    assert "payments.shop the day before fails more 60 → 60 1.7 % → 50.0 %" in texts_of(page)
    assert "No data for Thursday last week" in texts_of(page)


def test_a_first_day_has_nothing_to_compare_with(written):
    """Where the lake has no line of earlier days, the page says so once for each, and compares nothing."""
    page = texts_of(written)

    assert "no data for the day before or Monday last week" in page
    assert page.count("No data for") == 2
    assert page.count("no earlier data") == 5


def test_error_budgets_burn_as_the_workbook_says(tmp_path):
    """A rate needs both of its windows; objectives of single services count; earlier lines fill the long windows."""
    lines = []
    for number in range(720):  # a call a minute for the twelve hours before 19:08, the last of them failing
        failed = {"response_code": 503, "response_flags": "UF"} if number >= 690 else {}
        for service in ("payments.shop", "cart.shop"):
            lines += call(number, number * 60_000, service=service, **failed)
    wanted = Objectives(0.999, {"cart.shop": 0.9})
    page = page_of(tmp_path, *lines, objectives=wanted)
    budgets = {row["service"]: row for row in report_of(page)["answers"]["error_budgets"]["rows"]}

    payments, cart = budgets["payments.shop"], budgets["cart.shop"]
    assert (payments["calls"], payments["failed"]) == (720, 30)
    assert payments["budget_used"] == pytest.approx(30 / 0.72)
    # the last hour: 30 of 60 failed, the last five minutes all; the calmer of both counts
    assert payments["burn_1h"] == pytest.approx(0.5 / 0.001)
    assert payments["burn_6h"] == pytest.approx(30 / 360 / 0.001)
    assert payments["burn_3d"] == pytest.approx(30 / 720 / 0.001)
    assert cart["burn_1h"] == pytest.approx(0.5 / 0.1)
    assert cart["page_1h_at"] is None
    assert cart["page_1h_minutes"] == 0
    assert payments["page_1h_at"].startswith("2021-02-18T18:40")
    assert "12 hours of the three days" in texts_of(page)


@pytest.mark.parametrize(("failed", "alerts"), [(2, 0), (3, 1)])
def test_a_failure_or_two_alert_nobody(tmp_path, failed, alerts):
    """A service of a few calls burns its budget fast with one failure; it takes three for an alert."""
    bad = {"response_code": 503, "response_flags": "UF"}
    lines = [each for number in range(10) for each in call(number, number, **(bad if number < failed else {}))]
    [row] = report_of(page_of(tmp_path, *lines))["answers"]["error_budgets"]["rows"]

    assert row["burn_1h"] == pytest.approx(failed / 10 / 0.001)
    assert [row["page_1h_minutes"], row["page_6h_minutes"], row["ticket_3d_minutes"], row["paging"]] == [alerts] * 4


def test_earlier_lines_fill_long_windows_and_no_more(tmp_path):
    """Lines of two days ago count for the three days' window, neither for the day's budget nor for its alerts."""
    early = [
        each.replace(b"2021-02-18T", b"2021-02-16T")
        for number in range(90)
        for each in call(500 + number, number * 60_000)
    ]
    failed = [each for number in range(10) for each in call(number, 0, response_code=503, response_flags="UF")]
    [row] = report_of(page_of(tmp_path, *early, *failed))["answers"]["error_budgets"]["rows"]

    assert (row["calls"], row["failed"]) == (10, 10)
    assert row["burn_3d"] == pytest.approx(10 / 100 / 0.001)


def test_each_section_says_what_it_rests_on(written, session):
    """The share of what was logged well enough stands beside every section's heading."""
    page = texts_of(written)
    [calls] = session.rows(
        "select count(*) as calls, count(*) filter (where link in ('address', 'endpoint')) as paired from hops "
        "where attempt = attempts"
    )

    assert f"{calls['paired']} of {calls['calls']} calls were logged by both sides." in page
    for heading in re.findall(r"<section id=\"(\w+)\"", written.read_text()):
        section = written.read_text().split(f'<section id="{heading}"')[1].split("</section>")[0]
        assert heading == "coverage" or section.count('class="rests') == 1


def test_a_day_begins_at_midnight_of_its_time_zone(tmp_path):
    """Lines count for the day that they began on in the time zone asked for."""
    early = [each.replace(b"T07:", b"T22:") for each in quiet_lines()]
    (tmp_path / "log.jsonl").write_bytes(b"".join([*quiet_lines()[:4], *early]))
    load([str(tmp_path / "log.jsonl")], tmp_path / "lake")

    here = write_nightly(tmp_path / "lake", day_period(DAY, "Europe/Berlin"), tmp_path / "here")
    tomorrow = write_nightly(tmp_path / "lake", day_period(DAY + timedelta(days=1), "Asia/Tokyo"), tmp_path / "there")

    assert values_of(here)[0] == "12"
    assert "08:08:50" in texts_of(here)
    assert values_of(tomorrow)[0] == "10"
    assert "07:08:50" in texts_of(tomorrow)


# ---------- what a page says when there is little to say


def test_a_quiet_day_says_so(tmp_path):
    """Sections without a row are a sentence, not an empty table."""
    page = texts_of(page_of(tmp_path, *quiet_lines()))

    assert "None of 10 requests failed." in page
    for sentence in (
        "Nothing went wrong on this day.",
        "No cluster failed a call on this day.",
        "No request failed on this day.",
        "No proxy tried a call again on this day.",
        "No endpoint stands out from its siblings.",
        "The lines for it reach back 1 minute of the three days.",
    ):
        assert sentence in page


@pytest.mark.parametrize(
    ("culprit", "cause", "service", "said"),
    [
        ("cart.shop", "app_5xx", "cart.shop", "cart.shop"),
        (None, "unknown", "cart.shop", "not known"),
        (None, "app_5xx", None, "not known"),
        (None, "client_gone", "cart.shop", "outside the mesh"),
    ],
)
def test_nobody_is_outside_the_mesh_whom_no_line_places_there(culprit, cause, service, said):
    """A finding without a culprit says whether that is known: an open cause and a call to no service tell nothing."""
    assert whom(culprit, cause, service) == said


def test_one_sided_lines_make_a_page(tmp_path):
    """A log of nothing but client lines, or of nothing but server lines, is reported too."""
    for side in (0, 1):
        lines = [each for number in range(3) for each in list(call(number, number * 1000))[side : side + 1]]
        page = texts_of(page_of(tmp_path / str(side), *lines))

        assert "None of 3 requests failed." in page
        assert "No answered call was logged from both sides" in page


@pytest.mark.parametrize(
    ("side", "known", "saw", "culprit"),
    [
        (0, 0, "Calls between services, as their callers saw them", "cart.shop"),
        (1, 0, "Calls between services, as the called proxies saw them", "not known"),
    ],
)
def test_one_sided_failures_are_told_as_such(tmp_path, side, known, saw, culprit):
    """The page says who saw the calls, that the other side is missing, and names nobody whom no line names."""
    failed = {"response_code": 503, "response_flags": "UF"}
    lines = [each for number in range(3) for each in list(call(number, number * 1000, **failed))[side : side + 1]]
    page = texts_of(page_of(tmp_path, *lines))

    assert saw in page
    assert f"{known} of 3 failed calls were logged by each side that took part" in page
    assert f"{culprit} " in page.split("What cost the most requests stands first.")[1][:20]


def test_failures_that_callers_do_not_see_are_counted_beside_budgets(written):
    """A gRPC call that fails in its status is none of the failed calls of budgets, and their coverage says so."""
    page = texts_of(written)

    assert page.count("; 3 calls failed though the caller's line tells success.") == 2


def test_rejects_and_damage_are_stated_first(tmp_path):
    """Rejected lines and sources that could not be read to the end stand in the summary."""
    bad = [b'{"start_time":"yesterday","response_code":200,"duration":1}\n'] * 3
    page = texts_of(page_of(tmp_path, *quiet_lines(), *bad))

    assert "Read 23 lines from 1 source: 20 rows of this day, 3 rejected , 0 noise." in page


def test_long_results_are_cut_and_counted(tmp_path):
    """A large mesh with long names stays under 2 MB; what was left out is counted, with the query that shows it."""
    page = page_of(tmp_path, *large_lines())

    assert page.stat().st_size < 2_000_000
    asked = rf"meshlog sql --lake {tmp_path}/lake --since 2021-02-18T00:00:00Z --until 2021-02-19T00:00:00Z"
    assert re.search(rf"And \d+ more findings: {asked} \"from diagnoses\"", texts_of(page))
    assert re.search(rf"And 37 more calls: {asked} \"from trace_spans where", texts_of(page))


# ---------- no page


def test_a_day_without_lines_names_the_days_there_are(samples_lake, tmp_path):
    """A day that the lake holds nothing of ends with exit code 5, and the message says what it holds."""
    with pytest.raises(NoDataError, match=r"no access-log line of 2020-01-01 \(UTC\). It holds 2026-11-23") as caught:
        write_nightly(samples_lake, day_period(date(2020, 1, 1)), tmp_path / "out")

    assert caught.value.exit_code == 5
    assert not (tmp_path / "out").exists()


def test_an_empty_lake_says_how_to_fill_it(empty_lake, tmp_path):
    """An empty lake ends with exit code 5 and names the next command."""
    with pytest.raises(NoDataError, match="meshlog ingest PATH"):
        write_nightly(empty_lake, day_period(DAY), tmp_path / "out")


@pytest.mark.parametrize("day", ["last", "2021-02-18"])
def test_a_lake_of_rejects_says_how_to_see_them(meshlog, tmp_path, day):
    """Lines were read and none is a row: that is no empty lake."""
    (tmp_path / "log.jsonl").write_bytes(b'{"start_time":"yesterday","response_code":200,"duration":1}\n' * 3)
    load([str(tmp_path / "log.jsonl")], tmp_path / "lake")
    ran = meshlog("report", "--lake", tmp_path / "lake", "--date", day, "--out", tmp_path / "out")

    assert ran.code == 5
    assert "of 3 lines read 3 were rejected" in ran.err
    assert "from quarantine" in ran.err


def test_many_days_are_named_by_their_ends(tmp_path):
    """A lake of more than a week names its first and its last day."""
    days = [datetime(2021, 3, day, 7, tzinfo=UTC) for day in range(1, 11)]
    (tmp_path / "log.jsonl").write_bytes(b"".join(line(start_time=f"{day:%Y-%m-%dT%H:%M:%S}Z") for day in days))
    load([str(tmp_path / "log.jsonl")], tmp_path / "lake")

    with pytest.raises(NoDataError, match="It holds 10 days from 2021-03-01 to 2021-03-10"):
        write_nightly(tmp_path / "lake", day_period(DAY), tmp_path / "out")


def test_wrong_places_and_zones_are_named(samples_lake, tmp_path):
    """No lake, an unknown time zone and an output that cannot be written each end in meshlog's own error."""
    (tmp_path / "file").write_text("here")

    with pytest.raises(LakeError):
        write_nightly(tmp_path / "none", day_period(DAY), tmp_path / "out")
    with pytest.raises(UsageError, match="Nowhere/Land"):
        write_nightly(samples_lake, day_period(SAMPLE_DAY, "Nowhere/Land"), tmp_path / "out")
    with pytest.raises(MeshlogError, match="file: cannot be written"):
        write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path / "file")


def test_a_failed_run_leaves_the_last_page(samples_lake, tmp_path, monkeypatch):
    """When writing fails half-way, yesterday's page and tables stay as they were, and nothing is left beside them."""
    page = write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.query.session.Session.copy", fail)
    with pytest.raises(MeshlogError, match="No space left on device"):
        write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path)

    assert page in before
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "report.json", "report.md", "tables"]


# ---------- tables


@pytest.mark.parametrize(("tables_format", "reader"), [("parquet", "parquet"), ("csv", "csv"), ("json", "json_auto")])
def test_tables_are_written_as_asked(samples_lake, session, tmp_path, tables_format, reader):
    """Each table is a file in the format asked for, with all of its rows, and replaces one in another format."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "traces.old").write_text("the user's own")
    write_nightly(
        samples_lake, day_period(SAMPLE_DAY), tmp_path, tables_format="csv" if tables_format == "json" else "json"
    )
    write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path, tables_format=tables_format)

    names = {path.name for path in (tmp_path / "tables").iterdir()}
    assert names == {f"{table}.{tables_format}" for table in TABLES} | {"traces.old"}
    for table in TABLES:
        [row] = session.rows(f"select count(*) as rows from {table}")
        file = tmp_path / "tables" / f"{table}.{tables_format}"
        assert duckdb.sql(f"select count(*) from read_{reader}('{file}')").fetchall() == [(row["rows"],)]


def test_no_tables_are_written_where_none_are_wanted(samples_lake, tmp_path):
    """With no format the page stands alone."""
    write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path, tables_format=None)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "report.json", "report.md"]


# ---------- what logs wrote


def test_two_runs_write_the_same_page(samples_lake, written, tmp_path):
    """The same lake and day give the same bytes: a page holds no time of its making."""
    assert write_nightly(samples_lake, day_period(SAMPLE_DAY), tmp_path).read_bytes() == written.read_bytes()


def test_no_control_or_direction_character_reaches_the_page(tmp_path):
    """Control and direction characters of a log are escapes on the page, in drawings as in text."""
    source = page_of(tmp_path, *hostile_lines()).read_text()

    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", source)
    assert r"\x1b]0" in source
    assert r"photo\u202egpj.exe" in source


class Tags(HTMLParser):
    """Collects what a browser would build from a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.targets: set[str] = set()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, its attributes and where it leads."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.targets |= {value or "" for name, value in attrs if name in ("href", "src")}


def test_no_markup_of_a_log_reaches_the_page(written, tmp_path):
    """A hostile log adds no tag and no attribute to those of any page, and nothing leads out of it."""
    source = page_of(tmp_path, *hostile_lines()).read_text()
    hostile, usual = Tags(source), Tags(written.read_text())

    assert hostile.tags <= usual.tags
    assert hostile.attributes <= usual.attributes | {"title"}
    assert all(target.startswith("#") or target == "data:," for target in hostile.targets)
    assert source.count("</style>") == source.count("</title>") == 1
    assert "{{ 7 * 7 }}{% raw %}" in source


def test_every_command_gives_the_numbers_beside_it(written, meshlog):
    """Each SQL of the page is a command of report.json that, run as it stands, prints the rows that the report has."""
    source = written.read_text()
    shown = [unescape(code) for code in re.findall(r'(?s)<pre class="sql"[^>]*><code[^>]*>(.*?)</code>', source)]
    report = report_of(written)
    earlier = [each[name] for each in report["earlier"] for name in ("calls", "services")]
    answers = [*report["answers"].values(), *earlier]

    assert sorted(shown) == sorted(answer["command"] for answer in answers)
    for answer in answers:
        first, sql = answer["command"].removesuffix("\nSQL").split(" <<'SQL'\n", 1)
        ran = meshlog(*shlex.split(first)[1:], "--format", "json", stdin=sql)

        assert ran.code == 0, ran.err
        assert [spoken(row) for row in json.loads(ran.out)] == [spoken(row) for row in answer["rows"]]


def spoken(row: dict) -> dict:
    """Give a row with its moments in one spelling."""

    def moment(value: object) -> object:
        is_moment = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d[T ][\d:.]+[+-]\d\d(:\d\d)?", value)
        return datetime.fromisoformat(value) if is_moment else value

    return {name: moment(value) for name, value in row.items()}


def test_a_command_can_be_pasted_into_a_shell(written, tmp_path):
    """A command with its here-document is one paste, whatever the lake's path holds."""
    lake = tmp_path / "it's a $(lake)"
    report_folder = tmp_path / "out"
    lake.symlink_to(report_of(written)["lake"])
    write_nightly(lake, day_period(SAMPLE_DAY), report_folder, tables_format=None)
    command = json.loads((report_folder / "report.json").read_text())["answers"]["window_calls"]["command"]
    (tmp_path / "meshlog").write_text(f"#!{sys.executable}\nfrom pipeline.cli import cli\ncli()\n")
    (tmp_path / "meshlog").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=120)

    assert ran.returncode == 0, ran.stderr
    assert "449" in ran.stdout


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, text.NOTHING),
        (0, "0 ms"),
        (0.75, "0.8 ms"),
        (9.96, "10 ms"),
        (250.4, "250 ms"),
        (999.7, "1.00 s"),
        (1250, "1.25 s"),
        (90_000, "1.5 min"),
    ],
)
def test_times_carry_the_unit_that_fits(value, shown):
    """A time is printed in the unit a reader would choose, held together with it."""
    assert text.ms(value) == shown.replace(" ", "\u00a0")


def test_figures_are_as_short_as_they_can_be():
    """Times that are all 0 are one 0, a factor has its thousands apart, a minute no seconds."""
    assert text.spread([0, 0.0, None]) == "0\u00a0ms"
    assert text.spread([0, 0.5, 2]) == "0\u00a0/\u00a00.5\u00a0/\u00a02\u00a0ms"
    assert text.factor(999.99) == "1,000\u00d7"
    assert text.minute(datetime(2021, 2, 18, 7, 8, tzinfo=UTC), ZoneInfo("UTC")) == "07:08"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, text.NOTHING),
        (0, "0 %"),
        (0.0004, "<0.1 %"),
        (0.12345, "12.3 %"),
        (0.9999, ">99.9 %"),
        (1, "100 %"),
    ],
)
def test_a_share_never_rounds_to_nothing_or_to_all(value, shown):
    """What is not 0 % or 100 % does not read as such."""
    assert text.rate(value) == shown.replace(" ", "\u00a0")
