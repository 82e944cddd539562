"""The clock of timed runs is that of `time.perf_counter_ns`, whichever counter it reads."""

import os
import subprocess
import sys
from time import perf_counter_ns

import pytest

from remotemedia._core import clock

PROBE = """
import remotemedia as rm
from remotemedia._core import clock
result = rm.Executor(engine="cython").execute_with_input(
    rm.Pipeline("p").add("Echo").to_manifest(), range(1000), metrics="time"
)
(counts,) = result.metrics["nodes"].values()
assert counts["processing"]["count"] == 1000
assert 0 < counts["time_ns"] < result.metrics["duration_ns"]
print(clock.source())
"""


def both():
    """Both clocks at one moment: nothing came between."""
    while True:
        before, here, after = perf_counter_ns(), clock.read_ns(), perf_counter_ns()
        if after - before < 5_000:
            return before, here


def test_it_goes_as_fast():
    began, began_here = both()
    while perf_counter_ns() - began < 20_000_000:
        pass
    ended, ended_here = both()
    assert ended_here - began_here == pytest.approx(ended - began, rel=0.002)


def test_it_never_goes_back():
    readings = [clock.read_ns() for _ in range(10_000)]
    assert readings == sorted(readings)


@pytest.mark.parametrize("wanted", [None, "system"])
def test_the_environment_can_ask_for_the_clock_of_the_system(wanted):
    environment = {name: value for name, value in os.environ.items() if name != "REMOTEMEDIA_CLOCK"}
    if wanted is not None:
        environment["REMOTEMEDIA_CLOCK"] = wanted
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ([wanted] if wanted else ["tsc", "system"])


@pytest.mark.slow
def test_it_goes_as_fast_when_first_asked_for_long_after_the_import():
    """Nanoseconds times 2**32 pass 64 bits after 4.3 seconds."""
    probe = """
import time
from remotemedia._core import clock
time.sleep(4.5)
clock.read_ns()
began, began_here = time.perf_counter_ns(), clock.read_ns()
time.sleep(0.1)
print((clock.read_ns() - began_here) / (time.perf_counter_ns() - began))
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(1, rel=0.05)
