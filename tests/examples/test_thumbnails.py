"""The thumbnails example on its own video, whose cuts and colours are known."""

from __future__ import annotations

import importlib.util
import json
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import remotemedia as rm
from remotemedia.cli import main as remotemedia
from remotemedia.nodes.reader import read_media

HERE = Path(__file__).parents[2] / "examples" / "thumbnails"


def loaded(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("film") / "film.mp4")
    loaded("make_video").main(path)
    return path


SCENES = loaded("make_video").SCENES
CUTS_S = [0.0, *accumulate(length for length, _ in SCENES)][: len(SCENES)]


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_each_scene_has_its_picture(film: str, tmp_path: Path, engine: str) -> None:
    manifest = rm.Manifest.from_file(HERE / "pipeline.json").to_dict()
    manifest["nodes"][-1]["params"]["path"] = f"{tmp_path}/{{index:03d}}.jpg"
    with read_media(film, audio=False, video=True) as frames:
        told = rm.Executor(engine=engine).execute_with_input(manifest, frames).results
    assert [t["pts_ns"] / 1e9 for t in told] == pytest.approx(CUTS_S, abs=0.101)  # ten pictures a second are looked at
    assert [t["metadata"]["scene"] for t in told] == list(range(len(SCENES)))
    for (_, colour), thumbnail in zip(SCENES, told, strict=True):
        with read_media(thumbnail["path"], audio=False, video=True) as pictures:
            picture: Any = next(pictures)
        assert (picture.width, picture.height) == (160, 90)
        assert np.abs(np.median(picture.array, axis=(0, 1)) - colour).max() <= 12


def test_it_runs_as_its_page_says(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert loaded("run").main([]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["time", "s", "size", "picture"]
    assert len(rows) == len(SCENES)
    assert sorted(path.name for path in Path("thumbnails").iterdir()) == [f"{n:03}.jpg" for n in range(len(SCENES))]


def test_a_missing_video_is_told(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert loaded("run").main(["none.mp4"]) == 1
    assert "none.mp4: cannot be read" in capsys.readouterr().err


def test_by_the_command_line(film: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert remotemedia(["run", str(HERE / "pipeline.json"), "-i", film, "--stream", "video"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [t["path"] for t in told] == [f"thumbnails/{n:03}.jpg" for n in range(len(SCENES))]
