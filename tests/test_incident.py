"""The bundle of an incident against a recorded one, whose driver noted what was wrong, where and when."""

import html
import json
import random
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pipeline.ingest.load import load
from pipeline.mesh.snapshot import read_snapshot
from pipeline.query.session import open_session
from pipeline.report.incident_bundle import SECTIONS
from tests.mesh import istio, istioctl
from tests.mesh.town import town
from tests.reporting import HOSTILE, call, hostile_lines, quiet_lines

OUTAGE = Path(__file__).parent / "outage"
FAULTS = json.loads((OUTAGE / "truth.json").read_text())
CLOSE = timedelta(seconds=5)
"""How near onset and recovery have to be to the truth."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    """The lake of the recorded bad minute."""
    lake = tmp_path_factory.mktemp("outage") / "lake"
    load([str(log) for log in OUTAGE.glob("*.xz")], lake)
    return lake


# form -> what the three faults of the bad minute cite of the town's configuration
_STOREFRONT = ("VirtualService", "storefront")
CITED = {
    "objects": {
        (*_STOREFRONT, "spec.http[1].timeout", "400ms"),
        ("EndpointSlice", "cart-x7k2p", "endpoints", "3 ready"),
    },
    "json": {
        (*_STOREFRONT, "spec.http[].timeout", "0.400s"),
        ("Service", "cart", "spec.selector", "3 endpoints in proxies"),
    },
    "txt": {
        (*_STOREFRONT, "spec.http[].timeout", None),
        ("Service", "cart", "spec.selector", "3 endpoints in proxies"),
    },
}
SHOWN = {"json": istioctl.write_json, "txt": istioctl.printed}


@pytest.mark.parametrize("form", CITED)
def test_findings_of_an_outage_cite_its_configuration(lake, tmp_path, form):
    """Object, field and value are told from the objects, from proxies' JSON alone and from printed tables alone."""
    copy = tmp_path / "lake"
    shutil.copytree(lake, copy)
    mesh = town()
    texts = {"mesh": yaml.safe_dump_all(istio.objects(mesh))}
    if form in SHOWN:
        pods = (mesh.gateway, mesh.pods["frontend"], mesh.pods["orders"])
        texts = {f"{pod.name}.{pod.namespace}": SHOWN[form](mesh, pod) for pod in pods}
    for proxy, text in texts.items():
        (tmp_path / f"{proxy}.txt").write_text(text)
        read_snapshot([str(tmp_path / f"{proxy}.txt")], copy, datetime(2026, 1, 1, tzinfo=UTC), proxy)
    with open_session(copy) as session:
        found = session.rows("from citations")

    assert {(row["kind"], row["name"], row["field"], row["value"]) for row in found} >= CITED[form]


@pytest.fixture(scope="module")
def windows(lake) -> list[dict]:
    """What `--find` proposes for it."""
    return json.loads(_run("incident", "--find", "--lake", lake, "--format", "json"))


@pytest.fixture(scope="module")
def bundles(windows, tmp_path_factory) -> list[Path]:
    """The bundles that the proposed commands write, as they are printed."""
    folder = tmp_path_factory.mktemp("bundles")
    pages = [_run(*shlex.split(window["command"])[1:], folder=folder) for window in windows]
    return [folder / Path(page.strip()).parent for page in pages]


def _run(*arguments: object, folder: Path | None = None) -> str:
    """Run meshlog in a process of its own and return what it printed."""
    program = "import sys; from pipeline.cli import cli; cli()"
    root = str(Path(__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=folder, env={"PYTHONPATH": root, "TZ": "UTC"}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _told(bundle: Path) -> dict:
    return json.loads((bundle / "incident.json").read_text())


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# ---------- the recorded incident


def test_every_fault_is_found(windows):
    """Each of the three faults has a window of its own, which holds it, and the calm before it as baseline."""
    assert len(windows) == len(FAULTS)
    for window, fault in zip(windows, FAULTS, strict=True):
        assert _moment(window["since"]) <= _moment(fault["began_at"])
        assert _moment(window["until"]) >= _moment(fault["ended_at"])
        assert _moment(window["baseline_until"]) <= _moment(fault["began_at"])


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[fault["name"] for fault in FAULTS])
class TestEveryFault:
    """What the bundle of each fault says is what its driver did."""

    def test_onset_and_recovery_are_within_seconds(self, bundles, number):
        """Trouble began and ended when the driver made and mended it; its peak lies between."""
        trouble = _told(bundles[number])["trouble"]["rows"][0]
        fault = FAULTS[number]

        assert abs(_moment(trouble["onset_at"]) - _moment(fault["began_at"])) <= CLOSE
        assert abs(_moment(trouble["recovered_at"]) - _moment(fault["ended_at"])) <= CLOSE
        assert trouble["trouble_since"] <= trouble["peak_at"] <= trouble["recovered_at"]

    def test_the_first_edge_is_the_right_one(self, bundles, number):
        """Of all edges with trouble the one where it began stands first, and ends at the gateway's."""
        spread = _told(bundles[number])["spread"]["rows"]

        assert [spread[0]["client_service"], spread[0]["service"]] == FAULTS[number]["first_edge"]
        assert spread[-1]["client_service"] == "istio-ingressgateway.istio-system"
        assert abs(_moment(spread[0]["onset_at"]) - _moment(FAULTS[number]["began_at"])) <= CLOSE

    def test_the_culprit_is_the_right_one(self, bundles, number):
        """The finding that cost the most requests names the service that has to change something."""
        assert _told(bundles[number])["findings"]["rows"][0]["culprit_service"] == FAULTS[number]["culprit"]

    def test_the_changed_dimension_is_the_right_one(self, bundles, number):
        """The largest effect lies in the dimension and value that the driver changed, and is significant."""
        fault = FAULTS[number]
        changed = next(row for row in _told(bundles[number])["changes"]["rows"] if row["scope"] == "origin")

        assert (changed["dimension"], changed["value"]) == (fault["dimension"], fault["value"])
        assert changed["service"] == fault["culprit"]
        assert changed["measure"] == fault["measure"]
        assert changed["is_significant"]

    def test_page_and_markdown_say_so(self, bundles, number):
        """A reader of either meets gaps, then the first edge and the changed value."""
        fault = FAULTS[number]
        page = (bundles[number] / "index.html").read_text()
        written = (bundles[number] / "incident.md").read_text()

        assert page.index("What the evidence lacks") < page.index("What happened") < page.index("What changed")
        assert written.index("What the evidence lacks") < written.index("What happened")
        assert f"{fault['first_edge'][0]} → {fault['first_edge'][1]}, the first failing edge" in written
        assert fault["culprit"] in page

    def test_markdown_tells_the_blast_radius(self, bundles, number):
        """A ticket has it whole: requests, users, routes, callers and bytes."""
        totals = _told(bundles[number])["totals"]["rows"][0]
        radius = (bundles[number] / "incident.md").read_text().partition("## Blast radius")[2].splitlines()[2]

        assert f"{totals['failed'] + totals['slow']} of {totals['requests']} requests, " in radius
        assert [word for word in ("users", "routes", "callers", "answered", "in vain") if word not in radius] == []

    def test_markdown_names_what_tells_the_same_calls_apart(self, bundles, number):
        """Where a node's calls are those of its one pod, both are named: a change is not blamed on the wrong one."""
        changes = _told(bundles[number])["changes"]["rows"]
        changed = next(row for row in changes if row["is_significant"] and row["alike"])
        written = (bundles[number] / "incident.md").read_text().replace("\\", "")

        assert f"the same calls: {changed['alike'][0]}" in written


def test_gaps_of_the_evidence_are_told(bundles):
    """The log that was lost and the clock that was ahead are named."""
    gaps = [(row["kind"], row["subject"], row["says"]) for row in _told(bundles[0])["gaps"]["rows"]]

    assert gaps[0][:2] == ("log missing", "ledger.shop")
    assert {kind for kind, _, _ in gaps} == {"log missing", "clocks apart"}
    assert any("zk5td" in subject and "900 ms ahead" in says for _, subject, says in gaps)


def test_the_bad_pod_is_a_sick_endpoint(bundles):
    """One of three pods stands out from its siblings."""
    endpoints = _told(bundles[1])["differing_endpoints"]["rows"]

    assert [row["pod"] for row in endpoints] == [FAULTS[1]["value"]]


@pytest.mark.parametrize("section", SECTIONS)
def test_the_printed_command_gives_the_same_rows(bundles, meshlog, section):
    """What stands behind a section runs as printed, on the lake alone, and answers with the same rows."""
    told = _told(bundles[1])[section]
    head, sql = told["command"].split(" <<'SQL'\n")
    words = shlex.split(head)

    ran = meshlog(*words[1:], "--format", "json", stdin=sql.removesuffix("\nSQL"))

    assert ran.code == 0, ran.err
    assert [_plain(row, told["rows"]) for row in json.loads(ran.out)] == [
        _plain(row, told["rows"]) for row in told["rows"]
    ]


def _plain(row: dict, like: list[dict]) -> dict:
    """Write times alike, and leave out samples and what a test makes of them, which one of both has not."""
    return {
        name: _moment(value).timestamp() if re.match(r"\d{4}-\d\d-\d\d[T ]", str(value)) else value
        for name, value in row.items()
        if name in like[0] and name not in ("p", "q", "is_significant")
    }


def test_the_page_shows_the_commands(bundles):
    """What a reader copies from the page are the commands of the document, letter by letter."""
    shown = re.findall(r'<pre class="sql" tabindex="0"><code class="copy">(.*?)</code>', _page(bundles[1]), re.DOTALL)
    told = _told(bundles[1])

    assert {html.unescape(text) for text in shown} == {told[section]["command"] for section in SECTIONS}


def _page(bundle: Path) -> str:
    return (bundle / "index.html").read_text()


def test_the_command_of_a_bundle_writes_it_again(bundles, tmp_path):
    """The command in the footer leads to the same document."""
    told = _told(bundles[1])
    _run(*shlex.split(told["command"])[1:], "--out", "again", folder=tmp_path)
    again = _told(tmp_path / "again")

    assert again["changes"]["rows"] == told["changes"]["rows"]
    assert again["trouble"]["rows"] == told["trouble"]["rows"]


def test_the_rows_behind_a_bundle_are_beside_it(bundles):
    """Every call of window and baseline, the series and the runs lie there as Parquet."""
    import pyarrow.parquet as pq

    calls = pq.read_table(bundles[1] / "tables" / "incident_calls.parquet")
    totals = _told(bundles[1])["totals"]["rows"][0]

    assert calls.filter(_of(calls, "incident")).num_rows == totals["calls"]
    assert {path.name for path in (bundles[1] / "tables").iterdir()} == {
        "incident_calls.parquet", "incident_series.parquet", "incident_phases.parquet"
    }  # fmt: skip


def _of(calls, period: str):
    import pyarrow.compute as pc

    return pc.equal(calls["period"], period)


def test_one_service_narrows_the_bundle(lake, bundles, tmp_path):
    """With --service only requests count in which it took part, named with its namespace or without."""
    asked = ("--since", FAULTS[0]["began_at"], "--until", FAULTS[0]["ended_at"], "--lake", lake)
    for number, name in enumerate(("payments", "payments.shop")):
        _run("incident", *asked, "--service", name, "--out", f"out{number}", folder=tmp_path)
    first, second = (_told(tmp_path / f"out{number}") for number in (0, 1))
    whole = _told(bundles[0])

    assert first["totals"]["rows"] == second["totals"]["rows"]
    assert 0 < first["totals"]["rows"][0]["requests"] < whole["totals"]["rows"][0]["requests"]
    assert first["spread"]["rows"][0]["service"] == "payments.shop"


# ---------- windows, baselines and wrong calls


def test_the_default_baseline_is_as_long_and_said(lake, tmp_path):
    """Without --baseline the time before the window counts, as far as the lake reaches, and the page says so."""
    asked = ("--since", FAULTS[1]["began_at"], "--until", FAULTS[1]["ended_at"], "--lake", lake)
    _run("incident", *asked, folder=tmp_path)
    told, page = _told(tmp_path / "incident"), (tmp_path / "incident" / "index.html").read_text()
    periods = told["periods"]

    assert _moment(periods["since"]) - _moment(periods["baseline_since"]) == pytest.approx(
        _moment(periods["until"]) - _moment(periods["since"]), abs=timedelta(seconds=1)
    )
    assert "as long before the window" in page


def test_without_anything_before_there_is_no_baseline(lake, tmp_path):
    """A window that begins with the lake has none: the page says so first, and tells the course all the same."""
    _run("incident", "--since", "2020-01-01", "--lake", lake, folder=tmp_path)
    told = _told(tmp_path / "incident")

    assert told["periods"]["baseline_since"] is None
    assert told["gaps"]["rows"][0]["kind"] == "no baseline"
    assert told["trouble"]["rows"][0]["is_found"]
    assert told["changes"]["rows"] == []
    written = (tmp_path / "incident" / "incident.md").read_text()
    assert "Without a baseline nothing tells what changed." in written
    assert "chance" not in written


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--since", "2001-01-01", "--until", "2001-01-02"), 5, "no call"),
        (("--since", "2101-01-01"), 5, "no line in this window"),
        (("--since", "2020-01-01", "--service", "nobody.shop"), 5, "nobody.shop took part"),
        (("--find", "--since", "2101-01-01"), 5, "no call in this window"),
        (("--find", "--service", "nobody.shop"), 5, "nobody.shop took part"),
        ((), 2, "--find"),
        (("--since", "1h", "--baseline", "yesterday"), 2, "C..D"),
        (("--since", "2026-11-24", "--baseline", "2026-11-24..2026-11-25"), 2, "not in it"),
        (("--since", "1h", "--format", "json"), 2, "--find"),
        (("--since", "1h", "--tz", "Mars/Crater"), 2, "Mars/Crater"),
    ],
)
def test_what_cannot_be_answered_leaves_nothing(lake, meshlog, tmp_path, arguments, code, words):
    """An empty window exits with 5, a wrong call with 2, each with a message, and no folder is left."""
    ran = meshlog("incident", "--lake", lake, "--out", tmp_path / "out", *arguments)

    assert ran.code == code
    assert words in ran.err
    assert not (tmp_path / "out").exists()


def test_a_lake_without_rows_has_no_incident(empty_lake, meshlog):
    """Neither a bundle nor windows come of it: exit 5."""
    assert meshlog("incident", "--lake", empty_lake, "--since", "1h").code == 5
    assert meshlog("incident", "--lake", empty_lake, "--find").code == 5


def test_a_quiet_lake_is_said_to_be_quiet(meshlog, tmp_path):
    """Where nothing changed, --find says so and exits with 0, and a bundle says it, too."""
    lake = _lake(tmp_path, quiet_lines())
    found = meshlog("incident", "--find", "--lake", lake)
    listed = meshlog("incident", "--find", "--lake", lake, "--format", "json")
    written = meshlog("incident", "--lake", lake, "--since", "2021-02-18", "--out", tmp_path / "out")

    assert (found.code, found.out) == (
        0,
        "No incident found in 10 calls: no share of failed or slow calls changed for the worse.\n",
    )
    assert json.loads(listed.out) == []
    assert written.code == 0
    assert "No change was found in this window" in (tmp_path / "out" / "index.html").read_text()


def _windows(meshlog, lake: Path) -> list[dict]:
    return json.loads(meshlog("incident", "--find", "--lake", lake, "--format", "json").out)


def _minutes(seed: int, seconds: int, wrong: dict[str, tuple[range, float]]) -> list[bytes]:
    """Ten requests a second to two services, four in a hundred failing and some slow, and what goes wrong beside that:
    by service in which seconds which share of its calls fails.
    """
    chance, log = random.Random(seed), []
    for second in range(seconds):
        for tenth in range(10):
            service = ("cart.shop", "orders.shop")[tenth % 2]
            when, share = wrong.get(service, (range(0), 0))
            fails = chance.random() < (share if second in when else 0.04)
            log += call(
                second * 10 + tenth, second * 1000 + tenth * 100, service=service, server=f"10.1.0.{tenth % 2}",
                duration=int(chance.lognormvariate(3, 0.7)), response_code=503 if fails else 200,
            )  # fmt: skip
    return log


@pytest.mark.parametrize("seed", range(3))
def test_what_fails_now_and_then_is_no_incident(meshlog, tmp_path, seed):
    """A few failed and slow calls in a hundred, spread evenly, are usual: no window is proposed."""
    assert _windows(meshlog, _lake(tmp_path, _minutes(seed, 120, {}))) == []


def test_a_calm_parts_two_incidents(meshlog, tmp_path):
    """A weak incident soon after a strong one has a window of its own, though a few calls failed in between."""
    wrong = {"cart.shop": (range(60, 90), 0.9), "orders.shop": (range(106, 130), 0.4)}
    windows = _windows(meshlog, _lake(tmp_path, _minutes(1, 180, wrong)))
    onsets = [_moment(window["onset_at"]).timestamp() % 3600 - (8 * 60 + 50) for window in windows]

    assert [window["service"] for window in windows] == ["cart.shop", "orders.shop"]
    assert onsets == pytest.approx([60, 106], abs=5)


@pytest.mark.parametrize("day", ["17", "19"], ids=["the day before", "the day after"])
def test_a_baseline_of_another_day_blurs_nothing(meshlog, tmp_path, day):
    """A minute held against the same minute of another day has its course told in seconds, without the day between."""
    usual = b"".join(_minutes(3, 60, {})).replace(b"2021-02-18", b"2021-02-" + day.encode()).replace(b"id-", b"then-")
    lake = _lake(tmp_path, [*_minutes(2, 60, {"cart.shop": (range(20, 40), 0.9)}), usual])
    ran = meshlog(
        "incident", "--lake", lake, "--out", tmp_path / "out", "--since", "2021-02-18T07:08:50Z",
        "--until", "2021-02-18T07:09:50Z", "--baseline", f"2021-02-{day}T07:08:50Z..2021-02-{day}T07:09:50Z",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    told = _told(tmp_path / "out")
    trouble, steps = told["trouble"]["rows"][0], told["timeline"]["rows"]
    spans = {row["label"]: (row["position"], row["next_position"]) for row in steps if row["kind"] == "span"}

    assert abs(_moment(trouble["onset_at"]) - _moment("2021-02-18T07:09:10Z")) <= CLOSE
    assert abs(_moment(trouble["recovered_at"]) - _moment("2021-02-18T07:09:30Z")) <= CLOSE
    assert told["spread"]["rows"][0]["service"] == "cart.shop"
    assert told["changes"]["rows"][0]["value"] == "cart.shop"
    assert spans["baseline"] == (0, 60)
    assert spans["window"] == (60, pytest.approx(120, abs=0.2))


def test_a_mesh_of_300_services_is_narrowed_down(meshlog, tmp_path):
    """One of 300 services fails for a while: it is found, and named first."""
    log = []
    for second in range(40):
        for number in range(300):
            fails = number == 137 and 20 <= second < 30
            for turn in range(3) if number == 137 else range(second % 4 == number % 4):
                changes = {"response_code": 503, "response_flags": "UF"} if fails else {}
                log += call(
                    second * 1000 + number * 3 + turn, second * 1000 + number * 3 + turn, client="10.0.0.1",
                    server=f"10.2.{number // 200}.{number % 200 + 1}", service=f"service-{number}.shop", **changes,
                )  # fmt: skip
    lake = _lake(tmp_path, log)
    windows = json.loads(meshlog("incident", "--find", "--lake", lake, "--format", "json").out)
    words = shlex.split(windows[0]["command"])
    ran = meshlog(*words[1 : words.index("--out")], "--out", tmp_path / "out")
    told = _told(tmp_path / "out")

    assert ran.code == 0, ran.err
    assert len(windows) == 1
    assert told["spread"]["rows"][0]["service"] == "service-137.shop"
    assert told["changes"]["rows"][0]["value"] == "service-137.shop"
    assert (tmp_path / "out" / "index.html").stat().st_size < 2_000_000


def _lake(folder: Path, log: list[bytes]) -> Path:
    (folder / "access.log").write_bytes(b"".join(log))
    load([str(folder / "access.log")], folder / "lake")
    return folder / "lake"


def test_hostile_lines_stay_text(meshlog, tmp_path):
    """Tags, table bars, links and escapes of a log act neither on the page nor in Markdown or JSON."""
    lake = _lake(tmp_path, hostile_lines())
    ran = meshlog("incident", "--lake", lake, "--since", "2021-02-18", "--out", tmp_path / "out")
    page, written = ((tmp_path / "out" / name).read_text() for name in ("index.html", "incident.md"))

    assert ran.code == 0, ran.err
    assert _told(tmp_path / "out")["totals"]["rows"][0]["requests"] == 2 * len(HOSTILE)
    assert "<script>" not in page
    assert "<img" not in page
    assert re.findall(r"(?<!\\)[<>|]", written) == []
    assert "\x1b" not in page + written
    assert "\u202e" not in page + written


# ---------- what a call can be told apart by


TEMPLATES = {
    "/": "/",
    "/orders/4711?user=3": "/orders/{id}",
    "/orders/3f1c9a52-7d0e-4b86-9c1f-5a7e2d94b013/items": "/orders/{id}/items",
    "/orders/order-4711.json": "/orders/{id}.json",
    "/v1/users/alice@example.com": "/v1/users/{id}",
    "/blobs/9f86d081884c7d65": "/blobs/{id}",
    "/days/2026-11-24": "/days/{id}",
    "/shop.Currency/Convert": "/shop.Currency/Convert",
    "/api/v2beta1/catalog": "/api/v2beta1/catalog",
    "/static/added": "/static/added",
    "/a/b/c/d/e/f/g/h/i/j": "/a/b/c/d/e/f/g/h/...",
    "/t/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9": "/t/{id}",
}

FAMILIES = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0": "Firefox",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36 Edg/142.0": "Edge",
    "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML) Version/18.6 Safari/605.1.15": "Safari",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "bot",
    "grpc-go/1.60.1": "grpc-go",
    "kube-probe/1.33": "kube-probe",
    "curl/8.14.1": "curl",
    None: None,
}


def test_a_path_has_a_template(tmp_path):
    """What names one thing becomes {id}; words, versions and methods stay."""
    log = [each for number, path in enumerate(TEMPLATES) for each in call(number, number * 1000, path=path)]
    with open_session(_lake(tmp_path, log)) as session:
        rows = session.rows("select path, path_template from hops join call_dimensions using (hop_id)")

    assert {row["path"]: row["path_template"] for row in rows} == TEMPLATES


def test_a_user_agent_has_a_family(tmp_path):
    """Versions do not tell families apart."""
    log = [each for number, agent in enumerate(FAMILIES) for each in call(number, number * 1000, user_agent=agent)]
    with open_session(_lake(tmp_path, log)) as session:
        rows = session.rows("""
            select user_agent, user_agent_family
            from hops
            join call_dimensions using (hop_id)
            join access_logs on source = server_source and line_number = server_line_number
        """)

    assert {row["user_agent"]: row["user_agent_family"] for row in rows} == FAMILIES


def test_the_fixture_is_the_recorders(lake):
    """The committed logs are those of the committed truth: their lines lie around its faults."""
    with open_session(lake) as session:
        held = session.rows("select min(started_at) as first, max(started_at) as last from access_logs")[0]

    assert held["first"] < _moment(FAULTS[0]["began_at"]).astimezone(UTC)
    assert held["last"] > _moment(FAULTS[-1]["ended_at"]).astimezone(UTC)
