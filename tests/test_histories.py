"""Whatever logs go through between ingests, the lake holds what one undisturbed ingest of all their text gives."""

import tempfile
from pathlib import Path

from histories import History
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

some = st.integers(0, 5)


class Logs(RuleBasedStateMachine):
    """Logs that grow, rotate and are copied; after each step the law holds, at the end the lake is complete."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.history = History(Path(self.folder.name))

    @rule(at=some, count=st.integers(1, 40))
    def append(self, at: int, count: int) -> None:
        self.history.append(at, count)

    @rule(at=some, percent=st.integers(0, 100))
    def append_part(self, at: int, percent: int) -> None:
        self.history.append_part(at, percent)

    @rule(at=some, kind=st.sampled_from(["noise", "blank", "reject", "cri", "late"]))
    def append_other(self, at: int, kind: str) -> None:
        self.history.append_other(at, kind)

    @rule(at=some)
    def rotate(self, at: int) -> None:
        self.history.rotate(at)

    @rule(at=some)
    def truncate(self, at: int) -> None:
        self.history.copy_and_truncate(at)

    @rule(at=some, kind=st.sampled_from(["gzip", "zstd", "bz2", "xz", "none"]))
    def recompress(self, at: int, kind: str) -> None:
        self.history.recompress(at, kind)

    @rule(at=some, percent=st.integers(1, 100))
    def copy(self, at: int, percent: int) -> None:
        self.history.copy(at, percent)

    @rule(block=st.sampled_from([300, 5_000, 1 << 22]), batch=st.sampled_from([1, 20, 10_000]), scan=st.booleans())
    def ingest(self, block: int, batch: int, scan: bool) -> None:
        self.history.ingest(block, batch, scan)

    @invariant()
    def law(self) -> None:
        self.history.check_law()

    def teardown(self) -> None:
        try:
            self.history.check_all()
        finally:
            self.folder.cleanup()


TestLogs = Logs.TestCase
TestLogs.settings = settings(
    max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
