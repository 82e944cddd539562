"""The C of the per-item loop: no look-up by name between FETCH and END, but where a comment says why."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / "_core" / "engine.pyx").exists(), reason="no sources here")

# a look-up of a global or an attribute by name, a generic call, isinstance
SLOW = re.compile(r"__Pyx_GetModuleGlobalName|__Pyx_PyObject_GetAttrStr|__Pyx_PyObject_FastCall|PyObject_IsInstance")
HOT = ("PASS", "NATIVE", "CALL", "EMIT", "FETCH", "END", "TAKE", "PUT", "COUNT", "EACH", "JUMP", "SOURCE", "PUSH")


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """The lines of `Run.drive`, each with the C that it became."""
    out = tmp_path_factory.mktemp("c") / "engine.c"
    include = ROOT / "build" / "cimport"
    if not include.exists():
        pytest.skip("the include root of the build is not here; run: make build")
    subprocess.run(
        [sys.executable, "-m", "cython", "-3", "-I", str(include), "-X", "boundscheck=False", "-X", "wraparound=False",
         "-X", "initializedcheck=False", "-X", "nonecheck=False", "-X", "cdivision=True",
         str(ROOT / "_core" / "engine.pyx"), "-o", str(out)],
        check=True, capture_output=True, cwd=ROOT,
    )  # fmt: skip
    text = out.read_text()
    source = (ROOT / "_core" / "engine.pyx").read_text().splitlines()
    first = next(i for i, line in enumerate(source, 1) if "cdef int drive(self)" in line)
    last = next(i for i, line in enumerate(source, 1) if i > first and "except BaseException" in line)
    pieces = re.split(r'/\* "[^"]*engine\.pyx":(\d+)\n', text)
    found: dict[int, str] = {}
    for number, code in zip(pieces[1::2], pieces[2::2], strict=True):
        if first <= int(number) < last:
            found[int(number)] = found.get(int(number), "") + code
    return source, found, first, last


def test_no_lookup_by_name_in_the_hot_steps(loop):
    source, found, first, last = loop
    branch, slow = "", []
    for number in range(first, last):
        line = source[number - 1].strip()
        match = re.match(r"(?:el)?if op == (\w+)", line)
        branch = match[1] if match else branch
        cold = line.startswith(("raise ", "self.reraise", "self.refuse", "self.tick", "self.open_call"))
        if branch in HOT and not cold and SLOW.search(found.get(number, "")):
            slow.append(f"{number}: {line}")
    assert slow == []


def test_the_test_sees_a_lookup_where_there_is_one(loop):
    source, found, first, last = loop
    assert any("deepcopy" in source[n - 1] and SLOW.search(found.get(n, "")) for n in range(first, last))
