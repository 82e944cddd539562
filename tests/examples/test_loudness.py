"""The loudness report against the levels that its recordings were made with; the node of one's own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN = EXAMPLES / "loudness" / "run.py"


def run(*arguments: object, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == status, done.stderr
    return done.stdout


def rows_of(*arguments: object, status: int = 0) -> dict[str, dict[str, object]]:
    rows = [json.loads(line) for line in run(RUN, *arguments, "--jsonl", status=status).splitlines()]
    return {row.pop("file"): row for row in rows}


def test_the_known_levels():
    rows = rows_of()
    quiet = {"silent_s": 0, "clipped_runs": 0}
    assert rows["tone.wav"] == {"duration_s": 2.0, "level_dbfs": -20.0, "peak_dbfs": -20.0, **quiet}
    # uniform noise up to 1/4: 20 lg(1/4) and, as its mean square is a third of that, 10 lg(2/3) less
    assert rows["noise.wav"] == {"duration_s": 3.0, "level_dbfs": -13.8, "peak_dbfs": -12.0, **quiet}
    # two seconds of three at -12 dBFS: 10 lg(2/3) less
    assert rows["pause.wav"] == {"duration_s": 3.0, "level_dbfs": -13.8, "peak_dbfs": -12.0} | quiet | {"silent_s": 1.0}
    assert rows["clipped.wav"]["clipped_runs"] == 440  # half a second of 440 Hz, twice a period
    # the power of a clipped sine, twice its mean square: theta is where it is cut
    theta = math.asin(0.8)
    mean_square = (1.25**2 * (theta - math.sin(2 * theta) / 2) + 2 * (math.pi / 2 - theta)) / math.pi
    assert rows["clipped.wav"]["level_dbfs"] == round(10 * math.log10(2 * mean_square), 1)
    assert rows["clipped.wav"]["peak_dbfs"] == 0.0


def test_a_folder_with_what_is_no_audio(tmp_path):
    run(EXAMPLES / "loudness" / "make_media.py", tmp_path / "sub")
    (tmp_path / "notes.wav").write_text("no audio at all")
    rows = rows_of(tmp_path, status=1)
    assert set(rows) == {
        "notes.wav",
        *(str(Path("sub", f"{name}.wav")) for name in ("tone", "noise", "pause", "clipped")),
    }
    assert "notes.wav" in rows["notes.wav"]["error"]
    assert len(run(RUN, tmp_path, status=1).splitlines()) == 6


def test_a_folder_that_is_empty_or_is_none(tmp_path):
    run(RUN, tmp_path, status=1)
    run(RUN, tmp_path / "none", status=2)


def test_the_node_of_ones_own():
    lines = [line.split() for line in run(EXAMPLES / "custom_node.py").splitlines()]
    assert [float(line[0]) for line in lines] == [0.25 * n for n in range(8)]
    # from a to b, a gain that rises in a line has a mean square of (b³ - a³) / 3 (b - a)
    for n, line in enumerate(lines):
        a, b = min(n / 4, 1), min((n + 1) / 4, 1)
        power = (b**3 - a**3) / (3 * (b - a)) if b > a else 1
        assert abs(float(line[2]) - 10 * math.log10(power)) < 0.1
