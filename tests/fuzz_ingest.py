"""Runs histories of logs, and mutated lines, against the ingest for as long as a maintainer likes.

    python -m tests.fuzz_ingest --minutes 60
    python -m tests.fuzz_ingest --seed 123        one round again, with its steps

A round is a history, and a log with lines of every wrapper and dialect, most of them mutated: compiled or one at a
time, cut into blocks anywhere, they give the same rows, rejects and counts. Each round is drawn from a seed of its own,
which is printed where it fails; its folder is then kept.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from histories import COMPRESSORS, History
from ingesting import Lake
from mutations import log

from pipeline.ingest import blocks
from pipeline.ingest import load as loading

LINES = 2000
"""Lines of a round's log."""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


Step = tuple[str, Callable[[], None]]


def _step(history: History, chance: random.Random) -> Step:
    at, percent = chance.randrange(6), chance.randrange(1, 101)
    count, kind = chance.choice([1, 3, 40, 400]), chance.choice(["noise", "blank", "reject", "cri", "late"])
    packing = chance.choice(sorted(COMPRESSORS))
    sizes = chance.choice([300, 5_000, 1 << 22]), chance.choice([1, 20, 10_000]), chance.random() < 0.5
    return chance.choice(
        [
            (f"append {at} {count}", lambda: history.append(at, count)),
            (f"append_part {at} {percent}", lambda: history.append_part(at, percent)),
            (f"append_other {at} {kind}", lambda: history.append_other(at, kind)),
            (f"rotate {at}", lambda: history.rotate(at)),
            (f"copy_and_truncate {at}", lambda: history.copy_and_truncate(at)),
            (f"recompress {at} {packing}", lambda: history.recompress(at, packing)),
            (f"copy {at} {percent}", lambda: history.copy(at, percent)),
            *[(f"ingest {sizes}", lambda: history.ingest(*sizes))] * 3,
        ]
    )


def _play_history(root: Path, chance: random.Random, *, is_told: bool) -> None:
    history = History(root)
    for _ in range(chance.randrange(3, 40)):
        name, act = _step(history, chance)
        if is_told:
            say(name)
        act()
        history.check_law()
    history.check_all()


def _play_lines(root: Path, chance: random.Random) -> None:
    lines = log(chance, LINES)
    path = root / "mutated.log"
    path.write_bytes(b"\n".join([b"the first line says that this is a log", *lines]))
    old = blocks.BLOCK_BYTES, loading.SCAN_FROM_BYTES
    read = []
    try:
        for is_scanned in (False, True):
            blocks.BLOCK_BYTES, loading.SCAN_FROM_BYTES = (
                chance.choice([900, 9_000, 1 << 22]),
                (1 << 40) * (not is_scanned),
            )
            lake = Lake(root / f"lines-{is_scanned}")
            lake.take(path)
            rejects = [(reject["line_number"], reject["reason"], reject["raw"]) for reject in lake.rejects()]
            read.append((lake.rows(), rejects, lake.totals()))
    finally:
        blocks.BLOCK_BYTES, loading.SCAN_FROM_BYTES = old
    assert read[0] == read[1]


def play(seed: int, *, is_told: bool) -> bool:
    """Play one round; says whether all was well."""
    chance = random.Random(seed)
    root = Path(tempfile.mkdtemp(prefix=f"history-{seed}-"))
    try:
        _play_history(root, chance, is_told=is_told)
        _play_lines(root, chance)
    except Exception:
        traceback.print_exc()
        say(f"seed {seed} failed; its logs and lake are in {root}")
        return False
    except KeyboardInterrupt:
        shutil.rmtree(root)
        raise
    shutil.rmtree(root)
    return True


def main() -> int:
    """Play rounds until the time is up or one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    if asked.seed is not None:
        return not play(asked.seed, is_told=True)
    first = random.SystemRandom().randrange(1 << 32)
    say(f"seeds from {first}")
    until, played = time.monotonic() + asked.minutes * 60, 0
    try:
        while time.monotonic() < until:
            if not play(first + played, is_told=False):
                return 1
            played += 1
    except KeyboardInterrupt:
        say("interrupted")
    say(f"{played} rounds without a fault: as many histories, and {played * LINES:,} lines read both ways")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
