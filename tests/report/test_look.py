"""The colours of the report can be told apart: contrast as WCAG 2.2 counts it (1.4.3 for text, 1.4.11 for graphics)."""

from __future__ import annotations

import re

import pytest

from remotemedia.report.style import CSS

ROOTS = dict(zip(("light", "dark"), re.findall(r":root\{(.*?)\}", CSS, re.DOTALL), strict=True))
TEXT, GRAPHICS = ("ink", "soft", "mark", "warm", "bad", "good"), ("fill", "wave", "seg2")


def colours_of(root: str) -> dict[str, str]:
    return {name: value.strip() for name, value in re.findall(r"--(\w+):(#[0-9a-f]+)", root)}


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rgb`` or ``#rrggbb``."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.005)  # the well-known grey that just fails


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "card"])
def test_text_and_pictures_stand_out(look: str, ground: str) -> None:
    colours = colours_of(ROOTS[look])
    faint = {name: contrast(colours[name], colours[ground]) for name in (*TEXT, *GRAPHICS)}
    assert {name: round(faint[name], 2) for name in TEXT if faint[name] < 4.5} == {}
    assert {name: round(faint[name], 2) for name in GRAPHICS if faint[name] < 3} == {}


def test_every_colour_is_there_in_light_and_dark() -> None:
    assert set(colours_of(ROOTS["light"])) == set(colours_of(ROOTS["dark"]))
    assert set(re.findall(r"var\(--(\w+)\)", CSS)) <= set(colours_of(ROOTS["light"]))
