"""The report in a real browser: it loads from disk with nothing asked for, shows what it should, and looks like it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from pages import HOSTILE, Page, manifest
from support import edges, node

import remotemedia as rm

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
QUIET = [
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--v=0"),
]

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


def browse(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [str(BROWSER), *QUIET, *as_root, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def pixels_of(path: Path) -> np.ndarray:
    """The pixels of a PNG of 8 bits a channel, without its filters undone: enough to see that rows differ."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    width = height = channels = 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert depth == 8
            channels = {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * channels)
    return rows[:, 1:]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with a branch, errors, segments, audio, and a name that would like to be a script."""
    nodes = [node("in", "PassThrough"), node("double", "Multiply", multiplier=2), node("end", "PassThrough")]
    manifest = {
        "version": "v1",
        "metadata": {"name": "<script>document.title='owned'</script>"},
        "nodes": nodes,
        "connections": [{"from": a, "to": b} for a, b in edges("in double, in end")],
    }
    items = [1, {"start": 0.5, "end": 1.5}, "<img src=x onerror=\"document.title='owned'\">", 2.5]
    result = rm.Executor().execute_with_input(manifest, items, error_policy="collect", metrics="time")
    tone = np.sin(np.arange(32_000) / 5).astype(np.float32) * np.linspace(0, 1, 32_000, dtype=np.float32)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(result.to_html(audio=[rm.AudioFrame(tone, 16_000)]), encoding="utf-8")
    return path


def test_it_loads_shows_what_it_should_and_asks_for_nothing(page: Path, tmp_path: Path) -> None:
    done = browse(page, tmp_path, "--dump-dom")
    assert done.returncode == 0, done.stderr
    assert "</html>" in done.stdout
    for wanted in ("completed with errors", "double", "Multiply", "What failed", "Histogram of the times of double"):
        assert wanted in done.stdout
    assert "<title>owned" not in done.stdout
    assert "&lt;script&gt;" in done.stdout
    told = [line for line in done.stderr.splitlines() if "CONSOLE" in line or "Refused" in line or "ERR_" in line]
    assert told == []  # the browser refused nothing: the page tries nothing that its policy forbids


def test_a_browser_too_takes_hostile_text_for_text(tmp_path: Path) -> None:
    items = [*HOSTILE, *({"start": 0.0, "end": 1.0, "text": evil} for evil in HOSTILE)]
    evil = "".join(HOSTILE).replace("\ud800", "")
    tree = manifest([node("a", "PassThrough"), node("b", "Multiply", multiplier=2)], "a b", description=evil)
    result = rm.Executor().execute_with_input(tree, items, error_policy="collect", metrics="time")
    harmless = rm.Executor().execute_with_input(
        manifest([node("a", "PassThrough"), node("b", "Multiply", multiplier=2)], "a b", description="d"),
        ["a" for _ in HOSTILE] + [{"start": 0.0, "end": 1.0, "text": "a"} for _ in HOSTILE],
        error_policy="collect",
        metrics="time",
    )
    shapes = []
    for number, one in enumerate((result, harmless)):
        path = tmp_path / f"{number}.html"
        path.write_text(one.to_html(title=evil if number == 0 else "t"), encoding="utf-8")
        done = browse(path, tmp_path, "--dump-dom")
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
        shapes.append([name for name, _ in Page(done.stdout).tags])
    assert shapes[0] == shapes[1]  # as the browser itself understood it: the same elements, whatever the text


@pytest.mark.parametrize(
    ("look", "options"),
    [
        ("light", ["--window-size=1160,1800"]),
        ("dark", ["--window-size=1160,1800", "--force-dark-mode"]),
        ("narrow", ["--window-size=500,1800"]),
    ],
)
def test_a_picture_of_it_is_not_blank(page: Path, tmp_path: Path, look: str, options: list[str]) -> None:
    picture = tmp_path / f"{look}.png"
    done = browse(page, tmp_path, f"--screenshot={picture}", *options)
    assert done.returncode == 0, done.stderr
    rows = pixels_of(picture)
    different = len({row.tobytes() for row in rows})
    assert different > 200  # text, lines and waves: a blank page has one row again and again
