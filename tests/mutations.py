"""Lines of every wrapper and dialect, and what damage, strangers' headers and other programs may make of them."""

import random
import tomllib
from pathlib import Path

_TESTS = Path(__file__).parent

_TOKENS = [
    *rb'" \ \\ \" , : { } [ ] ", ": null true - "-" "" 0 -0 007 1e3 200.0 1.5 18446744073709551616 \u0000 \ud8'.split(),
    *(b" ", b"\t", b"\r", b"\0", b"\x1b[31m", b"\xff", b"\xc3\xa9", b"\xe2\x80\xae", b"\xef\xbb\xbf", b'"start_time":'),
    *(
        b" stdout P ",
        b" stdout F ",
        b"2021-02-18T07:08:50.031Z ",
        b"[2021-02-18T07:08:50.031Z] ",
        b'{"log":"',
        b'","a":"',
    ),
]


def _lines() -> tuple[bytes, ...]:
    cases = sorted((_TESTS / "dialects").glob("*.toml"))
    texts = [tomllib.loads(path.read_text(encoding="utf-8"))["lines"].encode() for path in cases]
    texts += [path.read_bytes() for path in sorted((_TESTS.parent / "sample_logs").glob("*.jsonl"))]
    return tuple(line for text in texts for line in text.split(b"\n")[:100])


LINES = _lines()


def log(chance: random.Random, count: int) -> list[bytes]:
    """Draw so many lines, without newline: a third as they were written, the others mutated once or more often."""
    made = []
    for _ in range(count):
        line = chance.choice(LINES)
        for _ in range(chance.choice([0, 1, 1, 2, 2, 6])):
            line = _mutated(line, chance)
        made.append(line)
    return made


def _mutated(line: bytes, chance: random.Random) -> bytes:
    begin, end = sorted(chance.randrange(len(line) + 1) for _ in range(2))
    near = min(end, begin + chance.choice([1, 1, 4, 30]))
    made = chance.choice(
        [
            line[:begin] + chance.choice(_TOKENS) + line[begin:],
            line[:begin] + chance.choice(_TOKENS) + line[near:],
            line[:begin] + bytes([chance.randrange(256)]) + line[begin + 1 :],
            line[:begin] + line[near:],
            line[:end] + line[begin:],
            line[:begin],
            line[begin:],
            line[:begin] + chance.choice(LINES)[begin:],
        ]
    )
    return made.replace(b"\n", b" ")
