"""Thresholds as cron and CI use them: what they compare, what they say, and how a wrong one is told."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.ingest.load import load
from pipeline.query.checked import is_kept, judged, verdict_lines
from pipeline.query.models import question
from pipeline.query.session import Session, open_session
from pipeline.query.thresholds import THRESHOLDS, limits
from tests.ingesting import line
from tests.reporting import HOSTILE, call

BAD = "payments.shop"


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    """A lake of 100 calls of cart of 1 to 100 ms, all well, 100 of payments, five failed, 3 of search, all failed."""
    folder = tmp_path_factory.mktemp("check")
    log: list[bytes] = []
    for number in range(100):
        log += call(number, 100 * number, duration=number + 1)
        code = 503 if number < 5 else 200
        log += call(1000 + number, 100 * number + 50, service=BAD, server="10.1.0.10", duration=5, response_code=code)
    for number in range(3):
        log += call(2000 + number, number, service="search.shop", server="10.1.0.11", duration=5, response_code=500)
    (folder / "access.log").write_bytes(b"".join(log))
    load([str(folder / "access.log")], folder / "lake")
    return folder / "lake"


@pytest.fixture(scope="module")
def session(lake) -> Iterator[Session]:
    """One session for all thresholds that are held against that lake."""
    with open_session(lake) as opened:
        yield opened


def held_against(session: Session, config: Path | None = None, **flags: Any) -> list[dict[str, Any]]:
    """Return the rows of a check with these flags and this file."""
    return judged(session, {"limits": json.dumps(limits(flags, config))})


def rows(ran: Any) -> list[dict[str, Any]]:
    """Return the rows of an answer in JSON lines."""
    return [json.loads(text) for text in ran.out.splitlines()]


def broken(found: list[dict[str, Any]]) -> list[tuple[str, str | None, float]]:
    """Return what an answer says is broken."""
    return [(row["measure"], row["service"], pytest.approx(row["value"])) for row in found if row["is_met"] is False]


# ---------- what is compared


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ({"max_error_rate": 0.05}, []),
        ({"max_error_rate": 0.04}, [("error_rate", BAD, 0.05)]),
        ({"slo": 95}, []),
        ({"slo": 95, "max_burn_rate": 0.99}, [("burn_rate", BAD, 1.0)]),
        ({"slo": 99}, [("burn_rate", BAD, 5.0)]),
        ({"slo": 99, "max_burn_rate": 6}, []),
        ({"max_p95_ms": 95}, [("p95_ms", "cart.shop", 95.05)]),
        ({"max_p99_ms": 100}, []),
        ({"max_retry_amplification": 1}, []),
        ({"max_unpaired_rate": 0}, []),
        ({"max_rejected_rate": 0}, []),
        ({"no_cause": ["app_down"]}, []),
        ({"no_cause": ["app_5xx"]}, [("cause", BAD, 5.0), ("cause", "search.shop", 3.0)]),
    ],
)
def test_a_threshold_holds_up_to_its_value(session, flags, found):
    """It is kept where the measure is at most the threshold, and broken, with service and value, where it is more."""
    checked = held_against(session, **flags)

    assert broken(checked) == found
    assert is_kept(checked) == (not found)


def test_three_requests_are_not_judged(session):
    """A service of three failed calls neither holds nor breaks a rate and is listed as open; if three do, it breaks."""
    strict = held_against(session, max_error_rate=0.5)
    lax = held_against(session, max_error_rate=0.5, min_requests=3)

    assert {row["service"]: row["is_met"] for row in strict} == {"cart.shop": True, BAD: True, "search.shop": None}
    assert broken(lax) == [("error_rate", "search.shop", 1.0)]


def test_nothing_judged_is_no_success(meshlog, lake):
    """Where every service has too few requests the rows say so and the exit code is 5, not 0."""
    ran = meshlog("check", "--lake", lake, "--max-error-rate", 0.5, "--min-requests", 1000)

    assert ran.code == 5
    assert "fewer than 1000 requests" in ran.out
    assert "--min-requests" in ran.err


def test_a_window_without_a_line_has_no_data(meshlog, empty_lake, lake):
    """Exit 5, nothing on stdout."""
    for arguments in (["--lake", empty_lake], ["--lake", lake, "--since", "2001-01-01", "--until", "2001-01-02"]):
        ran = meshlog("check", "--max-error-rate", 0.5, *arguments)

        assert (ran.code, ran.out) == (5, "")


def test_rejected_lines_and_one_sided_logs_are_measured(meshlog, tmp_path):
    """One reject in four lines, and two client's lines of three without the server's."""
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(call(0)) + line(7).replace(b'"response_code":200', b'"response_code":"abc"') + line(8))
    meshlog("ingest", log, "--lake", tmp_path / "lake", "--max-rejects", 100)
    both = ("--max-rejected-rate", 0.2, "--max-unpaired-rate", 0.3)
    ran = meshlog("check", "--lake", tmp_path / "lake", *both, "--min-requests", 1, "--format", "jsonl")

    assert ran.code == 3
    assert broken(rows(ran)) == [("rejected_rate", None, 0.25), ("unpaired_rate", None, 1 / 3)]


def test_rejects_count_in_the_window_of_their_ingest(meshlog, tmp_path):
    """A night of rejects does not stain the next one; a file of nothing else counts where its ingest does."""
    good, wrong = b"".join(call(0)), line(7).replace(b'"response_code":200', b'"response_code":"abc"')
    log = tmp_path / "logs" / "access.log"
    log.parent.mkdir()
    log.write_bytes(good)
    (tmp_path / "logs" / "broken.log").write_bytes(wrong * 2)
    meshlog("ingest", log.parent, "--lake", tmp_path / "lake", "--max-rejects", 100)
    log.write_bytes(good + b"".join(call(1, at_ms=86_400_000)))
    meshlog("ingest", log.parent, "--lake", tmp_path / "lake")

    def rejected(*window: str) -> list[float]:
        flags = ("--max-rejected-rate", 1, "--min-requests", 1, "--format", "jsonl", *window)
        return [row["value"] for row in rows(meshlog("check", "--lake", tmp_path / "lake", *flags))]

    assert rejected("--until", "2021-02-19") == [0.5]
    assert rejected("--since", "2021-02-19") == [0.0]


def test_the_figures_are_those_of_the_tables(samples_lake):
    """Error rates agree with service_graph summed over callers, amplification with retries, coverage with coverage."""
    flags = {"max_error_rate": 1, "max_retry_amplification": 9, "max_unpaired_rate": 1, "min_requests": 1}
    with open_session(samples_lake) as samples:
        values = {(row["measure"], row["service"]): row["value"] for row in held_against(samples, **flags)}
        edges = samples.rows("select service, sum(errors) / sum(calls) as value from service_graph group by service")
        payments = samples.rows(f"select chain_attempts_per_call as value from retries where service = '{BAD}'")
        unpaired = samples.rows("select sum(unpaired) / sum(rows_in_window) as value from coverage")

    assert {("error_rate", row["service"]): row["value"] for row in edges}.items() <= values.items()
    assert values["retry_amplification", BAD] == payments[0]["value"]
    assert values["unpaired_rate", None] == pytest.approx(unpaired[0]["value"])


# ---------- what is said


def test_the_text_names_each_broken_threshold_first(meshlog, lake):
    """What failed with service, value and threshold; then what held, and how near; then what is open; then the sum."""
    ran = meshlog(
        "check", "--lake", lake, "--max-error-rate", 0.01, "--max-unpaired-rate", 0.1, "--no-cause", "app_down"
    )

    assert ran.code == 3
    assert ran.out.splitlines() == [
        "FAILED  payments.shop: error_rate 0.05 is more than 0.01, 100 requests",
        "held    no call shows app_down",
        "held    cart.shop: error_rate 0 of at most 0.01, 100 requests",
        "held    the whole mesh: unpaired_rate 0 of at most 0.1, 406 lines",
        "open    search.shop: fewer than 100 requests",
        "1 of 5 checks failed.",
    ]


@pytest.mark.parametrize("kind", ["table", "json"])
def test_every_format_gives_the_reasons_as_rows(meshlog, lake, kind):
    """The exit code is the same, and the reason is in the rows."""
    ran = meshlog("check", "--lake", lake, "--max-error-rate", 0.01, "--format", kind)

    assert ran.code == 3
    assert "error_rate 0.05 is more than 0.01, 100 requests" in ran.out


def test_rows_in_a_file_keep_the_exit_code(meshlog, lake, tmp_path):
    """`-o check.json` writes the file and still exits with 3."""
    ran = meshlog("check", "--lake", lake, "--max-error-rate", 0.01, "-o", tmp_path / "check.json")

    assert (ran.code, ran.out) == (3, "")
    assert "is more than 0.01" in (tmp_path / "check.json").read_text()


def test_services_from_a_hostile_log_are_only_shown(meshlog, tmp_path):
    """A service that names itself to steer a terminal is printed with escapes."""
    log = [each for number, text in enumerate(HOSTILE) for each in call(number, service=text.replace("|", ""))]
    (tmp_path / "access.log").write_bytes(b"".join(log))
    load([str(tmp_path / "access.log")], tmp_path / "lake")
    ran = meshlog("check", "--lake", tmp_path / "lake", "--max-p95-ms", 1, "--min-requests", 1)

    assert ran.code == 3
    assert ran.out.replace("\n", "").isprintable()


# ---------- the thresholds file


def toml(folder: Path, text: str) -> Path:
    """Write a thresholds file."""
    (folder / "thresholds.toml").write_text(text)
    return folder / "thresholds.toml"


def test_a_service_of_its_own_has_its_own_thresholds(session, tmp_path):
    """What a service's table says stands instead of the general thresholds, and what it leaves out stays."""
    general = "max_error_rate = 0.01\nmax_p95_ms = 90\n"
    own = f'[services."{BAD}"]\nmax_error_rate = 0.5\n[services."search.shop"]\nmin_requests = 1\n'
    checked = held_against(session, toml(tmp_path, general + own))

    assert broken(checked) == [("error_rate", "search.shop", 1.0), ("p95_ms", "cart.shop", 95.05)]
    assert {row["threshold"] for row in checked if row["service"] == BAD} == {0.5, 90}


def test_a_flag_outweighs_the_file(session, tmp_path):
    """The same threshold from a flag counts; the others of the file stay."""
    config = toml(tmp_path, "max_error_rate = 0.01\nmin_requests = 3\n")

    assert broken(held_against(session, config)) == [("error_rate", "search.shop", 1.0), ("error_rate", BAD, 0.05)]
    assert broken(held_against(session, config, max_error_rate=0.05)) == [("error_rate", "search.shop", 1.0)]


def test_causes_of_a_service_are_its_culprits(session, tmp_path):
    """A cause is forbidden where its culprit is that service; an empty list allows what is forbidden elsewhere."""
    config = toml(tmp_path, f'no_cause = ["app_5xx"]\n[services."{BAD}"]\nno_cause = []\n')

    assert broken(held_against(session, config)) == [("cause", "search.shop", 3.0)]


def test_what_one_service_shows_is_not_said_to_be_absent(session, tmp_path):
    """A service with thresholds of its own that is free of a cause does not make it one that no call shows."""
    config = toml(tmp_path, 'no_cause = ["app_5xx", "app_crash"]\n[services."cart.shop"]\nmin_requests = 1\n')
    lines = [line.text for line in verdict_lines(held_against(session, config), 80)]

    assert [line for line in lines if "no call shows" in line] == ["held    no call shows app_crash"]


def test_a_service_that_nobody_called_is_open(session, tmp_path):
    """A service that the file names and the window lacks is listed, not passed over."""
    config = toml(tmp_path, 'max_error_rate = 0.5\n[services."gone.shop"]\nmax_error_rate = 0.1\n')
    checked = held_against(session, config)

    assert is_kept(checked)
    assert "open    gone.shop: no error_rate to judge" in [line.text for line in verdict_lines(checked, 80)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_error_rate = \n", ":1: the thresholds are not TOML"),
        ("# ours\nmax_error_rate 0.01\n", ":2: the thresholds are not TOML"),
        ("max_error_rate = 'x\n", ":1: the thresholds are not TOML"),
        (
            "min_requests = 5\nmax_eror_rate = 0.01\n",
            ":2: max_eror_rate: there is no such threshold. Did you mean max_error_rate?",
        ),
        ("\n\nmax_error_rate = 2\n", ":3: max_error_rate: 2 is not a number from 0 to 1"),
        ("max_error_rate = nan\n", ":1: max_error_rate: nan is not a number"),
        ("max_p99_ms = true\n", ":1: max_p99_ms: True is not a number"),
        ("max_p99_ms = '5'\n", ":1: max_p99_ms: '5' is not a number"),
        ("slo = 100\n", ":1: slo: 100 is not a percentage below 100"),
        ("min_requests = 1.5\n", ":1: min_requests: 1.5 is not a whole number"),
        ("no_cause = ['app_dwn']\n", ":1: no_cause: ['app_dwn'] is not a list of causes: connect_refused"),
        ("no_cause = 'app_down'\n", ":1: no_cause: 'app_down' is not a list"),
        ("max_p95_ms = 5\nservices = 3\n", ":2: services: is no table of tables"),
        ("[services]\nmax_p95_ms = 5\n", "services: is no table of tables"),
        ('[services."a.b"]\nmax_p95_ms = 5\nmax_p99_mss = 5\n', ":3: max_p99_mss: there is no such threshold"),
        ('[services."a.b"]\nmax_p95_ms = 5\n[services."c.d"]\nmax_p95_ms = "x"\n', ":4: max_p95_ms: 'x' is not"),
        ('[services."a.b"]\nmax_unpaired_rate = 0.5\n', ":2: max_unpaired_rate: is of the whole mesh"),
        ("max_burn_rate = 2\n", "name the objective, too"),
        ("min_requests = 2\n", "there is nothing to check"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(meshlog, lake, tmp_path, text, said):
    """Exit 2; the message names file, line and what would be right; nothing is judged."""
    ran = meshlog("check", "--lake", lake, "--config", toml(tmp_path, text))

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err
    if said.startswith(":"):
        assert f"{tmp_path}/thresholds.toml{said}" in ran.err


def test_a_file_that_is_not_there_is_named(meshlog, lake, tmp_path):
    """Exit 1, as for every file that cannot be read."""
    ran = meshlog("check", "--lake", lake, "--config", tmp_path / "none.toml")

    assert ran.code == 1
    assert "none.toml: the thresholds cannot be read" in ran.err


def test_a_file_that_is_no_text_is_named(meshlog, lake, tmp_path):
    """Exit 2 for bytes that are not UTF-8."""
    (tmp_path / "thresholds.toml").write_bytes(b"max_error_rate = '\xff'\n")

    assert meshlog("check", "--lake", lake, "--config", tmp_path / "thresholds.toml").code == 2


@pytest.mark.parametrize(
    "flags", [(), ("--max-error-rate", 2), ("--max-error-rate", "nan"), ("--no-cause", "nope"), ("--max-burn-rate", 1)]
)
def test_a_wrong_flag_is_a_usage_error(meshlog, lake, flags):
    """Exit 2, as for nothing to check at all."""
    ran = meshlog("check", "--lake", lake, *flags)

    assert (ran.code, ran.out) == (2, "")


@given(st.text(max_size=200))
def test_any_text_is_thresholds_or_a_usage_error(tmp_path_factory, text):
    """Whatever a file holds: rows, or one message."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(UsageError):
        assert limits({}, path)


def test_every_threshold_has_its_measure_in_the_question():
    """A threshold without a measure would never be judged."""
    sql = question("thresholds")

    assert [one.measure for one in THRESHOLDS if f"'{one.measure}' as measure" not in sql] == []
