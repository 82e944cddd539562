"""Fixtures: every behaviour test runs over both engines, and over every mode where it makes no difference."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import ENGINES, MODES, Driver, Guard

ROOT = Path(__file__).parent.parent

settings.register_profile("repo", deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
settings.load_profile("repo")


def pytest_configure(config: pytest.Config) -> None:
    """Stop if an extension is older than its source: setuptools never rebuilds an editable install."""
    declared = max((path.stat().st_mtime for path in (ROOT / "_core").glob("*.pxd")), default=0.0)
    for source in (ROOT / "_core").glob("*.pyx"):
        spec = importlib.util.find_spec(f"remotemedia._core.{source.stem}")
        built = Path(spec.origin) if spec is not None and spec.origin else None
        if built is None:
            pytest.exit(f"_core/{source.name} is not built; run: make build", returncode=3)
        if ROOT in built.parents and built.stat().st_mtime < max(declared, source.stat().st_mtime):
            pytest.exit(f"{built.name} is older than _core/{source.name} or a .pxd; run: make build", returncode=3)


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture(params=MODES)
def driver(engine, request):
    """Runs pipelines on each engine in each mode."""
    return Driver(engine, request.param)


@pytest.fixture
def direct(engine):
    """Runs pipelines on each engine by `execute_with_input` alone."""
    return Driver(engine)


@pytest.fixture(autouse=True)
def calls_in_order():
    """No guard of any pipeline saw a call at the wrong time, and all were cleaned up."""
    Guard.wrong.clear()
    before = Guard.alive
    yield
    assert Guard.wrong == []
    assert Guard.alive == before
