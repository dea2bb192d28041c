"""`meshlog export`: traces for Jaeger and Tempo, or a lake that can be given away."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline.cli.options import open_window, window_options
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.export.spans import Span

Kind = Literal["otlp", "jaeger", "share"]


@click.command(short_help="Write traces for Jaeger and Tempo, or a lake to give away.")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--otlp", "kind", flag_value="otlp", help="Traces in OpenTelemetry's protocol: JSON lines, or FILE.pb.")
@click.option("--jaeger", "kind", flag_value="jaeger", help="Traces as the upload of Jaeger's page reads them.")
@window_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write, instead of stdout.")
def export(
    ids: tuple[str, ...],
    kind: Kind | None,
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    output: Path | None,
) -> None:
    """Write the traces of some requests, or of all in the window.

    \b
    Examples:
      meshlog export --jaeger 967f8e1a -o trace.json       open it in Jaeger: Search, Upload
      meshlog export --otlp --since 1h -o traces.jsonl     one TracesData a line
      meshlog export --otlp --since 1h -o traces.pb        the same in protobuf, as Tempo takes it:
      curl --data-binary @traces.pb -H 'Content-Type: application/x-protobuf' http://tempo:4318/v1/traces

    An ID is a request id, the start of one, or a trace id. Where a hop was logged by both sides, it is two spans: the
    client's and, within it, the server's. Ids are the same in every export. Exits with 5 where nothing is found.
    """
    if kind is None:
        raise UsageError("say what to write: --otlp or --jaeger")
    with open_window(lake, since, until, timezone) as session:
        from pipeline.export.spans import exported_traces

        _write(_encoded(exported_traces(session, ids), kind, output), output)


def _encoded(traces: Iterable[list["Span"]], kind: Kind, output: Path | None) -> Iterator[bytes]:
    if kind == "jaeger":
        from pipeline.export.jaeger import jaeger_json

        return jaeger_json(traces)
    from pipeline.export.otlp import otlp_json, otlp_protobuf

    return otlp_protobuf(traces) if output and output.suffix == ".pb" else otlp_json(traces)


def _write(pieces: Iterable[bytes], output: Path | None) -> None:
    from pipeline.export.files import write_pieces

    if output:
        write_pieces(pieces, output)
        return
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.flush()
