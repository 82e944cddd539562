"""The page against those who would break it: text with a will of its own, errors that raise, graphs without measure.

Whatever the text, the page has the elements and attributes that it has with a harmless one: text stays text.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import HOSTILE, Page, assert_inert, manifest
from support import node

import remotemedia as rm
from remotemedia.report import Story, Waveform, report_html, summary_html
from remotemedia.report.waveform import segments_of, waveform_svg

PIECES = [
    *HOSTILE,
    *("<", ">", "&", '"', "'", "`", "=", "/", "-->", "<!--", "]]>", "</", "<?", "&#0;", "&#x3c;", "\\", "\t", "\r\n"),
    *("\x00", "\x7f", "\x85", "\u200b", "\u202a", "\u2066", "\u2069", "\ufeff", "\U000e0041", "\udc80", "\ud83d"),
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=6).map("".join)


def story(evil: str, **more: Any) -> Story:
    """A story with one text wherever a text can be, also where a manifest would refuse it."""
    failure = RuntimeError(evil)
    failure.add_note(evil)
    processing = {"count": 1, "buckets": [[10, 1]], "p50_ns": 9, "p95_ns": 9, "p99_ns": 9, "max_ns": 9}
    counts = dict.fromkeys(("in", "passed", "filtered", "failed", "out", "flushed", "time_ns"), 1)
    error = rm.NodeError(evil, node_id=evil or "-", node_type=evil, phase=evil, item_index=0, input_repr=evil)
    error.__cause__ = ValueError(evil)
    given: dict[str, Any] = {
        "title": evil,
        "status": evil,
        "engine": evil,
        "manifest": None,
        "metrics": {
            "nodes": {evil: {**counts, "processing": processing}},
            "connections": {},
            "items_in": 1,
            "duration_ns": 1,
            "refused": 0,
        },
        "results": [(evil or "-", evil), (None, {evil: [evil]})],
        "result_count": 2,
        "segments": [(0.0, 1.0, evil)],
        "errors": [error],
        "error_count": 1,
        "failure": failure,
        "settings": {"input": evil, f"x{evil}": evil},
    }
    return Story(**{**given, **more})


def shape(page: Page) -> list[tuple[str, list[str]]]:
    return [(name, list(attributes)) for name, attributes in page.tags]


def assert_stays_text(evil: str) -> None:
    page = report_html(story(evil))
    assert shape(assert_inert(page)) == shape(Page(report_html(story("a"))))
    summary = summary_html(story(evil))
    assert shape(Page(summary)) == shape(Page(summary_html(story("a"))))
    for made in (page, summary):
        made.encode("utf-8")  # no lone surrogate
        unseen = {c for c in made if unicodedata.category(c) in ("Cc", "Cf", "Cs") or c in "\u2028\u2029"} - {*"\n\t"}
        assert unseen == set()


@pytest.mark.parametrize("evil", PIECES)
def test_any_text_stays_text_wherever_it_stands(evil: str) -> None:
    assert_stays_text(evil)


@given(texts)
@settings(max_examples=100, deadline=None)
def test_any_mixture_of_them_too(evil: str) -> None:
    assert_stays_text(evil)


def test_megabytes_everywhere_are_a_small_page() -> None:
    assert len(report_html(story("&" * 5_000_000))) < 500_000  # each & becomes five letters
    assert len(summary_html(story("&" * 5_000_000))) < 50_000


class Raises(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Sly(str):
    """Does not become what escaping makes of it."""

    __slots__ = ()

    def replace(self, *_: object) -> str:  # type: ignore[override]
        return "<script>"

    def translate(self, *_: object) -> str:
        return "<script>"

    def __str__(self) -> str:
        return self

    def __getitem__(self, _: object) -> str:
        return self


class Lies(Exception):
    def __str__(self) -> str:
        return Sly("<script>alert(1)</script>")


class LiesAsItem:
    def __repr__(self) -> str:
        return Sly("<script>alert(1)</script>")


class TestObjects:
    @pytest.mark.parametrize("failure", [Raises, Lies])
    def test_an_error_whose_text_raises_or_lies(self, engine: str, failure: type[Exception]) -> None:
        def fail(_: Any) -> Any:
            raise failure

        registry = rm.NodeRegistry()
        registry.register("Fails", lambda: rm.node(fail)())
        executor = rm.Executor(registry, engine=engine)
        tree = manifest([node("a", "Fails")])
        result = executor.execute_with_input(tree, [1], error_policy="collect")
        assert failure.__name__ in assert_inert(result.to_html()).text
        assert_inert(report_html(story("a", failure=failure())))

    def test_notes_that_are_no_text(self) -> None:
        failure = ValueError("a")
        failure.__notes__ = [1, None, Raises(), "a note"]  # type: ignore[list-item]
        assert "a note" in assert_inert(report_html(story("a", failure=failure))).text
        failure.__notes__ = 5  # type: ignore[assignment]
        assert_inert(report_html(story("a", failure=failure)))

    def test_text_that_is_a_class_of_its_own(self, engine: str) -> None:
        sly = Sly("<script>alert(1)</script>")
        tree = manifest([node("a", "PassThrough")])
        items = [sly, LiesAsItem(), {"start": 0, "end": 1, "text": sly}, {sly: sly}]
        result = rm.Executor(engine=engine).execute_with_input(tree, items)
        assert_inert(result.to_html(title=sly))
        assert_inert(report_html(story(sly)))


def boxes_and_lines(page: str) -> tuple[list[tuple[float, float, float, float]], list[tuple[str, list[list[float]]]]]:
    """The boxes of the nodes, and of each connection its name and the points that it goes through."""
    tags = Page(page).tags
    boxes = []
    for name, a in tags:
        if name == "rect" and (a.get("class") or "").startswith("box"):
            boxes.append(tuple(float(a[key] or 0) for key in ("x", "y", "width", "height")))
    lines = []
    for drawn in re.findall(r'<path d="([^"]*)" class="line"><title>([^<]*)', page):
        lines.append((drawn[1].split(":")[0], points_of(drawn[0])))
    return boxes, lines  # type: ignore[return-value]


def points_of(path: str) -> list[list[float]]:
    points: list[list[float]] = []
    for letter, told in re.findall("([MCH])([^MCH]*)", path):
        numbers = [float(number) for number in told.split()]
        if letter == "M":
            points.append(numbers)
        elif letter == "H":
            points += [[x, points[-1][1]] for x in np.linspace(points[-1][0], numbers[0], 9)[1:]]
        else:
            curve = np.array([*points[-1], *numbers]).reshape(4, 2)
            for t in np.linspace(0, 1, 17)[1:]:
                weights = np.array([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3])
                points.append(list(weights @ curve))
    return points


def page_of(count: int, connections: list[tuple[int, int]], **options: Any) -> str:
    tree = manifest([node(f"n{i}", "PassThrough") for i in range(count)])
    tree["connections"] = [{"from": f"n{a}", "to": f"n{b}"} for a, b in connections]
    return rm.Executor().execute_with_input(tree, [1], **options).to_html()


class TestGraphs:
    @given(
        st.lists(
            st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda e: e[0] < e[1]), max_size=14, unique=True
        )
    )
    @settings(max_examples=40, deadline=None)
    def test_no_connection_goes_behind_a_node(self, connections: list[tuple[int, int]]) -> None:
        boxes, lines = boxes_and_lines(page_of(8, connections))
        assert sorted(name for name, _ in lines) == sorted(f"n{a} to n{b}" for a, b in connections)
        assert len(boxes) == 8
        for x, y, width, height in boxes:
            for _, points in lines:
                assert not any(x < px < x + width and y < py < y + height for px, py in points)
        for one in boxes:
            assert sum(abs(one[0] - x) < width and abs(one[1] - y) < height for x, y, width, height in boxes) == 1

    def test_a_connection_ends_where_its_nodes_are(self) -> None:
        boxes, lines = boxes_and_lines(page_of(3, [(0, 1), (1, 2), (0, 2)]))
        first, last = min(boxes), max(boxes)
        points = dict(lines)["n0 to n2"]
        assert points[0] == [first[0] + first[2], first[1] + first[3] / 2]
        assert points[-1] == pytest.approx([last[0] - 5, last[1] + last[3] / 2])
        assert all(b[0] >= a[0] for a, b in pairwise(points))  # always to the right

    @pytest.mark.parametrize(
        "connections",
        [
            [(a, b) for a in range(150) for b in range(150, 300)],
            [(a, a + 1) for a in range(299)] + [(0, b) for b in range(2, 300)],
        ],
        ids=["every to every", "one to all of a chain"],
    )
    def test_too_many_connections_are_told_and_not_drawn(self, connections: list[tuple[int, int]]) -> None:
        page = page_of(300, connections)
        assert "are too many to draw" in page
        assert len(page) < 700_000


class TestSound:
    @pytest.mark.parametrize("value", [1e300, -1e300, np.inf, -np.inf, np.nan, 5e-324])
    def test_a_sample_out_of_all_measure_is_drawn_within_the_picture(self, value: float) -> None:
        waveform = Waveform()
        waveform.add(rm.AudioFrame(np.array([0.5, value, -0.5] * 100), 1000))
        path = re.search(r'd="M([^"]*)Z" class="wave"', waveform_svg(waveform, []))
        assert path is not None
        points = np.array([point.split() for point in path[1].split("L")], float)
        assert np.isfinite(points).all()
        assert (points >= 0).all()
        assert (points <= [1000, 120]).all()

    def test_an_infinite_sample_does_not_flatten_the_others(self) -> None:
        waveform = Waveform()
        waveform.add(rm.AudioFrame(np.array([0.5] * 500 + [np.inf] + [-0.5] * 499, np.float32), 1000))
        assert waveform.peaks()[1].max() == 1.0

    @pytest.mark.parametrize("begin_s", [0, 600, 1_700_000_000])
    def test_audio_that_begins_late_fills_the_picture(self, begin_s: int) -> None:
        waveform = Waveform()
        for second in range(10):
            tone = np.full(8000, 0.5 if second == 5 else 0.1, np.float32)
            waveform.add(rm.AudioFrame(tone, 8000, (begin_s + second) * 10**9))
        assert (waveform.begin_ns, waveform.end_ns) == (begin_s * 10**9, (begin_s + 10) * 10**9)
        assert int(waveform.peaks()[1].argmax()) == 1000  # of 2000 stretches of 5 ms
        svg = waveform_svg(waveform, segments_of([{"start": begin_s + 5, "end": begin_s + 6}]))
        mark = next(a for _, a in Page(svg).tags if a.get("class") == "segment")
        assert (mark["x"], mark["width"]) == ("500.0", "100.0")
        assert svg.count('class="axis"') == 12

    def test_what_lies_far_from_the_audio_is_still_within_the_picture(self) -> None:
        waveform = Waveform()
        waveform.add(rm.AudioFrame(np.zeros(8000, np.float32), 8000, 10**18))
        for segments in ([{"start": 0, "end": 1e10}], [{"start": 1, "end": 1}], [{"start": 1e10, "end": 1e10}]):
            svg = waveform_svg(waveform, segments_of(segments))
            assert len(svg) < 20_000
            for _, a in Page(svg).tags:
                assert 0 <= float(a.get("x") or 0) <= 1000

    def test_numbers_of_numpy_are_times(self) -> None:
        items = [{"start": np.float32(0.5), "end": np.float64(1)}, {"start": np.int16(1), "end": np.uint8(2)}]
        assert segments_of(items) == [(0.5, 1.0, ""), (1.0, 2.0, "")]
        assert (
            segments_of([{"start": np.bool_(True), "end": np.float32(2)}, {"start": 0, "end": np.float32(np.nan)}])
            == []
        )
