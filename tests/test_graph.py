"""The service graph as rows, Mermaid and DOT: the same figures in each, and no name is ever syntax."""

import json
import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ingest.load import load
from pipeline.query.graph import as_dot, as_mermaid
from pipeline.text import visible
from tests.reporting import HOSTILE, hostile_lines

NAMES = st.text(st.characters(), min_size=1, max_size=40) | st.sampled_from(HOSTILE)
LEARNT = (
    '"];click n0 "javascript:alert(1)"',
    '"]; n0 -> n1 [URL="http://evil.example"',
    "<b>bold</b>",
    "<<i>x</i>>",
    "&lt;&#34;&amp;",
    "#34;#quot;",
    "\\N\\G\\",
    'a\\"',
    "%%{init: {}}%%",
    "`1. *x*`",
    "end",
    "n0:port:s",
    "```\n# head",
)
"""What means something to Mermaid, Markdown, HTML or Graphviz."""


def edge(client: str | None, service: str, **figures: object) -> dict[str, object]:
    """Return an edge as the question answers it."""
    return {"client_service": client, "service": service, "calls": 10, "error_rate": 0.0, "p95_ms": 3.2} | {
        "health": "well",
        **figures,
    }


# ---------- figures


def test_the_drawings_show_what_the_table_says(meshlog, samples_lake):
    """Every edge of the table is an edge of both drawings, with its calls, error rate and 95th percentile."""
    rows = json.loads(meshlog("graph", "--lake", samples_lake, "--format", "json").out)
    mermaid = meshlog("graph", "--lake", samples_lake, "--format", "mermaid").out
    dot = meshlog("graph", "--lake", samples_lake, "--format", "dot").out

    assert len(rows) == 8
    for text, arrow in ((mermaid, "-->"), (dot, "->")):
        drawn = [line for line in text.splitlines() if arrow in line]
        assert len(drawn) == len(rows)
        for row, line in zip(rows, drawn, strict=True):
            assert f"{row['calls']:,} calls" in line
            assert f"{row['error_rate']:.1%} failed" in line
            assert ("p95" in line) == (row["p95_ms"] is not None)


def test_the_text_names_each_caller_and_whom_it_calls(meshlog, samples_lake):
    """Without a format the graph is read in a terminal: a caller, its edges below it, a mark where calls fail."""
    ran = meshlog("graph", "--lake", samples_lake)

    assert ran.code == 0
    assert ran.out.splitlines()[:4] == [
        "istio-ingressgateway.istio-system",
        "  -> frontend.shop            148 calls   20.3% failed !  p95 169 ms",
        "frontend.shop",
        "  -> payments.shop             78 calls   34.6% failed !  p95 311 ms",
    ]
    assert max(map(len, ran.out.splitlines())) <= 80


def test_failing_edges_stand_out():
    """From one failed call in twenty an edge is red and thick; a healthy one has no style of its own."""
    edges = [edge("a", "b", health="failing"), edge("a", "c"), edge("b", "c", health="impaired")]
    styles = [line for line in as_mermaid(edges).splitlines() if "linkStyle" in line]

    assert [style.split()[1] for style in styles] == ["0", "2"]
    assert [line.count("color=") for line in as_dot(edges).splitlines() if "->" in line] == [2, 0, 2]


def test_health_follows_the_error_rate(meshlog, samples_lake):
    """The column that colours an edge is told from its error rate."""
    rows = json.loads(meshlog("graph", "--lake", samples_lake, "--format", "json").out)

    assert {(row["health"] == "failing") for row in rows if row["error_rate"] >= 0.05} == {True}
    assert {row["health"] for row in rows if row["errors"] == 0} == {"well"}


def test_who_is_outside_the_mesh_is_drawn_so():
    """A caller without a name is one node."""
    assert as_mermaid([edge(None, "a"), edge(None, "b")]).count("outside the mesh") == 1


# ---------- where it goes


@pytest.mark.parametrize("kind", ["table", "csv", "json", "mermaid", "dot"])
def test_a_window_without_a_call_has_no_data(meshlog, empty_lake, kind):
    """Exit 5 in every format, and nothing on stdout."""
    ran = meshlog("graph", "--lake", empty_lake, "--format", kind)

    assert (ran.code, ran.out) == (5, "")
    assert "meshlog status" in ran.err


@pytest.mark.parametrize(("name", "begin"), [("m.mmd", "flowchart LR"), ("m.dot", "digraph"), ("m.csv", "client_")])
def test_a_suffix_tells_the_format(meshlog, samples_lake, tmp_path, name, begin):
    """`-o mesh.mmd` is Mermaid, `-o mesh.dot` is DOT; nothing goes to stdout and nothing else is written."""
    ran = meshlog("graph", "--lake", samples_lake, "-o", tmp_path / name)

    assert (ran.code, ran.out) == (0, "")
    assert (tmp_path / name).read_text().startswith(begin)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_unknown_suffix_is_a_usage_error(meshlog, samples_lake, tmp_path):
    """It names what it knows."""
    assert meshlog("graph", "--lake", samples_lake, "-o", tmp_path / "mesh.xyz").code == 2


# ---------- names of strangers

MERMAID_NODE = re.compile(r'    n\d+\["((?:[A-Za-z0-9 ._/-]|#\d+;)+)"\]')
MERMAID_EDGE = re.compile(r'    n\d+ -->\|"[0-9,]+ calls<br/>[0-9.]+% failed(<br/>p95 [0-9,]+ ms)?"\| n\d+')
DOT_NODE = re.compile(r'\tn\d+ \[label=(?:"((?:[^"\\]|\\\\|\\")*)"|([A-Za-z_][A-Za-z0-9_]*|-?[0-9.]+))\]')


@settings(max_examples=300, deadline=None)
@given(st.lists(NAMES | st.sampled_from(LEARNT), min_size=2, max_size=6, unique=True))
def test_a_name_is_only_ever_a_label_in_mermaid(names):
    """Whatever a name is: one line a node and an edge, plain characters and entity codes alone, read back the same."""
    first, *lines = as_mermaid([edge(names[0], name) for name in names]).splitlines()
    nodes, edges = lines[: len(names)], lines[len(names) :]
    labels = [MERMAID_NODE.fullmatch(line)[1] for line in nodes]

    assert first == "flowchart LR"
    assert [re.sub(r"#(\d+);", lambda code: chr(int(code[1])), label) for label in labels] == [*map(visible, names)]
    assert all(MERMAID_EDGE.fullmatch(line) for line in edges)


@settings(max_examples=300, deadline=None)
@given(st.lists(NAMES | st.sampled_from(LEARNT), min_size=2, max_size=6, unique=True))
def test_a_name_is_only_ever_a_label_in_dot(names):
    """Whatever a name is: one line a node, its label one quoted string or one plain word, and it reads the same."""
    lines = as_dot([edge(names[0], name) for name in names]).splitlines()
    labels = [DOT_NODE.fullmatch(line) for line in lines if re.match(r"\tn\d+ \[", line)]
    read = [found[2] or found[1].replace(r"\"", '"').replace(r"\\", "\\").replace("&amp;", "&") for found in labels]

    assert len(lines) == 4 + len(names) + len(names) + 1
    assert read == [*map(visible, names)]


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed: apt-get install graphviz")
def test_graphviz_shows_names_as_they_are():
    """Graphviz itself parses hostile names and draws each as text: no link, no markup, no other node."""
    names = [visible(name) for name in (*HOSTILE, *LEARNT)]
    text = as_dot([edge(names[0], name) for name in names])
    svg = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True).stdout
    root = ElementTree.fromstring(svg)
    shape = "{http://www.w3.org/2000/svg}"
    nodes = [group for group in root.iter(f"{shape}g") if group.get("class") == "node"]

    assert [node.findtext(f"{shape}text").replace("\xa0", " ") for node in nodes] == names
    assert not [*root.iter(f"{shape}a"), *root.iter(f"{shape}image"), *root.iter(f"{shape}script")]


def test_names_from_a_hostile_log_reach_no_syntax(meshlog, tmp_path):
    """From the log to the drawing: nothing that steers a terminal, and no quote that ends a label."""
    (tmp_path / "access.log").write_bytes(b"".join(hostile_lines()))
    load([str(tmp_path / "access.log")], tmp_path / "lake")
    for kind in ("mermaid", "dot"):
        ran = meshlog("graph", "--lake", tmp_path / "lake", "--format", kind)

        assert ran.code == 0
        assert ran.out.replace("\n", "").replace("\t", "").isprintable()
        assert kind == "dot" or "<script" not in ran.out
