"""The benchmark's lines are what it says they are; what it measures is no test's matter."""

import gzip
from pathlib import Path

import pytest
from ingesting import Lake

from bench import day, lines, models, shop
from bench.measure import Contender, Run
from bench.peers import NUMBERS, TEXTS
from pipeline.ingest.blocks import zstd
from pipeline.ingest.load import Summary
from pipeline.query.session import open_session

COUNT = 2_000

DAY_LINES = 20_000

OLD_STYLE_LACKS = {"response_code_details", "connection_termination_details", "extra"}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Path]:
    """A file of each style."""
    folder = tmp_path_factory.mktemp("styles")
    for style in lines.STYLES:
        lines.write(style, COUNT, folder / style)
    return {style: folder / style for style in lines.STYLES}


@pytest.fixture(scope="module")
def taken(written, tmp_path_factory) -> dict[str, tuple[Summary, Lake]]:
    """Each style's summary and lake."""
    lakes = {style: Lake(tmp_path_factory.mktemp("lakes") / style) for style in written}
    return {style: (lakes[style].take(path), lakes[style]) for style, path in written.items()}


def rows(lake: Lake, without: set[str]) -> list[dict[str, object]]:
    """The rows in the order of their lines, without the source's name and the columns given."""
    ordered = sorted(lake.rows(), key=lambda row: row["line_number"])
    return [{key: value for key, value in row.items() if key not in {"source", *without}} for row in ordered]


def text(path: Path) -> bytes:
    """What is in a file, decompressed."""
    data = path.read_bytes()
    if path.name == "gzip":
        return gzip.decompress(data)
    return zstd.decompress(data) if path.name == "zstd" else data


@pytest.mark.parametrize("style", lines.STYLES)
def test_every_line_of_a_style_is_a_row_or_noise(style: str, written, taken) -> None:
    """Nothing is rejected, and noise is what the generator mixed in."""
    counts = taken[style][0].counts
    others = sum(line[:1] != b"{" for line in text(written[style]).splitlines()) if style != "cri" else 0

    assert (counts.rows, counts.noise, counts.rejects, counts.blank) == (COUNT, others, 0, 0)
    assert (others > 0) == (style == "noise")


@pytest.mark.parametrize("style", ["cri", "random", "gzip", "zstd"])
def test_line_for_line_a_style_has_the_rows_of_the_typed_one(style: str, taken) -> None:
    """Only how a line is written differs."""
    assert rows(taken[style][1], set()) == rows(taken["typed"][1], set())


def test_the_old_style_has_the_rows_of_the_typed_one_but_for_keys_that_it_lacks(taken) -> None:
    """Values as text are the same values."""
    assert rows(taken["strings"][1], OLD_STYLE_LACKS) == rows(taken["typed"][1], OLD_STYLE_LACKS)


def test_noise_and_templates_tell_of_the_same_requests(taken) -> None:
    """Noise moves line numbers, and short formats lack keys; the requests are the typed ones."""
    typed = {row["request_id"] for row in taken["typed"][1].rows("request_id")}

    assert {row["request_id"] for row in taken["noise"][1].rows("request_id")} == typed
    assert {row["request_id"] for row in taken["templates"][1].rows("request_id")} == typed


def test_several_key_orders_are_mixed(written) -> None:
    """Four formats in turn by chance, or an order of its own for every line."""
    firsts = {
        style: [line.split(b":", 1)[0] for line in written[style].read_bytes().splitlines()]
        for style in ("typed", "templates", "random")
    }

    assert [len(set(keys)) for keys in firsts.values()] == [1, 4, 24]


def test_typed_lines_have_about_the_length_of_a_real_mesh(written) -> None:
    """Eight hundred bytes, more than the samples have with their addresses of loopback."""
    assert 780 < written["typed"].stat().st_size / COUNT < 830


def test_the_same_lines_every_time(written, tmp_path) -> None:
    """No style depends on when or where it is written."""
    for style in ("typed", "noise", "templates", "random"):
        lines.write(style, COUNT, tmp_path / style)

        assert (tmp_path / style).read_bytes() == written[style].read_bytes()


def test_the_peers_know_the_keys_of_the_lines() -> None:
    """The types that are given to peers name every key once."""
    record = shop.scenes()[0][0]

    assert sorted(("start_time", *NUMBERS, *TEXTS)) == sorted(record)


@pytest.fixture(scope="module")
def day_lake(tmp_path_factory) -> Path:
    """A lake of a small day."""
    lake = tmp_path_factory.mktemp("day") / "lake"
    day.write(DAY_LINES, lake)
    return lake


def test_a_day_has_both_sides_of_its_calls(day_lake) -> None:
    """Nearly all lines pair, requests go through several services, and some fail for the reasons of the stories."""
    with open_session(day_lake) as session:
        (lines,) = session.rows("select count(*) as rows, count(distinct request_id) as ids from access_logs")
        (hops,) = session.rows("""
            select
                avg((link in ('address', 'endpoint'))::int) as paired,
                count(distinct cause) as causes,
                count(distinct service) as services,
            from hops
        """)
        (largest,) = session.rows("select max(hops) as hops from traces")
        wrong = session.rows("from loads where lines <> rows or first_started_at > last_started_at")

    assert abs(lines["rows"] - DAY_LINES) < DAY_LINES / 10
    assert lines["ids"] < lines["rows"] / 2
    assert hops["paired"] > 0.95
    assert hops["causes"] > 1
    assert hops["services"] > len(shop.NAMESPACES)
    assert largest["hops"] > 3
    assert wrong == []


def test_the_same_day_every_time(day_lake, tmp_path) -> None:
    """File by file, as a growth is measured between days that differ in nothing but their number of lines."""
    day.write(DAY_LINES, tmp_path / "lake")
    names = [path.relative_to(day_lake) for path in sorted(day_lake.rglob("*.parquet"))]

    assert len({name.parent for name in names}) == day.HOURS
    assert all((tmp_path / "lake" / name).read_bytes() == (day_lake / name).read_bytes() for name in names)


def test_the_models_are_measured_as_processes(tmp_path) -> None:
    """Every program runs to its end, and every goal has a figure beside it."""
    measured = models.measure(COUNT, 1, tmp_path)
    reached = list(models.goals(measured, measured))

    assert [row[1] for row in models.figures(measured)] == [*measured.contenders]
    assert [contender.failure for contender in measured.contenders.values()] == [None] * len(measured.contenders)
    assert {name for name in models.LIMITS for goal in reached if name in goal.what} == {*models.LIMITS}


def test_growth_is_time_a_line() -> None:
    """Twice the lines in three times the time is half as much again for each."""
    sizes = [
        models.Measured(lines, {name: Contender(name, (), runs=[Run(wall, 1.0, 100.0)]) for name in models.LIMITS})
        for lines, wall in ((1_000, 1.0), (2_000, 3.0))
    ]
    growth = list(models.goals(*sizes))[-1]

    assert (growth.measured, growth.is_met) == ("1.50", False)
