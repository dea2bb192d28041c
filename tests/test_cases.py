"""What the rules say of the lines in `tests/cases`, whatever style the lines are written in."""

import csv
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import telling

from pipeline.ingest.load import load
from pipeline.query.models import seeds
from pipeline.query.session import open_session

FOLDER = Path(__file__).parent / "cases"
CASES: list[dict[str, Any]] = [
    case | {"file": path.stem}
    for path in sorted(FOLDER.glob("*.toml"))
    for case in tomllib.loads(path.read_text(encoding="utf-8"))["case"]
]
STYLES: dict[str, Callable[[telling.Fields], str]] = {
    "text": telling.text,
    "typed": telling.typed,
    "strings": telling.strings,
    "old": telling.old_text,
}
IDS = [f"{case['file']}-{case['name']}" for case in CASES]

HOPS = """
    select
        line_number, hop_id, hops.cause, hops.candidates, hops.rule, culprit_service, service, cluster_subset, evidence
    from (
        select *, client_line_number as line_number from hops where attempt = attempts
        union all
        select *, server_line_number as line_number from hops
    ) as hops
    left join hop_causes using (hop_id)
    where line_number is not null
"""


class Read:
    """All cases in one style, read by the real ingest."""

    def __init__(self, folder: Path, style: str) -> None:
        every = [line for number, case in enumerate(CASES) for line in telling.told(number, case)]
        log = folder / f"{style}.log"
        log.write_text("".join(STYLES[style](line.fields) + "\n" for line in every), encoding="utf-8")
        counts = load([str(log)], folder / style).counts
        assert (counts.rows, counts.lines) == (len(every), len(every))
        places = {(line.case, line.place): number for number, line in enumerate(every, 1)}
        with open_session(folder / style) as session:
            by_line = {row["line_number"]: row for row in session.rows(HOPS)}
            self.hops = [by_line[places[number, case.get("judge", 0)]] for number, case in enumerate(CASES)]
            self.traces = {row["trace_id"]: row for row in session.rows("from traces")}
            self.findings = session.rows("from diagnoses")


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Read the cases in a style the first time that it is asked for."""
    folder = tmp_path_factory.mktemp("cases")
    made: dict[str, Read] = {}

    def reading(style: str) -> Read:
        if style not in made:
            made[style] = Read(folder, style)
        return made[style]

    return reading


def verdict(row: dict[str, Any]) -> dict[str, Any]:
    """The part of a hop that is its verdict."""
    return {name: row[name] for name in ("cause", "candidates", "culprit_service")}


def expected(number: int, case: dict[str, Any], style: str = "typed") -> dict[str, Any]:
    """The verdict that a case calls for; a style that lacks the deciding field may have its own, and `why` says why."""
    assert style not in case or case["why"]
    case = case | case.get(style, {})
    culprit = case.get("culprit", "")
    return {
        "cause": case["cause"] or None,
        "candidates": sorted(case["candidates"]) if case.get("candidates") else None,
        "culprit_service": (telling.service(number, culprit) if culprit in telling.OCTETS else culprit) or None,
    }


@pytest.mark.parametrize("style", ["text", "typed", "strings"])
@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_a_case_gets_its_verdict_in_every_style(read, number, style):
    """The rule, the cause or its candidates, and the culprit are those of the case."""
    hop = read(style).hops[number]

    rule = CASES[number].get(style, CASES[number]).get("rule")
    assert {**verdict(hop), "rule": hop["rule"]} == {**expected(number, CASES[number], style), "rule": rule}


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_a_format_without_details_may_say_less_and_never_wrong(read, number):
    """In the TEXT of Istio 1.3 to 1.7 the cause is the same, or among the candidates, or none is named."""
    case = CASES[number]
    right = expected(number, case)
    found = verdict(read("old").hops[number])
    if "old" in case:
        assert case["why"]
        assert found["cause"] == (case["old"]["cause"] or None)
        assert (found["candidates"] or []) == sorted(case["old"].get("candidates", []))
    elif found["cause"] == "unknown":
        possible = {right["cause"], *(right["candidates"] or [])} - {"unknown"}
        assert found["candidates"] is None or possible <= {*found["candidates"]}
    else:
        assert found["cause"] in (right["cause"], None)


@pytest.mark.parametrize("number", range(len(CASES)), ids=IDS)
def test_traces_and_findings_tell_the_same(read, number):
    """A case's request and its finding have the verdict of its hop."""
    told = read("typed")
    hop = told.hops[number]
    of_finding = ("cause", "candidates", "culprit_service", "service", "cluster_subset")
    finding = {name: hop[name] for name in of_finding}

    if hop["hop_id"] in told.traces and hop["cause"]:
        assert verdict(told.traces[hop["hop_id"]]) == verdict(hop)
    if hop["cause"] and CASES[number].get("is_origin", True):
        assert finding in [{name: row[name] for name in of_finding} for row in told.findings]


@pytest.mark.parametrize("number", [n for n, case in enumerate(CASES) if "beside" in case])
def test_what_other_calls_and_sizes_tell_stands_beside_the_verdict(read, number):
    """`hop_causes.evidence` says what the two lines do not say themselves."""
    assert CASES[number]["beside"] in read("typed").hops[number]["evidence"]


def test_a_finding_carries_all_that_somebody_on_call_needs(read):
    """Each finding has counts, share, times, who, what to change, advice, a command that only reads, and examples."""
    for row in read("typed").findings:
        sides = [row["client_evidence"], row["server_evidence"]]
        assert row["client_lines"] + row["server_lines"] > 0
        assert any(sides)
        assert 0 < row["edge_rate"] <= 1
        assert row["first_seen_at"] <= row["last_seen_at"]
        assert row["client_pods"] or row["server_pods"]
        assert row["because"]
        assert len(re.findall(r"\.(?= |$)", row["advice"])) == 2
        assert row["next_command"].split()[0] in ("kubectl", "istioctl")
        assert "{" not in row["next_command"]
        assert len(row["example_request_ids"] or []) <= 3
        assert row["resource"] or row["cause"] == "unknown"
        assert bool(row["candidates"]) == (row["cause"] == "unknown" and row["rule"] != "no_sign")


def rows_of(seed: str) -> list[dict[str, str]]:
    """Read a seed."""
    with seeds()[seed].open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_cause_has_a_case_that_fires_and_one_that_does_not():
    """Of each cause one case shows it, and one looks like it and is something else."""
    causes = {row["cause"] for row in rows_of("causes")}

    assert causes - {case["cause"] for case in CASES} == set()
    assert causes - {case["near"] for case in CASES if case.get("near") and case["near"] != case["cause"]} == set()


def test_every_rule_has_a_case():
    """No rule is without a case in which it decides."""
    assert {row["rule"] for row in rows_of("rules")} - {case.get("rule") for case in CASES} == set()


def test_every_flag_of_envoy_has_a_case():
    """Each of the flags stands on a line of a case."""
    flags = {row["flag"] for row in rows_of("response_flags")}
    logged = {flag for case in CASES for line in case["lines"] for flag in line.get("flags", "").split(",")}

    assert flags - logged == set()


NO_LINES_OF_ENVOY = {37, 42, 43, 44, 45}
"""Rows of section 7 that no line of Envoy's shows: the note in `cases/issues.toml` says why of each."""


def test_every_row_of_the_facts_has_a_case():
    """Each issue of section 7, each flag of table 1b and each pair of lines of table 1c is a case: none is forgotten.

    The rows of 1b are counted over both of its tables, 59 with a flag and 15 without.
    """
    numbers = r"(?:^|\b)(?:7\.|07_)(\d+)"
    issues = {int(row) for case in CASES for row in re.findall(numbers, f"{case['name']} {case['facts']}")}
    flags = {int(row) for case in CASES for row in re.findall(r"1b row (\d+)", case["facts"])}
    pairs = {int(row) for case in CASES for row in re.findall(r"1c row (\d+)", case["facts"])}

    assert {*range(1, 46)} - issues == NO_LINES_OF_ENVOY
    assert {*range(1, 75)} ^ flags == set()
    assert {*range(1, 21)} ^ pairs == set()


def test_the_rules_are_those_of_the_sql():
    """rules.csv and hop_causes.sql name the same rules, in the same order, and causes that exist."""
    sql = (seeds()["rules"].parents[1] / "intermediate" / "hop_causes.sql").read_text()
    rules = rows_of("rules")
    causes = {row["cause"] for row in rows_of("causes")}
    named = list(dict.fromkeys(re.findall(r"\b(?:then|else)\s+'(\w+)'", sql)))

    assert {rule["rule"] for rule in rules} == {*named} - {"retried"}
    assert all(rule["cause"] in causes and rule["says"] and rule["source"] for rule in rules)
    assert all({*rule["candidates"].split(",")} <= causes | {""} for rule in rules)
    assert all(bool(rule["candidates"]) == (rule["cause"] == "unknown") for rule in rules if rule["rule"] != "no_sign")


def test_case_names_are_unique():
    """A case can be named."""
    assert len(set(IDS)) == len(IDS)
