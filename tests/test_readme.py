"""What the README shows is what the commands print; `python -m tests.test_readme` writes it afresh."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)


def with_fresh_output(text: str, folder: Path) -> str:
    """Run the commands of every console block, in order and in one folder, and put their output behind them."""
    (folder / "sample_logs").symlink_to(ROOT / "sample_logs")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "110", "TZ": "UTC"}
    environment.pop("MESHLOG_LAKE", None)

    def printed(command: str) -> str:
        ran = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )
        return ran.stderr + ran.stdout

    def run(block: re.Match[str]) -> str:
        commands = [line for line in block[0].splitlines() if line.startswith("$ ")]
        return "".join(f"{line}\n{printed(line[2:])}" for line in commands)

    return BLOCK.sub(run, text)


def test_the_readme_shows_what_the_commands_print(tmp_path):
    """Every console block, from the first screen to the one line that is followed to the page, is real output."""
    if sys.platform == "win32":
        pytest.skip("the README's commands are for a Unix shell")
    text = README.read_text()

    assert with_fresh_output(text, tmp_path) == text


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        README.write_text(with_fresh_output(README.read_text(), Path(scratch)))
