"""Named questions: their headers, their parameters as flags, and a user's own beside them."""

import csv
import io
import json
import re

import pytest

from pipeline.assets import assets
from pipeline.query.questions import load_questions, read_question
from pipeline.query.session import open_session

QUESTIONS = load_questions()
ARGUMENTS = {
    "who_calls": ["--service", "payments.shop"],
    "what_it_calls": ["--service", "frontend.shop"],
    "rule_of_request": ["--request-id", "0"],
}

ROUNDED = {
    *("service_edges", "who_calls", "what_it_calls", "slowest_routes"),
    *("failing_routes", "failing_pods", "errors_by_caller"),
}
"""What people read in a terminal: its rates and percentiles have no digits that tell nothing."""


@pytest.fixture
def own(tmp_path):
    """A user's folder of one model and one question."""
    folder = tmp_path / "ours"
    (folder / "questions").mkdir(parents=True)
    (folder / "service_errors.sql").write_text(
        "-- one row per service\n-- key: service\n"
        "select service, count(*) as errors from hops where is_error group by 1;\n"
    )
    (folder / "questions" / "worst_services.sql").write_text(
        "-- which services failed most\n-- $least bigint = 1: with at least so many\n"
        "from service_errors where errors >= $least order by errors desc, service\n"
    )
    return folder


# ---------- the product's


def test_the_questions_that_people_ask():
    """These names are public; a question that only pages ask is not among them."""
    assert set(QUESTIONS) >= {
        *("slowest_routes", "failing_routes", "slowest_requests", "failed_requests", "find_requests"),
        *("errors_by_caller", "failing_pods", "flags_over_time", "first_failures", "who_calls", "what_it_calls"),
        *("findings", "worst_clusters", "retried_edges", "differing_endpoints", "latency_by_service", "lake_status"),
        *("unused_rules", "rule_of_request", "configuration_held"),
    }
    assert "request_calls" not in QUESTIONS


@pytest.mark.parametrize("path", sorted((assets("sql") / "questions").glob("*.sql")), ids=lambda path: path.stem)
def test_a_question_says_what_it_answers(path):
    """The first line of each file is a sentence, and a line like a declaration is one."""
    question = read_question(path)

    assert question.meaning
    assert not re.search(r"^-- \$\w+ \w+(\[\])? =", question.sql, re.MULTILINE) or question.parameters


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_runs_with_its_defaults(meshlog, samples_lake, name):
    """Every question that is listed answers as it is listed: its header names exactly what its query takes."""
    ran = meshlog("ask", name, *ARGUMENTS.get(name, []), "--lake", samples_lake, "--format", "csv")

    assert ran.code == 0, ran.err
    assert ran.out
    assert name not in ROUNDED or not re.search(r"\d\.\d{7}", ran.out)


@pytest.mark.parametrize("name", ["slowest_routes", "failing_routes"])
def test_a_route_is_a_path_without_its_ids(meshlog, tmp_path, name):
    """Numbers, UUIDs and hashes between slashes become {id}, the query goes, other words stay."""
    from tests.ingesting import line

    paths = ["/a/1/b/2?x=3", "/a/77/b/9", "/v1/u/967f8e1a-dbc0-4cce-ad53-ce6a27d5e54c", "/v1/u/0123456789abcdef0"]
    lines = [line(i, path=path) for i, path in enumerate(paths)]
    lines += [line(10 + i, path=path, response_code=503) for i, path in enumerate(paths)]
    (tmp_path / "log").write_bytes(b"".join(lines))
    meshlog("ingest", tmp_path / "log", "--lake", tmp_path / "lake")
    ran = meshlog("ask", name, "--lake", tmp_path / "lake", "--format", "csv")

    assert {row["route"] for row in csv.DictReader(io.StringIO(ran.out))} == {"/a/{id}/b/{id}", "/v1/u/{id}"}


def test_failing_routes_agree_with_hops(meshlog, samples_lake):
    """The errors of all routes are those of the calls."""
    asked = meshlog("ask", "failing_routes", "--limit", 1000, "--lake", samples_lake, "--format", "jsonl")
    query = "select count(*) as errors from hops where is_error and attempt = attempts and kind <> 'tcp'"
    counted = json.loads(meshlog("sql", query, "--lake", samples_lake, "--format", "jsonl").out)

    assert sum(json.loads(row)["errors"] for row in asked.out.splitlines()) == counted["errors"]


def test_what_failed_first_comes_first(meshlog, samples_lake):
    """Failures count where they began, not again at every caller above."""
    rows = meshlog("ask", "first_failures", "--lake", samples_lake, "--format", "jsonl").out.splitlines()
    times = [json.loads(row)["first_failed_at"] for row in rows]

    assert times == sorted(times)
    assert json.loads(rows[0])["first_caller"] == "frontend.shop"


# ---------- asking


def test_parameters_are_flags(meshlog, samples_lake):
    """--service narrows, --limit limits, and a hyphen in the name is as good as an underscore."""
    asked = ["--service", "cart.shop", "--limit", 1, "--lake", samples_lake, "--format", "jsonl"]
    ran = meshlog("ask", "slowest-routes", *asked)

    assert ran.code == 0
    assert [json.loads(row)["service"] for row in ran.out.splitlines()] == ["cart.shop"]


def test_a_value_is_never_sql(meshlog, samples_lake):
    """A quote in a value is only a character."""
    value = "x' or true --"
    ran = meshlog("ask", "who_calls", "--service", value, "--lake", samples_lake, "--format", "csv")

    assert ran.code == 0
    assert len(ran.out.splitlines()) == 1


@pytest.mark.parametrize("kind", ["table", "csv", "json", "jsonl", "md", "parquet"])
def test_an_answer_in_every_format(meshlog, samples_lake, tmp_path, kind):
    """ask writes what sql writes."""
    ran = meshlog("ask", "day_totals", "--lake", samples_lake, "--format", kind, "-o", tmp_path / "answer")

    assert ran.code == 0
    assert (tmp_path / "answer").stat().st_size


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["slowest_route"], "slowest_routes"),
        (["nothing_like_it_at_all"], "meshlog questions"),
        (["slowest_routes", "--limit", "many"], "bigint"),
        (["slowest_routes", "--limits", "1"], "--limit"),
        (["who_calls"], "--service"),
        (["slowest_routes", "--since", "soon"], "soon"),
        (["mine", "--models", "/nowhere"], "mine"),
    ],
)
def test_a_wrong_call_is_a_usage_error(meshlog, samples_lake, arguments, said):
    """Exit 2, and the message says what there is instead."""
    ran = meshlog("ask", *arguments, *(["--lake", samples_lake] if len(arguments) > 1 else []))

    assert ran.code == 2
    assert said in ran.err


def test_an_empty_window_has_no_data(meshlog, samples_lake, empty_lake):
    """Exit 5 where no line is in the window; what the lake holds can be asked all the same."""
    assert meshlog("ask", "slowest_routes", "--lake", samples_lake, "--until", "2001-01-01").code == 5
    assert meshlog("ask", "slowest_routes", "--lake", empty_lake).code == 5
    assert meshlog("ask", "lake_status", "--lake", empty_lake).code == 0


def test_questions_are_listed_with_their_parameters(meshlog):
    """The list says the name, what it answers, and each parameter with type and default."""
    ran = meshlog("questions")

    assert ran.code == 0
    assert "slowest_routes\n    which routes took longest" in ran.out
    assert "--limit  how many rows at most (bigint, 20 by default)" in ran.out
    assert "(varchar, needed)" in ran.out


def test_help_of_a_question_names_its_parameters(meshlog):
    """`meshlog ask NAME --help` needs no lake."""
    ran = meshlog("ask", "slowest_routes", "--help")

    assert ran.code == 0
    assert "--service varchar" in ran.out
    assert "[default: 20]" in ran.out


# ---------- a user's own


def test_own_models_and_questions_join(meshlog, samples_lake, own, monkeypatch):
    """Their names work in sql, in the shell and as questions, wherever --models stands, or from the environment."""
    lake = ["--lake", samples_lake]
    asked = meshlog("ask", "worst_services", "--models", own, "--least", 30, *lake, "--format", "csv")
    before = meshlog("ask", "--models", own, "worst_services", "--least", 30, *lake, "--format", "csv")
    queried = meshlog("sql", "from service_errors where errors >= 30", "--models", own, *lake, "--format", "csv")
    monkeypatch.setenv("MESHLOG_MODELS", str(own))
    shell = meshlog("shell", *lake, stdin=".describe service_errors\n.tables\n")
    listed = meshlog("questions")

    assert asked.out.startswith("service,errors\npayments.shop,")
    assert before.out == asked.out
    assert sorted(queried.out.split()) == sorted(asked.out.split())
    assert "service_errors" in shell.out
    assert "worst_services" in listed.out


def test_own_models_stand_among_the_tables_of_a_report(meshlog, samples_lake, own, tmp_path):
    """`meshlog report --models` writes them beside the page."""
    ran = meshlog(
        *("report", "--date", "last", "--lake", samples_lake, "--out", tmp_path / "out"),
        *("--models", own, "--format", "csv"),
    )

    assert ran.code == 0
    assert (tmp_path / "out" / "tables" / "service_errors.csv").read_text().startswith("service,errors\n")


BROKEN = {
    "hops.sql": ("-- one row per x\n-- key: x\nselect 1 as x", "hops.sql:1: hops is a table of meshlog itself"),
    "causes.sql": ("-- one row per x\n-- key: x\nselect 1 as x", "causes.sql:1: causes is a table"),
    "no_grain.sql": ("select 1 as x", "no_grain.sql:1: does not say what a row is"),
    "no_key.sql": ("-- one row per x\nselect 1 as x", "no_key.sql:2: does not name the key"),
    "Loud.sql": ("-- one row per x\n-- key: x\nselect 1 as x", "Loud.sql: a table cannot be called so"),
    "typo.sql": ("-- one row per x\n-- key: x\nselect 1 as x\nfrm loads where", "typo.sql:4:"),
    "writes.sql": ("-- one row per x\n-- key: x\ncopy loads to 'x'", "writes.sql:1: a copy statement is refused"),
    "hides.sql": ("-- one row per x\n-- key: x\nwith y as (copy loads to 'x') from y", "a copy statement is refused"),
    "two.sql": ("-- one row per x\n-- key: x\nselect 1 as x; select 2 as x", "two.sql:1: one statement at a time"),
    "round.sql": ('-- one row per x\n-- key: x\nselect 1 as x from "round_2", loads', "in a circle"),
    "latin.sql": (b"-- one row per x\n-- key: x\nselect '\xe9' as x", "latin.sql: cannot be read: it is not UTF-8"),
    "questions/findings.sql": ("-- which\nselect 1", "findings.sql:1: findings is a question of meshlog itself"),
    "questions/silent.sql": ("select 1", "silent.sql:1: does not say what the question answers"),
    "questions/bare.sql": ("-- which\nselect 1,\n$n", "bare.sql:3: $n is not declared"),
    "questions/odd.sql": ("-- which\n-- $n integer: a number\n-- $m is odd\nselect $n", "odd.sql:3: '-- $m is odd'"),
    "questions/taken.sql": ("-- which\n-- $since date: a day\nselect $since", "taken.sql:2: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_with_its_line(meshlog, samples_lake, own, name):
    """Every rule that a file breaks is told with file, line and remedy, before any answer."""
    text, said = BROKEN[name]
    (own / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    if name == "round.sql":
        (own / "round_2.sql").write_text("-- one row per x\n-- key: x\nselect 1 as x from round as r")
    ran = meshlog("ask", "worst_services", "--models", own, "--lake", samples_lake)

    assert ran.code in (1, 2)
    assert ran.out == ""
    assert said in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select nope as x from loads", "late.sql:3: "),
        ("select 1 as y", "late.sql:"),
        ("select 1 as x union all select 1", "late.sql:2: the key (x) is none"),
        ("select * from read_text('/etc/passwd')", "late.sql:3: Permission Error"),
    ],
)
def test_a_model_that_fails_when_built_is_named(meshlog, samples_lake, own, query, said):
    """An unknown column, a key that is none and a forbidden file are told where the model is asked for; others work."""
    (own / "late.sql").write_text(f"-- one row per x\n-- key: x\n{query}\n")
    ran = meshlog("sql", "from late", "--models", own, "--lake", samples_lake)

    assert ran.code == 1
    assert said in ran.err
    assert meshlog("sql", "select 1", "--models", own, "--lake", samples_lake).code == 0


def test_own_columns_have_meanings(samples_lake, own):
    """DIR/columns.csv says what the columns of one's own models mean."""
    (own / "columns.csv").write_text("table,column,meaning\nservice_errors,errors,calls that failed\n")
    with open_session(samples_lake, own_folder=own) as session:
        meanings = {name: meaning for name, _, meaning in session.columns("service_errors")}

    assert meanings["errors"] == "calls that failed"
    assert meanings["service"].startswith("the service called")


def test_a_folder_that_is_none_is_a_usage_error(meshlog, samples_lake, tmp_path):
    """A typo in --models is told, not taken for an empty folder."""
    ran = meshlog("sql", "select 1", "--models", tmp_path / "none", "--lake", samples_lake)

    assert ran.code == 2
    assert "none" in ran.err
