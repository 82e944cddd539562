"""The report of a run: what stands in it, and what cannot get out of it."""

from __future__ import annotations

import json
import pickle
import time
from typing import Any

import numpy as np
import pytest
from pages import HOSTILE, KNOWN_TAGS, Page, assert_inert, manifest
from support import edges, node

import remotemedia as rm
from remotemedia.report import Waveform
from remotemedia.report.histogram import BINS, bins_of
from remotemedia.report.layout import Place, depths_of, layers_of, way_of
from remotemedia.report.markup import Html, duration, join, tag, text
from remotemedia.report.waveform import MOST_BINS, segments_of


def diamond(engine: str, **options: Any) -> rm.ExecutionResult:
    nodes = [node("in", "PassThrough"), node("left", "Multiply", multiplier=2), node("right", "Threshold", threshold=3)]
    nodes += [node("both", "PassThrough") | {"fan_in": "join"}]
    tree = manifest(nodes, "in left, in right, left both, right both", description="A diamond")
    return rm.Executor(engine=engine).execute_with_input(tree, [1.0, 2.0, 3.0, 4.0], **options)


def layered(ids: str, connections: str) -> list[list[Place]]:
    pairs = edges(connections)
    depths = depths_of(list(ids), pairs)
    return layers_of([way_of(a, b, depths) for a, b in pairs], depths)


class TestContent:
    def test_every_node_count_and_connection_is_shown(self, engine: str) -> None:
        result = diamond(engine, metrics="time")
        page = assert_inert(result.to_html())
        assert page.words[:1] == ["demo · completed"]
        for name, counts in result.metrics["nodes"].items():
            assert name in page.words
            assert any(f"{counts['in']} in, {counts['out']} out" in word for word in page.words)
        for name, counts in result.metrics["connections"].items():
            source, target = name.split("->")
            assert f"{source} to {target}: {counts['sent']} sent, {counts['dropped']} dropped" in page.words
        assert {"Multiply", "Threshold", "A diamond", engine} <= set(page.words)
        assert len([1 for name, _ in page.tags if name == "figure"]) == 4

    def test_without_times_it_says_how_to_get_them(self, engine: str) -> None:
        page = assert_inert(diamond(engine).to_html())
        assert "figure" not in page.kinds()
        assert 'run with metrics="time"' in page.text

    def test_the_manifest_stands_in_it_whole(self, engine: str) -> None:
        result = diamond(engine)
        page = Page(result.to_html(title="Another"))
        assert page.words[:1] == ["Another · completed"]
        shown = next(word for word in page.words if word.startswith("{\n"))
        assert result.manifest is not None
        assert json.loads(shown) == result.manifest.to_dict()
        again = rm.Executor(engine=engine).execute_with_input(json.loads(shown), [1.0, 2.0, 3.0, 4.0])
        assert again.results == result.results

    def test_errors_are_shown_with_their_items(self, engine: str) -> None:
        tree = manifest([node("a", "Multiply", multiplier=2)])
        result = rm.Executor(engine=engine).execute_with_input(tree, [1, "one", 2, None], error_policy="collect")
        page = assert_inert(result.to_html())
        assert "completed with errors" in page.text
        assert "'one'" in page.words
        assert any(word.startswith("TypeError:") for word in page.words)
        assert "collect" in page.words

    def test_a_failed_run_has_a_page_too(self, engine: str) -> None:
        tree = manifest([node("a", "Multiply", multiplier=2)])
        with pytest.raises(rm.NodeError) as caught:
            rm.Executor(engine=engine).execute_with_input(tree, [1, "one"])
        assert caught.value.partial is not None
        assert "failed" in Page(caught.value.partial.to_html()).words

    def test_segments_are_drawn_on_the_audio(self, engine: str) -> None:
        tree = manifest([node("a", "PassThrough")])
        segments = [{"start": 0.25, "end": 0.5, "text": "so"}, {"start": 0.75, "end": 1.0}]
        result = rm.Executor(engine=engine).execute_with_input(tree, segments)
        tone = np.sin(np.arange(16_000, dtype=np.float32))
        page = assert_inert(result.to_html(audio=[rm.AudioFrame(tone, 16_000)]))
        marks = [attributes for name, attributes in page.tags if attributes.get("class") == "segment"]
        assert [(float(m["x"] or 0), float(m["width"] or 0)) for m in marks] == [(250, 250), (750, 250)]
        assert "wave" in {attributes.get("class") for _, attributes in page.tags}
        assert "0.25 s to 0.50 s: so" in page.words
        bare = assert_inert(result.to_html())
        assert "wave" not in {attributes.get("class") for _, attributes in bare.tags}
        assert "The 2 segments as a table" in bare.words

    def test_a_result_that_was_pickled_has_the_same_page(self, engine: str) -> None:
        result = diamond(engine, metrics="time")
        assert pickle.loads(pickle.dumps(result)).to_html() == result.to_html()

    @pytest.mark.parametrize("items", [[], [1]])
    def test_of_a_run_over_little(self, engine: str, items: list[int]) -> None:
        tree = manifest([node("a", "PassThrough")])
        assert_inert(rm.Executor(engine=engine).execute_with_input(tree, items, metrics="time").to_html())

    def test_of_an_array_that_went_through_in_blocks_only_the_first_are_made(self) -> None:
        tree = manifest([node("a", "Multiply", multiplier=2)])
        result = rm.Executor().execute_with_input(tree, np.arange(1_000_000.0))
        page = assert_inert(result.to_html())
        assert "What came out; the first 50 of 1\u202f000\u202f000" in page.words
        assert result._results is None

    def test_sessions_and_streams(self, engine: str) -> None:
        tree = manifest([node("a", "PassThrough")])
        with rm.Executor(engine=engine).open(tree) as session:
            assert "1 in, 1 out" in Page(session.run([1]).to_html()).words
        with rm.Executor(engine=engine).stream(tree, [1, 2]) as stream:
            assert list(stream) == [1, 2]
        assert "2 in, 2 out" in Page(stream.result.to_html()).words


class TestHostile:
    @pytest.mark.parametrize("evil", HOSTILE)
    def test_text_from_outside_stays_text(self, engine: str, evil: str) -> None:
        class Evil(rm.NodeExecutor):
            def process(self, item: Any) -> Any:
                if item == 1:
                    raise ValueError(evil)
                return {"start": 0.0, "end": 1.0, "text": evil, evil: evil}

        registry = rm.NodeRegistry()
        registry.register(evil, Evil)
        readable = evil.replace("\ud800", "\ufffd")
        registry.register(readable, Evil, replace=True)
        tree = manifest([node("a", readable, key=readable)], name=readable, description=readable)
        result = rm.Executor(registry, engine=engine).execute_with_input(tree, [1, evil], error_policy="collect")
        page = result.to_html(title=evil)
        assert_inert(page)
        page.encode("utf-8")
        assert not set(page) & {"\u202e", "\u2028", "\u2029", "\x00", "\x1b"}
        assert "alert(1)</script>" not in page
        small = result._repr_html_()
        assert Page(small).kinds() <= KNOWN_TAGS

    def test_a_repr_of_megabytes_is_bounded(self, engine: str) -> None:
        tree = manifest([node("a", "PassThrough")], description="d" * 100_000)
        result = rm.Executor(engine=engine).execute_with_input(tree, ["x" * 10_000_000] * 100)
        assert len(result.to_html()) < 300_000

    def test_an_item_whose_repr_raises_is_shown_by_its_type(self, engine: str) -> None:
        class Shy:
            def __repr__(self) -> str:
                raise RuntimeError("no")

        tree = manifest([node("a", "PassThrough")])
        assert "Shy" in rm.Executor(engine=engine).execute_with_input(tree, [Shy()]).to_html()

    def test_params_that_are_no_json_are_told(self) -> None:
        result = diamond("cython")
        assert result.manifest is not None
        result.manifest.nodes[0]
        page = result.to_html()
        assert_inert(page)


class TestMarkup:
    def test_only_html_goes_through_as_it_is(self) -> None:
        assert tag("p", "<b>", Html("<i></i>"), None, class_='a"b', data_x=1) == (
            '<p class="a&quot;b" data-x="1">&lt;b&gt;<i></i></p>'
        )
        assert join("a&b", tag("br")) == "a&amp;b<br></br>"
        assert text("x" * 10, 5) == "xxxx…"
        assert text("a\u202eb\ud800c\U000e0041") == "a\\u202eb\\ud800c\\U000e0041"

    @pytest.mark.parametrize(
        ("time_ns", "told"),
        [(0, "0 ns"), (999, "999 ns"), (1500, "1.5 µs"), (15_000_000, "15 ms"), (2.5e9, "2.5 s"), (3.7e12, "1:01:40")],
    )
    def test_durations(self, time_ns: float, told: str) -> None:
        assert duration(time_ns) == told


class TestParts:
    def test_layers_follow_the_longest_path_and_untangle(self) -> None:
        assert layered("abcd", "a b, b c, a c, c d") == [["a"], ["b", ("a", "c", 1)], ["c"], ["d"]]
        crossed = layered("abcd", "a d, b c")
        assert [layer.index(n) for layer, n in zip(crossed, "ad", strict=True)] in ([0, 0], [1, 1])
        assert layered("", "") == []

    def test_every_call_is_in_a_bin(self) -> None:
        buckets = [[31, 5], [1000, 10], [2_000_000, 1]]
        low, high, bins = bins_of(buckets)
        assert (len(bins), sum(bins)) == (BINS, 16)
        assert low < 31
        assert high > 2_000_000
        assert (bins[0], bins[-1]) == (5, 1)
        assert sum(bins_of([[7, 3]])[2]) == 3

    @pytest.mark.parametrize("cut", [1, 7, 160, 4800])
    @pytest.mark.parametrize("dtype", [np.float32, np.int16])
    def test_the_envelope_does_not_depend_on_how_the_audio_was_cut(self, cut: int, dtype: Any) -> None:
        rate = 8000
        samples = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 8000))
        samples = (samples * 32767).astype(dtype) if dtype == np.int16 else samples.astype(dtype)
        waveform = Waveform()
        for at in range(0, 8000, cut):
            waveform.add(rm.AudioFrame(samples[:, at : at + cut], rate, round(at * 1e9 / rate)))
        least, most = waveform.peaks()
        assert len(least) == 200  # of 5 ms, 40 samples
        scale = 32768 if dtype == np.int16 else 1
        parts = samples.reshape(2, 200, 40) / scale
        np.testing.assert_allclose(most, parts.max(axis=(0, 2)), atol=1e-4)
        np.testing.assert_allclose(least, parts.min(axis=(0, 2)), atol=1e-4)

    def test_ten_hours_stay_in_as_many_bins_and_no_peak_is_lost(self) -> None:
        waveform = Waveform()
        for second in range(0, 36_000, 60):
            samples = np.zeros(60, np.float32)
            samples[7] = 1.0 if second == 18_000 else 0.1
            waveform.add(rm.AudioFrame(samples, 1, second * 10**9))
        _least, most = waveform.peaks()
        assert MOST_BINS // 2 <= len(most) <= MOST_BINS
        assert most.max() == 1.0
        assert abs(int(most.argmax()) / len(most) - 0.5) < 0.01
        assert waveform.end_ns == 36_000 * 10**9

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_no_number_does_not_spoil_the_picture(self, value: float) -> None:
        waveform = Waveform()
        waveform.add(rm.AudioFrame(np.array([0.5, value, -0.5], np.float32), 1000))
        waveform.add(rm.AudioFrame(np.zeros(0, np.float32), 1000, 5))
        assert all(np.isfinite(part).all() for part in waveform.peaks())

    @pytest.mark.parametrize(
        "item",
        [{"start": True, "end": 2}, {"start": 2, "end": 1}, {"start": -1, "end": 1}, {"start": 0, "end": float("inf")},
         {"start": float("nan"), "end": 1}, {"start": "0", "end": 1}, {"end": 1}, [0, 1], None,
         {"start": 0, "end": 10**30}],
    )  # fmt: skip
    def test_what_is_no_segment(self, item: Any) -> None:
        assert segments_of([item]) == []


@pytest.mark.parametrize("count", [1000, 5000])
def test_a_graph_of_thousands_of_nodes_has_a_page(count: int) -> None:
    nodes = [node(f"n{i}", "PassThrough") for i in range(count)]
    tree = manifest(nodes, ", ".join(f"n{i} n{i + 1}" for i in range(count - 1)))
    page = rm.Executor().execute_with_input(tree, [1], metrics="time").to_html()
    assert "are too many to draw" in page
    assert len(page) < 4_000_000
    assert_inert(page)


def test_the_page_of_a_hundred_nodes_and_a_hundred_thousand_items_is_small_and_soon_there() -> None:
    nodes = [node(f"n{i}", "PassThrough") for i in range(100)]
    tree = manifest(nodes, ", ".join(f"n{i} n{i + 1}" for i in range(99)))
    result = rm.Executor().execute_with_input(tree, list(range(100_000)), metrics="time")
    begin = time.perf_counter()
    page = result.to_html()
    taken_s = time.perf_counter() - begin
    assert len(page.encode()) < 2_000_000
    assert taken_s < 5  # 1 in `make bench`; here beside other tests
    assert_inert(page)
