"""Fixtures of the rules."""

import pytest
from guarding import FakeWorld

from remotemedia import guards


@pytest.fixture
def world(monkeypatch):
    fake = FakeWorld()
    monkeypatch.setattr(guards, "WORLD", fake)
    return fake
