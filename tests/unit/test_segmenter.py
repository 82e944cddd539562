"""SpeechSegmenter: runs, pauses, thresholds, padding, cuts, clips; against a plain reading of its rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Driver

import remotemedia as rm
from remotemedia._core.node import NodeContext
from remotemedia.nodes.segmenter import SpeechSegmenter

STEP_MS = 10
STEP = 160  # samples of 16 kHz


def made(**params: Any) -> SpeechSegmenter:
    node = SpeechSegmenter()
    node.initialize(NodeContext("n", "SpeechSegmenter", params))
    return node


def windows_of(scores: list[Any], start_ms: int = 0, **metadata: Any) -> list[rm.AudioFrame]:
    """Windows of 10 ms; a bool is a verdict, a number a probability. Each sample tells its place."""
    found = []
    for index, score in enumerate(scores):
        verdict = (
            {"voiced": score} if isinstance(score, bool) else {"voiced": score >= 0.5, "speech_probability": score}
        )
        at = start_ms * 16 + index * STEP
        samples = np.arange(at, at + STEP, dtype=np.float64)
        found.append(rm.AudioFrame(samples, 16_000, (start_ms + index * STEP_MS) * 1_000_000, verdict | metadata))
    return found


def runs(text: str) -> list[bool]:
    """``"5. 20# 3."``: counts of windows without and with voice."""
    return [kind == "#" for part in text.split() for kind in [part[-1]] * int(part[:-1])]


def found_by(node: SpeechSegmenter, windows: list[rm.AudioFrame]) -> list[Any]:
    return [segment for window in windows for segment in node.process(window)] + node.flush()


def times(segments: list[Any]) -> list[tuple[int, int]]:
    """Start and end of each in ms."""
    known = [segment.metadata if isinstance(segment, rm.AudioFrame) else segment for segment in segments]
    return [(round(s["start"] * 1000), round(s["end"] * 1000)) for s in known]


class TestRuns:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            ("50.", []),
            ("10. 30# 30.", [(100, 400)]),
            ("30# 30.", [(0, 300)]),
            ("10. 30#", [(100, 400)]),
            ("10. 30# 19. 30# 30.", [(100, 890)]),  # a pause of 190 ms is bridged
            ("10. 30# 20. 30# 30.", [(100, 400), (600, 900)]),  # one of 200 is not
            ("10. 24# 30.", []),  # shorter than min_speech_ms
            ("10. 25# 30.", [(100, 350)]),
            ("10. 15# 15. 15# 30.", [(100, 550)]),  # neither run is long enough, together they are
            ("10. 9# 10. 30# 30.", [(290, 590)]),  # a click before
            ("10. 10# 10. 30# 30.", [(100, 600)]),
            ("10. 30# 10. 9# 30.", [(100, 400)]),  # a click behind
            ("10. 30# 10. 9# 10. 30# 30.", [(100, 400), (690, 990)]),  # a click bridges nothing
            ("10. 30# 15. 9# 1. 9# 30.", [(100, 400)]),
            ("10. 30# 19. 9#", [(100, 400)]),  # cut off within a click
            ("10. 30# 5.", [(100, 400)]),
        ],
    )
    def test_runs_become_segments(self, direct: Driver, text: str, expected: list[tuple[int, int]]) -> None:
        manifest = rm.Pipeline("runs").add("SpeechSegmenter").to_manifest()
        assert times(direct.results(manifest, windows_of(runs(text)))) == expected

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({"min_speech_ms": 0}, [(50, 200), (500, 900)]),
            ({"min_speech_ms": 0, "attack_ms": 0}, [(50, 200), (450, 1080)]),
            ({"min_silence_ms": 310}, [(50, 900)]),
            ({"min_silence_ms": 0}, [(500, 900)]),
            ({"min_silence_ms": 0, "min_speech_ms": 0}, [(50, 200), (500, 900)]),
            (
                {"min_silence_ms": 0, "min_speech_ms": 0, "attack_ms": 0},
                [(50, 200), (450, 480), (500, 900), (1000, 1080)],
            ),
            ({"attack_ms": 200}, [(500, 900)]),
        ],
    )
    def test_params(self, params: dict[str, Any], expected: list[tuple[int, int]]) -> None:
        scores = runs("5. 15# 25. 3# 2. 40# 10. 8# 30.")
        assert times(found_by(made(**params), windows_of(scores))) == expected

    def test_a_segment_comes_as_soon_as_its_pause_is_long_enough(self) -> None:
        node, windows = made(), windows_of(runs("10. 30# 30."))
        by_window = [len(list(node.process(window))) for window in windows]
        assert by_window.index(1) == 10 + 30 + 20 - 1
        assert node.flush() == []


class TestProbabilities:
    def test_voice_begins_at_the_threshold_and_lasts_down_to_the_hysteresis(self) -> None:
        scores = [0.1] * 5 + [0.49] * 5 + [0.5] * 5 + [0.36] * 40 + [0.7] * 5 + [0.34] * 30
        assert times(found_by(made(), windows_of(scores))) == [(100, 600)]

    def test_it_ends_with_its_last_sure_window(self) -> None:
        scores = [0.0] * 5 + [0.9] * 30 + [0.66] * 2 + [0.6] * 7 + [0.1] * 30
        assert times(found_by(made(), windows_of(scores))) == [(50, 370)]
        assert times(found_by(made(hysteresis=0.05), windows_of(scores))) == [(50, 440)]

    def test_voice_of_which_nothing_was_sure_loses_200_ms_at_most(self) -> None:
        scores = [0.0] * 5 + [0.6] * 100 + [0.0] * 30
        assert times(found_by(made(), windows_of(scores))) == [(50, 850)]

    def test_a_pause_begins_where_a_run_ends(self) -> None:
        scores = [0.9] * 30 + [0.4] * 30 + [0.1] * 19 + [0.9] * 30 + [0.1] * 30
        assert times(found_by(made(), windows_of(scores))) == [(0, 1090)]
        scores = [0.9] * 30 + [0.4] * 10 + [0.1] * 20 + [0.9] * 30 + [0.1] * 30
        assert times(found_by(made(), windows_of(scores))) == [(0, 300), (600, 900)]

    def test_a_high_threshold_can_be_exceeded(self) -> None:
        scores = [0.0] * 5 + [0.96] * 30 + [0.0] * 30
        assert times(found_by(made(threshold=0.92), windows_of(scores))) == [(50, 350)]
        assert found_by(made(threshold=0.97), windows_of(scores)) == []

    def test_speech_ends_with_a_low_threshold_too(self) -> None:
        scores = [0.0] * 5 + [0.9] * 30 + [0.04] * 30
        assert times(found_by(made(threshold=0.1), windows_of(scores))) == [(50, 350)]

    def test_the_threshold_is_the_detectors_unless_it_is_given(self) -> None:
        windows = windows_of([0.0] * 5 + [0.68] * 30 + [0.0] * 30, speech_threshold=0.7)
        assert found_by(made(), windows) == []
        assert times(found_by(made(threshold=0.4), windows)) == [(50, 350)]

    def test_the_hangover_is_taken_off_where_the_voice_ended_in_what_was_heard(self) -> None:
        assert times(found_by(made(), windows_of(runs("5. 40# 30."), hangover_ms=60))) == [(50, 390)]
        assert times(found_by(made(), windows_of(runs("5. 40# 5."), hangover_ms=60))) == [(50, 390)]
        assert times(found_by(made(), windows_of(runs("5. 40#"), hangover_ms=60))) == [(50, 450)]
        assert found_by(made(), windows_of(runs("5. 30# 30."), hangover_ms=60)) == []  # 240 ms are left

    def test_means_are_those_of_the_segment(self) -> None:
        windows = windows_of([0.0] * 5 + [0.8] * 20 + [1.0] * 20 + [0.2] * 30, level_dbfs=-20.0)
        windows[10] = windows[10].tagged(level_dbfs=-10.0)
        (segment,) = found_by(made(), windows)
        assert segment == {"start": 0.05, "end": 0.45, "speech_probability": 0.9, "level_dbfs": -19.1}
        (plain,) = found_by(made(), windows_of(runs("5. 30#")))
        assert plain == {"start": 0.05, "end": 0.35}


class TestPadding:
    def test_it_is_added_on_both_sides_within_what_was_heard(self) -> None:
        assert times(found_by(made(pad_ms=30), windows_of(runs("10. 30# 30.")))) == [(70, 430)]
        assert times(found_by(made(pad_ms=500), windows_of(runs("10. 30# 30.")))) == [(0, 700)]

    def test_segments_do_not_overlap(self) -> None:
        windows = windows_of(runs("10. 30# 25. 30# 50."))
        assert times(found_by(made(pad_ms=100), windows)) == [(0, 500), (550, 1050)]
        assert times(found_by(made(pad_ms=200), windows)) == [(0, 600), (600, 1150)]
        assert times(found_by(made(pad_ms=400), windows)) == [(0, 650), (650, 1350)]

    def test_a_segment_waits_until_its_padding_was_heard(self) -> None:
        node, windows = made(pad_ms=250), windows_of(runs("10. 30# 40."))
        by_window = [len(list(node.process(window))) for window in windows]
        assert by_window.index(1) == 10 + 30 + 25 - 1


class TestCuts:
    def test_a_long_segment_is_cut_and_nothing_of_it_is_lost(self) -> None:
        windows = windows_of(runs("5. 105# 30."))
        assert times(found_by(made(max_speech_s=0.5), windows)) == [(50, 550), (550, 1050), (1050, 1100)]
        assert times(found_by(made(max_speech_s=0.505), windows)) == [(50, 550), (550, 1050), (1050, 1100)]

    def test_it_is_cut_in_a_pause_if_it_is_in_one(self) -> None:
        windows = windows_of(runs("5. 40# 15. 60# 30."))
        assert times(found_by(made(max_speech_s=0.5), windows)) == [(50, 450), (600, 1100), (1100, 1200)]

    def test_a_run_that_begins_just_before_the_cut_is_kept(self) -> None:
        windows = windows_of(runs("5. 40# 6. 60# 30."))
        assert times(found_by(made(max_speech_s=0.5), windows)) == [(50, 450), (510, 1010), (1010, 1110)]

    @pytest.mark.parametrize("shift_ms", [1.2, -5.0, 10_000.0])
    def test_a_gap_or_a_step_back_ends_a_segment(self, shift_ms: float) -> None:
        first, second = windows_of(runs("5. 30#")), windows_of(runs("30# 30."))
        shift_ns = round(first[-1].end_ns + shift_ms * 1e6)
        second = [window.replace(pts_ns=window.pts_ns + shift_ns) for window in second]
        expected = [(50, 350), (round(350 + shift_ms), round(650 + shift_ms))]
        assert times(found_by(made(), [*first, *second])) == expected

    def test_another_rate_ends_a_segment(self) -> None:
        first, second = windows_of(runs("5. 30#")), windows_of(runs("60# 30."), start_ms=350)
        second = [
            window.replace(sample_rate=32_000, pts_ns=350_000_000 + i * 5_000_000) for i, window in enumerate(second)
        ]
        assert times(found_by(made(emit="audio"), [*first, *second])) == [(50, 350), (350, 650)]

    def test_after_a_flush_a_new_recording_begins(self, engine: str) -> None:
        driver = Driver(engine)
        manifest = rm.Pipeline("two").add("SpeechSegmenter", params={"emit": "audio"}).to_manifest()
        windows = windows_of(runs("5. 30# 30. 40#"))
        with driver.executor.open(manifest) as session:
            found = [session.run(windows).results for _ in range(2)]
        assert times(found[0]) == times(found[1]) == [(50, 350), (650, 1050)]
        assert [[clip.metadata["index"] for clip in clips] for clips in found] == [[0, 1]] * 2


class TestClips:
    @pytest.mark.parametrize("pad_ms", [0, 33, 500])
    def test_a_clip_is_the_samples_between_its_times(self, pad_ms: int) -> None:
        windows = windows_of(runs("30. 30# 25. 60# 30."), speaker="A")
        clips = found_by(made(emit="audio", pad_ms=pad_ms), windows)
        assert len(clips) == 2
        for index, clip in enumerate(clips):
            start, end = (round(clip.metadata[key] * 16_000) for key in ("start", "end"))
            assert np.array_equal(clip.samples[0], np.arange(start, end))
            assert clip.pts_ns == start * 62_500
            assert clip.metadata == {
                "speaker": "A",
                "start": clip.metadata["start"],
                "end": clip.metadata["end"],
                "index": index,
            }
            assert not clip.samples.flags.writeable

    def test_channels_and_type_are_kept(self) -> None:
        windows = [
            window.replace(samples=np.stack([window.samples[0], -window.samples[0]]).astype(np.int16))
            for window in windows_of(runs("30# 30."))
        ]
        (clip,) = found_by(made(emit="audio"), windows)
        assert (clip.samples.dtype, clip.samples.shape) == (np.int16, (2, 4800))
        assert np.array_equal(clip.samples[0], -clip.samples[1])

    def test_no_more_is_held_than_the_longest_segment_and_its_padding(self) -> None:
        node = made(emit="audio", max_speech_s=1, pad_ms=300)
        most = 0
        for window in windows_of(runs("500. 1000# 500. 30# 30.")):
            list(node.process(window))
            most = max(most, len(node._windows))
        assert most <= 100 + 30 + 30 + 20 + 2
        assert made(emit="audio")._max_speech_ns == 30_000_000_000
        assert made()._max_speech_ns is None

    def test_cleanup_frees_what_is_held(self) -> None:
        node = made(emit="audio")
        for window in windows_of(runs("30#")):
            list(node.process(window))
        node.cleanup()
        assert not node._windows


@given(
    pieces=st.lists(st.tuples(st.integers(1, 45), st.sampled_from(["#", "."])), max_size=14),
    pad_ms=st.sampled_from([0, 30, 250]),
    max_speech_s=st.sampled_from([None, 0.1, 0.3]),
    attack_ms=st.sampled_from([0, 100]),
)
def test_segments_are_in_order_apart_and_hold_their_own_samples(
    pieces: list[tuple[int, str]], pad_ms: int, max_speech_s: float | None, attack_ms: int
) -> None:
    scores = runs(" ".join(f"{count}{kind}" for count, kind in pieces))
    params = {"pad_ms": pad_ms, "max_speech_s": max_speech_s, "attack_ms": attack_ms}
    clips = found_by(made(emit="audio", **params), windows_of(scores))
    bounds = times(clips)
    edges = [edge for pair in bounds for edge in pair]
    assert edges == sorted(edges)
    assert all(start < end for start, end in bounds)
    assert all(0 <= edge <= len(scores) * STEP_MS for edge in edges)
    for clip, (start, end) in zip(clips, bounds, strict=True):
        assert np.array_equal(clip.samples[0], np.arange(start * 16, end * 16))
    if max_speech_s is None:
        assert bounds == times(found_by(made(**params), windows_of(scores)))
    if max_speech_s is None and not pad_ms:
        assert bounds == by_the_rule(scores, attack_ms)
    if max_speech_s is not None and not pad_ms:
        assert all(end - start <= max_speech_s * 1000 for start, end in bounds)


def by_the_rule(scores: list[bool], attack_ms: int) -> list[tuple[int, int]]:
    """The whole recording at once: runs that are long enough, joined over short pauses, less the short segments."""
    edges = np.flatnonzero(np.diff([0, *map(int, scores), 0])) * STEP_MS
    joined: list[list[int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if end - start < attack_ms:
            continue
        if joined and start - joined[-1][1] < 200:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return [(start, end) for start, end in joined if end - start >= 250]


class TestRefusals:
    @pytest.mark.parametrize("item", [{"start": 1}, np.zeros(3), None])
    def test_what_is_no_frame(self, item: object) -> None:
        with pytest.raises(TypeError, match="SpeechSegmenter takes AudioFrame items"):
            list(made().process(item))

    def test_a_frame_that_was_not_judged(self, engine: str) -> None:
        manifest = rm.Pipeline("bare").add("SpeechSegmenter", id="segments").to_manifest()
        with pytest.raises(
            rm.NodeError, match=r"'segments' .*no 'voiced' in its metadata: put WebRtcVAD, SileroVAD or"
        ):
            Driver(engine).results(manifest, [rm.AudioFrame(np.zeros(9), 16_000)])

    @pytest.mark.parametrize(
        ("params", "fault"),
        [
            ({"threshold": 1.1}, "'threshold' must be a number of at least 0 and at most 1"),
            ({"hysteresis": -0.1}, "'hysteresis' must be a number of at least 0"),
            ({"pad_ms": -1}, "'pad_ms' must be a number of at least 0"),
            ({"max_speech_s": 0.09}, "'max_speech_s' is shorter than 'attack_ms'"),
            ({"max_speech_s": 0}, "'max_speech_s' must be a number above 0"),
            ({"emit": "wav"}, "'emit' must be one of 'segments', 'audio', not 'wav'"),
            ({"min_silence": 3}, "did you mean 'min_silence_ms'?"),
        ],
    )
    def test_a_param_out_of_range(self, params: dict[str, Any], fault: str) -> None:
        with pytest.raises(ValueError, match=fault.replace("?", r"\?")):
            made(**params)
