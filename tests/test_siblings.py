"""Endpoints against their siblings, and retries along a chain: what counts as a difference, and what is chance."""

from collections.abc import Iterator

import pytest
import telling

from pipeline.ingest.load import load
from pipeline.query.session import Session, open_session

# what the first host did, what each of two siblings did (calls, failures, and the time of each call in turn, in ms),
# and what the first one is an outlier by
HOSTS = {
    "all its calls fail": ((40, 40, [10]), (40, 0, [10]), "fails more"),
    "half its calls fail": ((20, 10, [10]), (40, 0, [10]), "fails more"),
    "ten times as slow": ((40, 0, [200, 220]), (40, 0, [10, 12]), "is slower"),
    "slow and failing": ((40, 30, [200]), (40, 0, [10]), "fails more and is slower"),
    "slow now and then": ((60, 0, [10, 10, 10, 400]), (60, 0, [10]), "is slower"),
    "the only failures among few calls": ((3, 3, [10]), (3, 0, [10]), None),
    "the only slow ones among few calls": ((5, 0, [500]), (5, 0, [10]), None),
    "one failure more": ((40, 2, [10]), (40, 1, [10]), None),
    "one slow call": ((40, 0, [*[10] * 39, 900]), (40, 0, [10]), None),
    "all fail alike": ((40, 20, [10]), (40, 20, [10]), None),
    "surely slower, by little": ((60, 0, [14]), (60, 0, [10]), None),
    "better than its siblings": ((40, 0, [10]), (40, 20, [300]), None),
}


def calls(pod: str, done: tuple[int, int, list[int]], first: int) -> Iterator[telling.Fields]:
    """The clients' lines of calls of one host."""
    count, failures, times = done
    for number in range(count):
        took = times[number % len(times)]
        yield {
            "side": "C",
            "to": pod,
            "req": first + number,
            "at": 10 * number,
            "code": 503 if number < failures else 200,
            "ms": took,
            "upstream_service_time": str(took),
        }


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Iterator[Session]:
    """A session on every set of hosts, a service each, and on a chain of retries."""
    folder = tmp_path_factory.mktemp("siblings")
    said = []
    for case, (sick, sibling, _) in enumerate(HOSTS.values()):
        lines = [*calls("s", sick, 0), *calls("s2", sibling, 200), *calls("s3", sibling, 400)]
        said.extend(telling.told(case, {"lines": lines}))
    said.extend(telling.told(len(HOSTS), {"lines": CHAIN}))
    (folder / "log").write_text("".join(telling.typed(line.fields) + "\n" for line in said))
    load([str(folder / "log")], folder / "lake")
    with open_session(folder / "lake") as opened:
        yield opened


@pytest.mark.parametrize("number", range(len(HOSTS)), ids=HOSTS)
def test_an_outlier_differs_by_much_and_not_by_chance(session, number):
    """The host is an outlier by what its row says, and its siblings are none."""
    found = session.rows(
        "select upstream_host, is_outlier, outlier_by from endpoints where service = $service",
        {"service": telling.service(number, "s")},
    )
    expected = list(HOSTS.values())[number][2]
    sick = f"{telling.address(number, 's')}:8080"

    by_host = {row["upstream_host"]: (row["is_outlier"], row["outlier_by"]) for row in found}
    assert by_host.pop(sick) == (expected is not None, expected)
    if list(HOSTS)[number] != "better than its siblings":
        assert set(by_host.values()) == {(False, None)}


def test_a_lone_host_is_no_outlier(session):
    """Without a sibling there is nothing to compare with, and no row is lost."""
    found = session.rows("select is_outlier, error_z, slow_z from endpoints where siblings = 0")

    assert found
    assert all(row == {"is_outlier": False, "error_z": None, "slow_z": None} for row in found)


def chain() -> Iterator[telling.Fields]:
    """Three requests: c calls s, which calls d; in one both calls are tried twice, in vain at d."""
    for req in (0, 1):
        at = 1000 * req
        yield {"side": "C", "at": at, "req": req, "ms": 90}
        yield {"side": "S", "at": at + 1, "req": req, "ms": 80}
        yield {"side": "C", "from": "s", "to": "d", "at": at + 10, "req": req, "ms": 20}
        yield {"side": "S", "from": "s", "to": "d", "at": at + 11, "req": req, "ms": 10}
    yield {"side": "C", "at": 2000, "req": 2, "ms": 400, "code": 503, "flags": "URX"}
    for attempt in (0, 200):
        at = 2000 + attempt
        yield {"side": "S", "at": at + 1, "req": 2, "ms": 150, "code": 503}
        yield {"side": "C", "from": "s", "to": "d", "at": at + 10, "req": 2, "ms": 120, "code": 503, "flags": "URX"}
        yield {"side": "S", "from": "s", "to": "d", "at": at + 11, "req": 2, "ms": 40, "code": 503}
        yield {"side": "S", "from": "s", "to": "d", "at": at + 70, "req": 2, "ms": 40, "code": 503}


CHAIN = list(chain())


def test_retries_multiply_along_a_chain(session):
    """Two tries of s with two of d each are four calls of d where one would do."""
    case = len(HOSTS)
    found = session.rows(
        "select * from retries where client_service = $caller and service = $called",
        {"caller": telling.service(case, "s"), "called": telling.service(case, "d")},
    )

    # the call that names d is a fourth first try
    assert [
        (row["calls"], row["attempts"], row["retried"], row["saved"], row["wasted"], row["chain_attempts_per_call"])
        for row in found
    ] == [(5, 7, 2, 0, 2, 7 / 4)]
