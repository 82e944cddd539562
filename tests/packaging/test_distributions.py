"""The sdist has sources and no generated C; wheels build from it with and without build isolation, and work alone."""

import json
import subprocess
import sys
import tarfile
import wave
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.slow
MANIFEST = {
    "version": "v1",
    "metadata": {"name": "alone"},
    "nodes": [{"id": "e", "node_type": "Echo"}],
    "connections": [],
}


def build(*arguments):
    subprocess.run([sys.executable, "-m", "build", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The unpacked sdist of what is committed."""
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "copy")], check=True)
    build("--no-isolation", "--sdist", "--outdir", folder, folder / "copy")
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """A wheel, built from the sdist without isolation."""
    folder = tmp_path_factory.mktemp("wheel")
    build("--no-isolation", "--wheel", "--outdir", folder, sdist)
    (found,) = folder.glob("*.whl")
    return found


def test_the_sdist_has_the_sources_alone(sdist):
    names = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    assert {"_core/engine.pyx", "_core/engine.pxd", "setup.py", "remotemedia/py.typed", "LICENSE"} <= names
    assert not [name for name in names if name.endswith((".c", ".so", ".html")) or name.startswith("tests/")]


def test_the_wheel_has_extensions_stubs_and_the_c_level_interface(wheel):
    files = set(zipfile.ZipFile(wheel).namelist())
    assert {"remotemedia/_core/node.pxd", "remotemedia/_core/node.pyi", "remotemedia/py.typed"} <= files
    assert any(name.startswith("remotemedia/_core/engine.") and name.endswith((".so", ".pyd")) for name in files)
    assert not [name for name in files if name.endswith((".c", ".pyx"))]


def test_a_wheel_builds_with_build_isolation(sdist, tmp_path):
    build("--wheel", "--outdir", tmp_path, sdist)
    assert len(list(tmp_path.glob("*.whl"))) == 1


def test_the_wheel_works_without_extras(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    programs = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([programs / "python", "-m", "pip", "install", "-q", wheel], check=True, capture_output=True)
    (tmp_path / "m.json").write_text(json.dumps(MANIFEST))

    def run(*command, **options):
        return subprocess.run(
            [programs / command[0], *command[1:]], capture_output=True, text=True, check=False, cwd=tmp_path, **options
        )

    done = run("remotemedia", "run", "m.json", input="1\n")
    assert json.loads(done.stdout) == {"input": 1, "counter": 1, "node": "Echo"}
    (tmp_path / "m.yaml").write_text("version: v1\n")
    done = run("remotemedia", "validate", "m.yaml")
    assert done.returncode == 2
    assert "remotemedia[yaml]" in done.stdout
    for node_type, extra in (("Resample", "media"), ("MediaReader", "media"), ("SileroVAD", "vad")):
        done = run("remotemedia", "nodes", node_type)
        assert done.returncode == 2, node_type
        assert f"remotemedia[{extra}]" in done.stderr
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(1600))
    chain = [("r", "WavReader", {"path": "a.wav"}), ("f", "Frames", {}), ("w", "WavWriter", {"path": "b.wav"})]
    nodes = [{"id": i, "node_type": t, "params": p} for i, t, p in chain]
    pairs = [{"from": "r", "to": "f"}, {"from": "f", "to": "w"}]
    media = MANIFEST | {"nodes": nodes, "connections": pairs}
    (tmp_path / "wav.json").write_text(json.dumps(media))
    done = run("remotemedia", "run", "wav.json")
    assert json.loads(done.stdout) == {"path": "b.wav", "start": 0.0, "end": 0.1, "bytes": 1644}, done.stderr
