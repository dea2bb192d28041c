"""How an answer is laid out for a terminal: as a table where that fits, else a line for each value."""

import io

import pytest

from pipeline.lake.layout import create_lake
from pipeline.query.render import write_answer
from pipeline.query.session import open_session

WIDE = ", ".join(f"'{'v' * 20}' as column_{number}" for number in range(12))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return a function from a query and a width to the answer's lines."""
    lake = tmp_path_factory.mktemp("render") / "lake"
    create_lake(lake)
    with open_session(lake) as session:

        def lines(query, width=80, *, colour=False):
            out = io.BytesIO()
            write_answer(session, query, out, "table", width=width, colour=colour)
            return out.getvalue().decode().splitlines()

        yield lines


def test_rows_wider_than_the_terminal_become_records(table):
    """No value and no name is lost, and no line is wider than the terminal."""
    lines = table(f"select {WIDE}, 1.5 as figure, null as nothing from range(2)")

    assert [line for line in lines if line.startswith("row ")] == [f"row {number} {'─' * 74}" for number in (1, 2)]
    assert [line.split() for line in lines[1:15]] == [
        *([f"column_{number}", "v" * 20] for number in range(12)),
        ["figure", "1.5"],
        ["nothing"],
    ]
    assert lines[-1] == "(2 rows)"
    assert max(map(len, lines)) <= 80


def test_a_long_value_of_a_record_breaks_between_words(table):
    """It goes on below its own beginning; what has no space in it breaks anywhere."""
    lines = table(f"select {WIDE}, repeat('some words ', 20) as said, repeat('x', 100) as path")
    at = next(place for place, line in enumerate(lines) if line.startswith("said"))

    assert all(line[11:].strip().split()[0] == "some" for line in lines[at : at + 3])
    assert "".join(line[11:] for line in lines if "xx" in line) == "x" * 100


def test_rows_that_fit_are_a_table(table):
    """A long text is folded in its cell; numbers stay whole."""
    lines = table("select 'a' as short, repeat('long ', 40) as text, 123456789.125 as figure")

    assert lines[0].split() == ["short", "text", "figure"]
    assert any(line.endswith("123456789.125") for line in lines)


def test_a_pipe_gets_the_table_of_a_wide_terminal(table):
    """Alignment, wide characters, nulls and escapes are those of the terminal's table, however it is drawn."""
    rows = "('a', 1, '\u6771\u4eac'), (null, 22.5, chr(27) || 'x'), ('abc', null, '')"
    query = f"select * from (values {rows}) as said(name, figure, words)"

    assert table(query, None) == table(query, 200)
    assert table(f"{query} limit 0", None) == table(f"{query} limit 0", 200)


def test_a_pipe_folds_nothing(table):
    """A row is a line, however long."""
    assert table("select repeat('x', 20000) as long", None)[2:] == ["x" * 20000, "(1 row)"]


def test_no_row_and_many_columns_say_so(table):
    """Names that do not fit are no table of nothing."""
    assert table(f"select {WIDE} limit 0", 40) == ["(0 rows)"]


def test_a_record_cannot_steer_the_terminal(table):
    """Control characters of a log are escapes, also where colour is on."""
    lines = table(f"select {WIDE}, 'a' || chr(27) || '[31m' || chr(10) as evil", colour=True)

    assert "evil       a\\x1b[31m\\n" in lines
    assert lines[0].startswith("\x1b[1mrow 1 ")
