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
@click.option("--share", "kind", flag_value="share", help="A lake under pseudonyms, without query strings.")
@window_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write, or with --share the folder.")
@click.option("--key-file", type=click.Path(path_type=Path, dir_okay=False), help="--share: the key; made if missing.")
@click.option("--keep-services", is_flag=True, help="--share: keep names of services, namespaces, subsets, workloads.")
@click.option("--shift-times", is_flag=True, help="--share: set times back by whole weeks, as the key decides.")
@click.option("--allow-key", "allowed", metavar="KEY", multiple=True, help="--share: keep this key of `extra`.")
def export(
    ids: tuple[str, ...],
    kind: Kind | None,
    lake: Path,
    since: str | None,
    until: str | None,
    timezone: str,
    output: Path | None,
    key_file: Path | None,
    keep_services: bool,
    shift_times: bool,
    allowed: tuple[str, ...],
) -> None:
    """Write the traces of some requests, or of all in the window; or a copy of the lake that tells no names.

    \b
    Examples:
      meshlog export --jaeger 967f8e1a -o trace.json       open it in Jaeger: Search, Upload
      meshlog export --otlp --since 1h -o traces.jsonl     one TracesData a line
      meshlog export --otlp --since 1h -o traces.pb        the same in protobuf, as Tempo takes it:
      curl --data-binary @traces.pb -H 'Content-Type: application/x-protobuf' http://tempo:4318/v1/traces
      meshlog export --share --key-file ~/share.key --since 1h -o shared

    An ID is a request id, the start of one, or a trace id. Where a hop was logged by both sides, it is two spans: the
    client's and, within it, the server's. Ids are the same in every export.

    --share replaces addresses, hosts, services, pods, request ids, path segments and unknown words, the same value by
    the same pseudonym wherever it stands, so that what belonged together still does. Then it reads the copy again and
    searches it for every raw value; if one is left, nothing is written. Keep the key: it gives the same pseudonyms
    again, and who has it can test guesses.

    Exits with 5 where nothing is found.
    """
    if kind is None:
        raise UsageError("say what to write: --otlp, --jaeger or --share")
    if kind != "share":
        if key_file or keep_services or shift_times or allowed:
            raise UsageError("--key-file, --keep-services, --shift-times and --allow-key are for --share alone")
        from pipeline.export.spans import exported_traces
        from pipeline.query.lookup import of_request

        seek = of_request(ids[0]) if len(ids) == 1 else None
        with open_window(lake, since, until, timezone, seek=seek) as session:
            _write(_encoded(exported_traces(session, ids), kind, output), output)
        return
    if ids:
        raise UsageError("--share takes a window, --since and --until, and no ids")
    if key_file is None or output is None:
        raise UsageError("--share needs --key-file FILE, which is made if it is missing, and -o DIR")
    from pipeline.query.window import window
    from pipeline.share.keys import read_key
    from pipeline.share.share import Choices, share

    choices = Choices(window(since, until, timezone), keep_services, shift_times, allowed)
    key, is_new = read_key(key_file)
    if is_new:
        click.echo(f"made a key in {key_file}: keep it, and keep it to yourself", err=True)
    done = share(lake, output, key, choices)
    proof = done.proof
    click.echo(f"{output}: {done.rows:,} rows of {done.sources:,} sources")
    click.echo(
        f"searched {proof.texts:,} texts of {proof.files:,} files for {proof.values:,} raw values: none is left. "
        "Not searched for: numbers of up to five digits (ports, codes), dates and the words that every mesh has. "
        "Rejected lines were left out",
        err=True,
    )


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
