"""Generates access logs in every style that the ingest is measured with: `python -m bench.lines STYLE LINES PATH`.

The same style and number give the same bytes every time, and line N tells of the same request in every style: only
how it is written differs. Ids and ports are fresh in every line, which no dictionary helps; times are a day in order of
the lines' ends; durations and sizes have long tails; every second path holds a customer or a product.
"""

import gzip
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench import shop
from pipeline.ingest.blocks import zstd

SEED = 7
CHUNK = 20_000
DAY = np.datetime64("2026-11-22T00:00:00.000000000")

SHORT_KEYS = (
    "start_time",
    "method",
    "path",
    "protocol",
    "response_code",
    "response_flags",
    "bytes_received",
    "bytes_sent",
    "duration",
    "upstream_service_time",
    "x_forwarded_for",
    "user_agent",
    "request_id",
    "authority",
    "upstream_host",
    "upstream_cluster",
)
"""The fields of Envoy's default text, in its order, as custom JSON formats often have them."""

STYLES = ("typed", "strings", "cri", "noise", "templates", "random", "gzip", "zstd")

NOISE_SHARE = 0.01

Pattern = Callable[[int], str]
"""The text of a scene's next line, slots still open."""


def write(style: str, lines: int, path: Path) -> None:
    """Write so many lines; noise comes on top of them."""
    pattern = _pattern(style)
    values = _values(lines)
    with _opened(style, path) as file:
        while batch := [pattern(scene) % slots for scene, slots in islice(values, CHUNK)]:
            file.write("".join(batch).encode())


def _opened(style: str, path: Path) -> BinaryIO:
    """Compressed as rotated logs are: gzip at its default level 6, zstd at its default level 3."""
    if style == "gzip":
        return gzip.open(path, "wb", compresslevel=6)
    if style == "zstd":
        return zstd.open(path, "wb", level=3)
    return path.open("wb")


def _pattern(style: str) -> Pattern:
    """How the lines of a style are written."""
    chance = random.Random(SEED)
    scenes, _ = shop.scenes()
    keys = list(scenes[0])

    def written(keys: Sequence[str], before: str = "", as_text: bool = False) -> list[str]:
        return [f"{before}{{{','.join(shop.pieces(scene, keys, as_text))}}}\n" for scene in scenes]

    if style == "strings":
        return written(shop.old_keys(), as_text=True).__getitem__
    if style == "cri":
        return written(keys, before="%(written)s stdout F ").__getitem__
    if style == "templates":
        without_policy = [key for key in shop.old_keys() if key in keys]
        formats = [written(form) for form in (keys, keys[::-1], without_policy, SHORT_KEYS)]
        return lambda scene: chance.choice(formats)[scene]
    if style == "random":
        loose, orders = [shop.pieces(scene, keys, False) for scene in scenes], _orders(len(keys))
        return lambda scene: "{" + ",".join([loose[scene][place] for place in next(orders)]) + "}\n"
    typed = written(keys)
    if style == "noise":
        others = [line.replace("%", "%%") + "\n" for line in shop.noise()]
        return lambda scene: typed[scene] + (chance.choice(others) if chance.random() < NOISE_SHARE else "")
    return typed.__getitem__


def _orders(count: int) -> Iterator[list[int]]:
    """Permutations without end, each drawn anew."""
    chance = np.random.default_rng(SEED)
    while True:
        yield from np.argsort(chance.random((CHUNK, count)), axis=1).tolist()


def _values(lines: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's scene, and what fills its slots; the same for every style."""
    chance = np.random.default_rng(SEED)
    scenes, happy = shop.scenes()
    for first in range(0, lines, CHUNK):
        count = min(CHUNK, lines - first)
        fails = chance.random(count) < shop.FAILING_SHARE
        scene = np.where(fails, chance.integers(happy, len(scenes), count), chance.integers(0, happy, count))
        columns = _columns(chance, first + np.arange(count), lines)
        for number, values in zip(scene.tolist(), zip(*columns.values(), strict=True), strict=True):
            yield number, dict(zip(columns, values, strict=True))


def _columns(chance: np.random.Generator, numbers: np.ndarray, lines: int) -> dict[str, list[Any]]:
    """Slots of a chunk by name. Milliseconds and bytes are log-normal: medians of 8 ms, 900 and 300 bytes."""
    count = len(numbers)
    duration = np.minimum(chance.lognormal(2.1, 1.2, count), 60_000).astype(np.int64)
    began = np.maximum(0, numbers * 86_400_000 // lines - duration)
    started = DAY + began.astype("timedelta64[ms]")
    ended = started + (duration * 1_000_000 + chance.integers(0, 1_000_000, count)).astype("timedelta64[ns]")
    client = (chance.random(count) ** 2 * len(shop.CLIENTS)).astype(np.int64)
    return {
        "id": _ids(chance, count),
        "started": [f"{text}Z" for text in np.datetime_as_string(started, unit="ms").tolist()],
        "written": [f"{text}Z" for text in np.datetime_as_string(ended, unit="ns").tolist()],
        "duration": duration.tolist(),
        "service_time": (duration * chance.uniform(0.6, 1.0, count)).astype(np.int64).tolist(),
        "sent": chance.lognormal(6.8, 1.4, count).astype(np.int64).tolist(),
        "received": chance.lognormal(5.7, 0.9, count).astype(np.int64).tolist(),
        "near_port": chance.integers(32_768, 61_000, count).tolist(),
        "far_port": chance.integers(32_768, 61_000, count).tolist(),
        "client": [shop.CLIENTS[number] for number in client.tolist()],
        "agent": [shop.AGENTS[number % len(shop.AGENTS)] for number in client.tolist()],
        "user": [f"customer-{number}" for number in chance.integers(10_000, 60_000, count).tolist()],
        "product": [f"sku-{number:06x}" for number in (chance.zipf(1.2, count) % 20_000 * 523).tolist()],
    }


def _ids(chance: np.random.Generator, count: int) -> list[str]:
    """Random UUIDs, version 4."""
    digits = chance.bytes(16 * count).hex()
    ids = (digits[place : place + 32] for place in range(0, 32 * count, 32))
    return [f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}" for text in ids]


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
