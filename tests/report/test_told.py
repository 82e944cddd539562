"""What was not kept is told all the same: the page's numbers are those of the run, not of what is left of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pages import Page, assert_inert, manifest
from support import node

import remotemedia as rm
from remotemedia.report.recorder import MOST_ERRORS, MOST_SEGMENTS, Recorder
from remotemedia.report.story import MOST_RESULTS

DOUBLE = manifest([node("a", "PassThrough"), node("b", "Multiply", multiplier=2)], "a b")
ITEMS = [1, "two", 3, "four"]


def totals(page: Page) -> dict[str, str]:
    names = ("Items in", "Results", "Errors")
    return {name: page.words[page.words.index(name) + 1] for name in names}


def run(engine: str, **options: Any) -> rm.ExecutionResult:
    return rm.Executor(engine=engine).execute_with_input(DOUBLE, ITEMS, **options)


class TestErrors:
    @pytest.mark.parametrize("policy", ["skip", "collect"])
    def test_dropped_items_count_whether_or_not_their_errors_were_kept(self, engine: str, policy: Any) -> None:
        result = run(engine, error_policy=policy)
        page = assert_inert(result.to_html())
        assert totals(page) == {"Items in": "4", "Results": "2", "Errors": "2"}
        assert ("takes a number" in page.text) == (policy == "collect")
        assert ('error_policy="collect" keeps' in page.text) == (policy == "skip")
        assert "2 errors" in Page(result._repr_html_()).text

    def test_errors_that_were_given_away_count(self, engine: str) -> None:
        given: list[Any] = []
        executor = rm.Executor(engine=engine)
        with executor.open(DOUBLE, error_policy="collect", on_error=given.append) as session:
            page = assert_inert(session.run(ITEMS).to_html())
        assert len(given) == 2
        assert totals(page)["Errors"] == "2"
        assert "none of them was kept" in page.text

    def test_what_was_refused_counts(self, engine: str) -> None:
        result = rm.Executor(engine=engine).execute_with_input(DOUBLE, [1, None], error_policy="skip")
        assert totals(assert_inert(result.to_html()))["Errors"] == "1"

    def test_the_partial_result_of_an_error_tells_the_error(self, engine: str) -> None:
        with pytest.raises(rm.NodeError) as caught:
            run(engine)
        partial = caught.value.partial
        assert partial is not None
        page = assert_inert(partial.to_html(failure=caught.value))
        assert totals(page) == {"Items in": "2", "Results": "1", "Errors": "1"}
        assert "What ended it" in page.words
        assert "takes a number" in page.text
        assert "Errors" not in page.words[page.words.index("What ended it") :]  # it is told once
        bare = assert_inert(partial.to_html())
        assert totals(bare)["Errors"] == "1"
        assert "to_html(failure=error)" in bare.text

    def test_the_picture_tells_in_words_where_items_failed(self, engine: str) -> None:
        page = Page(run(engine, error_policy="skip").to_html())
        assert page.words.count("2 failed") == 1
        assert "0 failed" not in page.words


class TestResults:
    def test_what_a_stream_handed_out_counts(self, engine: str) -> None:
        with rm.Executor(engine=engine).stream(DOUBLE, [1, 2, 3]) as stream:
            assert list(stream) == [2, 4, 6]
            page = assert_inert(stream.result.to_html())
        assert totals(page)["Results"] == "3"
        assert "handed out as they came" in page.text

    def test_what_nobody_emitted_does_not(self, engine: str) -> None:
        tree = manifest([node("a", "Threshold", threshold=9)])
        page = Page(rm.Executor(engine=engine).execute_with_input(tree, [1, 2]).to_html())
        assert totals(page)["Results"] == "0"
        assert "handed out" not in page.text


@pytest.mark.parametrize("metrics", ["counts", "time"])
def test_the_level_of_metrics_is_a_setting(engine: str, metrics: Any) -> None:
    page = Page(run(engine, error_policy="skip", metrics=metrics).to_html())
    assert page.words[page.words.index("metrics") + 1] == metrics


def test_one_of_each_is_told_as_one(engine: str) -> None:
    tree = manifest([node("a", "PassThrough")])
    page = Page(rm.Executor(engine=engine).execute_with_input(tree, [1]).to_html())
    assert "1 node and 0 connections, items go from left to right" in page.words


class TestAudio:
    def test_a_frame_alone_is_audio(self) -> None:
        result = run("reference", error_policy="skip")
        frame = rm.AudioFrame(np.full(8000, 0.5, np.float32), 8000)
        assert result.to_html(audio=frame) == result.to_html(audio=[frame])
        assert "1.00 s of audio" in Page(result.to_html(audio=frame)).text

    @pytest.mark.parametrize(("audio", "told"), [(5, "not int"), ([1.5], "of type float")])
    def test_what_is_no_audio_is_told(self, audio: Any, told: str) -> None:
        with pytest.raises(TypeError, match=f"audio is a path, .*{told}"):
            run("reference", error_policy="skip").to_html(audio=audio)


def test_what_the_command_line_keeps_is_bounded_and_counted_whole() -> None:
    recorder = Recorder(rm.Manifest.from_dict(DOUBLE), {})
    for number in range(MOST_SEGMENTS + 5):
        recorder.add("b", {"start": number, "end": number + 0.5})
    for number in range(MOST_ERRORS + 5):
        recorder.add_error(rm.InputError(f"no. {number}"))
    story = recorder.story({}, "failed", "cython", None)
    assert (len(story.results), story.result_count) == (MOST_RESULTS, MOST_SEGMENTS + 5)
    assert (len(story.errors), story.error_count) == (MOST_ERRORS, MOST_ERRORS + 5)
    assert len(story.segments) == MOST_SEGMENTS
