"""What others make of the same file: `python -m bench.peers PEER STYLE SOURCE TARGET`, one zstd Parquet file each.

Each is written as its own documentation would have a careful user write it. Where a peer's guess at the types from its
default sample would fail on a later line, it looks at more lines or is told the types. None of them turns "-" to null,
takes clusters apart, keeps rejects or notes what it read.
"""

import os
import shutil
import sys
from pathlib import Path

CAN_READ = {
    "duckdb": {"typed", "strings", "cri", "noise", "templates", "random", "gzip", "zstd"},
    "polars": {"typed", "strings", "cri", "noise", "templates", "random", "gzip", "zstd"},
    "pyarrow": {"typed", "strings", "templates", "random", "gzip", "zstd"},
    "chdb": {"typed", "strings", "cri", "noise", "templates", "random", "gzip", "zstd"},
}
"""PyArrow's reader stops at the first line that is no JSON, so at noise and at CRI's header."""

NOTES = {
    "cri": "DuckDB, Polars and chDB take lines as one column of text, and what is behind the header as JSON of given "
    "types. PyArrow cannot.",
    "noise": "DuckDB with ignore_errors, which makes a row of nulls of each line of noise; chDB with allowed errors; "
    "Polars through a column of text, as its ignore_errors stops at such a line. PyArrow cannot.",
    "strings": 'The others leave numbers as text and "-" as it is.',
    "typed": "DuckDB makes UUIDs of request ids, as it reads nothing else in them, which takes less Parquet than text; "
    "Polars leaves times as text.",
}
"""What to know about a comparison; shown with it."""

CRI_HEADER = "2026-11-22T00:00:00.000000000Z stdout F "

NUMBERS = ("bytes_received", "bytes_sent", "duration", "response_code")

TEXTS = (
    "authority",
    "connection_termination_details",
    "downstream_local_address",
    "downstream_remote_address",
    "method",
    "path",
    "protocol",
    "request_id",
    "requested_server_name",
    "response_code_details",
    "response_flags",
    "route_name",
    "upstream_cluster",
    "upstream_host",
    "upstream_local_address",
    "upstream_service_time",
    "upstream_transport_failure_reason",
    "user_agent",
    "x_forwarded_for",
)


def duckdb(style: str, source: str, target: str) -> None:
    """`copy (from read_json)`; CRI as one text column, whose part after the header is JSON of known types."""
    import duckdb

    lines = f"from read_json('{source}', format='newline_delimited', ignore_errors={style == 'noise'})"
    if style == "cri":
        fields = {"start_time": "TIMESTAMP"} | dict.fromkeys(NUMBERS, "BIGINT") | dict.fromkeys(TEXTS, "VARCHAR")
        types = "{" + ",".join(f'"{key}":"{kind}"' for key, kind in fields.items()) + "}"
        whole = "auto_detect=false, header=false, delim=e'\\x01', quote='', escape='', columns={'line': 'VARCHAR'}"
        lines = f"""select unnest(from_json(substr(line, {len(CRI_HEADER) + 1}), '{types}'))
            from read_csv('{source}', {whole})"""
    duckdb.execute(f"copy ({lines}) to '{target}' (format parquet, compression zstd)")


def polars(style: str, source: str, target: str) -> None:
    """`scan_ndjson` and `sink_parquet`, types told from as many lines as DuckDB looks at.

    Its `ignore_errors` does not get past a line that is no JSON, so noise is taken as CRI is: text lines, then JSON.
    """
    import polars as pl

    if style in ("cri", "noise"):
        types = dict.fromkeys(("start_time", *TEXTS), pl.String) | dict.fromkeys(NUMBERS, pl.Int64)
        line = pl.col("line").str.slice(len(CRI_HEADER) if style == "cri" else 0)
        whole = pl.scan_csv(source, has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String})
        records = whole.select(line).filter(pl.col("line").str.starts_with("{"))
        lines = records.select(pl.col("line").str.json_decode(pl.Struct(types))).unnest("line")
    else:
        lines = pl.scan_ndjson(source, infer_schema_length=20_480)
    lines.sink_parquet(target, compression="zstd")


def pyarrow(style: str, source: str, target: str) -> None:
    """`open_json` a block at a time; types are given where the first block, from which it takes them, has nulls."""
    import pyarrow as pa
    from pyarrow import json, parquet

    numbers = [(name, pa.int64()) for name in NUMBERS]
    schema = pa.schema([("start_time", pa.timestamp("ms")), *numbers, *((name, pa.string()) for name in TEXTS)])
    parsing = json.ParseOptions(explicit_schema=None if style == "strings" else schema)
    lines = pa.input_stream(source, compression="detect")
    with (
        json.open_json(lines, json.ReadOptions(block_size=8 << 20), parsing) as reader,
        parquet.ParquetWriter(target, reader.schema, compression="zstd") as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)


def chdb(style: str, source: str, target: str) -> None:
    """`select * from file(JSONEachRow) into outfile`; CRI as for DuckDB."""
    import chdb

    fields = {"start_time": "String"} | dict.fromkeys(NUMBERS, "Int64") | dict.fromkeys(TEXTS, "Nullable(String)")
    types = ", ".join(f"{key} {kind}" for key, kind in fields.items())
    settings = "output_format_parquet_compression_method = 'zstd'"
    lines = f"select * from file('{source}', JSONEachRow)"
    if style == "noise":
        settings += ", input_format_allow_errors_ratio = 0.1"
        lines = f"select * from file('{source}', JSONEachRow, '{types}')"
    if style == "cri":
        record = f"JSONExtract(substring(line, {len(CRI_HEADER) + 1}), 'Tuple({types})') as record"
        columns = ", ".join(f"record.{key} as {key}" for key in fields)
        lines = f"select {columns} from (select {record} from file('{source}', LineAsString, 'line String'))"
    chdb.query(f"{lines} into outfile '{target}' truncate format Parquet settings {settings}")


def decompress(style: str, source: str, _: str) -> None:
    """Nothing but decompress, with the library that meshlog uses, too; the text goes nowhere."""
    with Path(os.devnull).open("wb") as nowhere:
        if style == "gzip":
            from isal.igzip import open as opened
        else:
            from pipeline.ingest.blocks import zstd

            opened = zstd.open
        with opened(source) as text:
            shutil.copyfileobj(text, nowhere, 1 << 20)


if __name__ == "__main__":
    program, *arguments = sys.argv[1:]
    programs = {"duckdb": duckdb, "polars": polars, "pyarrow": pyarrow, "chdb": chdb, "decompress": decompress}
    programs[program](*arguments)
