"""`meshlog mesh`: read the mesh's own configuration into the lake."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import lake_option, timezone_option
from pipeline.text import visible

if TYPE_CHECKING:
    from pipeline.mesh.snapshot import Summary


@click.command(short_help="Read Istio's own configuration and state into the lake.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...|-")
@lake_option
@click.option(
    "--at", metavar="TIME", help="When it stood so: 1h (ago), 2026-11-23T03:00Z.  [default: the newest file's]"
)
@timezone_option
@click.option("--proxy", metavar="POD.NAMESPACE", help="Whose proxy-config it is, where the output does not tell.")
@click.option("--format", type=click.Choice(("csv", "json")), help="List on stdout what was read, kind by kind.")
def mesh(
    paths: tuple[str, ...], lake: Path, at: str | None, timezone: str, proxy: str | None, format: str | None
) -> None:
    """Read what kubectl and istioctl wrote: files, folders, globs and stdin (`-`), as one snapshot.

    \b
    Examples:
      kubectl get vs,dr,gw,se,pa,svc,endpointslices,pods -A -o yaml | meshlog mesh -
      meshlog mesh manifests/ --at 2026-11-23T03:00Z        as it stood then
      istioctl proxy-config all payments-v1-84c9 -n shop -o json | meshlog mesh -
      istioctl proxy-config clusters payments-v1-84c9 -n shop | meshlog mesh - --proxy payments-v1-84c9.shop

    YAML, JSON and the tables that istioctl prints are told by themselves. meshlog diagnose then says which object and
    field to change. Of each kind the snapshot counts that was in force at the window's end: the latest until then, else
    the first after. So name everything of one kind in one call. The same again changes nothing.

    Secrets are never stored: Secret objects, keys, tokens, passwords, and the environment of pods are dropped.

    Exit codes: 0 done, 1 failed (then nothing was stored), 2 usage.
    """
    from datetime import UTC, datetime

    from pipeline.mesh.snapshot import read_snapshot
    from pipeline.query.window import moment

    stood_at = moment(at, timezone, datetime.now(UTC)) if at else None
    summary = read_snapshot(paths, lake, stood_at, proxy)
    if format:
        _write_listing(summary, format)
    for line in _spoken(summary):
        click.echo(visible(line), err=True)


def _write_listing(summary: "Summary", format: str) -> None:
    import csv
    import json
    import sys
    from dataclasses import asdict

    rows = [asdict(part) for part in summary.parts]
    if format == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        writer = csv.DictWriter(sys.stdout, ("kind", "count", "treatment", "detail"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _spoken(summary: "Summary") -> list[str]:
    state = "a new snapshot" if summary.is_new else "nothing new"
    read = f"{summary.documents:,} document{'s' * (summary.documents != 1)} read"
    lines = [f"{read}, {state} of {summary.at:%Y-%m-%d %H:%M:%S %Z}"]
    for part in summary.parts:
        detail = f" ({'unknown fields ' if part.treatment == 'read' else ''}{part.detail})" if part.detail else ""
        lines.append(f"  {part.count:>6,} {part.kind} {part.treatment}{detail}")
    if summary.is_unnamed:
        lines.append("nothing tells whose proxy-config this is: name it with --proxy to keep several proxies apart")
    return lines
