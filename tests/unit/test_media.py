"""Media items: what they check, what they keep, and their form in JSON."""

from __future__ import annotations

import base64
import copy
import gc
import json
import pickle
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import node

import remotemedia as rm
from remotemedia._core.media import samples_to_ns
from remotemedia.media import AudioFrame, Text, VideoFrame, from_json, is_media, to_json

STEREO = np.arange(12, dtype=np.int16).reshape(2, 6)
PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


class TestAudioFrame:
    @pytest.mark.parametrize("dtype", [np.float32, np.int16, np.float64])
    def test_it_keeps_the_array_and_copies_nothing(self, dtype: Any) -> None:
        samples = STEREO.astype(dtype)
        frame = AudioFrame(samples, 48_000, 5, {"a": 1})
        assert frame.samples is samples
        assert samples.flags.writeable
        assert (frame.channels, frame.sample_count, frame.sample_rate, frame.pts_ns) == (2, 6, 48_000, 5)
        assert frame.metadata == {"a": 1}

    def test_one_dimension_is_one_channel(self) -> None:
        samples = np.zeros(480, np.float32)
        frame = AudioFrame(samples, 16_000)
        assert frame.samples.shape == (1, 480)
        assert np.shares_memory(frame.samples, samples)
        assert (frame.pts_ns, frame.metadata) == (0, {})

    def test_times(self) -> None:
        frame = AudioFrame(np.zeros(441, np.float32), 44_100, 1_500_000_000)
        assert (frame.duration_ns, frame.end_ns) == (10_000_000, 1_510_000_000)
        assert (frame.duration_s, frame.start_s, frame.end_s) == (0.01, 1.5, 1.51)

    @given(st.integers(0, 10**12), st.integers(1, 10_000_000))
    def test_samples_to_ns_is_the_nearest_whole_number(self, count: int, rate: int) -> None:
        exact = count * 10**9 - samples_to_ns(count, rate) * rate  # times the rate, so that it is whole
        assert abs(2 * exact) <= rate

    def test_replace_and_tagged_change_what_is_named_alone(self) -> None:
        frame = AudioFrame(STEREO, 8000, 7, {"a": 1})
        other = frame.replace(pts_ns=9)
        assert (other.samples is STEREO, other.sample_rate, other.pts_ns, other.metadata) == (True, 8000, 9, {"a": 1})
        tagged = frame.tagged(b=2, a=3)
        assert (tagged.samples is STEREO, tagged.pts_ns, tagged.metadata) == (True, 7, {"a": 3, "b": 2})
        assert frame.metadata == {"a": 1}
        with pytest.raises(TypeError, match="AudioFrame has no field 'rate'"):
            frame.replace(rate=3)
        with pytest.raises(ValueError, match="sample_rate must be"):
            frame.replace(sample_rate=0)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (([0.0], 8000), TypeError, "samples must be a NumPy array, not list"),
            ((np.zeros(3, np.int32), 8000), TypeError, "float32, int16 or float64, not int32"),
            ((np.zeros(3, np.dtype(">i2")), 8000), TypeError, "not >i2"),
            ((np.zeros((0, 5), np.float32), 8000), ValueError, r"got \(0, 5\)"),
            ((np.zeros((1, 2, 3), np.float32), 8000), ValueError, r"got \(1, 2, 3\)"),
            ((np.array(1.0), 8000), ValueError, r"got \(\)"),
            ((np.zeros((480, 2), np.float32), 8000), ValueError, r"got \(480, 2\); transpose"),
            ((np.ma.masked_array(np.zeros(3), [0, 1, 0]), 8000), TypeError, "masked"),
            ((STEREO, 0), ValueError, "1…10000000 Hz, got 0"),
            ((STEREO, -8000), ValueError, "got -8000"),
            ((STEREO, 10_000_001), ValueError, "got 10000001"),
            ((STEREO, 10**5000), ValueError, "got a number of more than 18 digits"),
            ((STEREO, 8000.0), TypeError, "sample_rate must be a whole number of Hz, not float"),
            ((STEREO, None), TypeError, "not NoneType"),
            ((STEREO, 8000, 0.5), TypeError, "pts_ns must be a whole number of nanoseconds, not float"),
            ((STEREO, 8000, 2**63), ValueError, "64 bits"),
            ((STEREO, 8000, 0, [1]), TypeError, "metadata must be a dict, not list"),
        ],
    )
    def test_what_is_no_audio_is_refused(self, arguments: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            AudioFrame(*arguments)

    def test_fields_cannot_be_set(self) -> None:
        frame = AudioFrame(STEREO, 8000)
        with pytest.raises(AttributeError):
            frame.pts_ns = 3
        with pytest.raises(AttributeError):
            frame.note = 3  # type: ignore[attr-defined]

    def test_numpy_s_own_numbers_are_taken(self) -> None:
        frame = AudioFrame(STEREO, np.int32(8000), np.int64(5))  # type: ignore[arg-type]
        assert (type(frame.sample_rate), type(frame.pts_ns)) == (int, int)

    def test_a_frame_keeps_its_array_alive_and_no_longer(self) -> None:
        samples = np.zeros((1, 10), np.float32)
        gone = weakref.ref(samples)
        frame = AudioFrame(samples, 8000)
        del samples
        assert gone() is not None
        del frame
        gc.collect()
        assert gone() is None

    def test_its_repr_is_short(self) -> None:
        assert repr(AudioFrame(STEREO, 8000, 1_234_567_890)) == "<AudioFrame 2 x 6 int16, 8000 Hz, at 1.235 s>"


class TestVideoFrame:
    def test_formats_by_the_number_of_channels(self) -> None:
        for channels, name in ((1, "gray"), (3, "rgb24"), (4, "rgba")):
            frame = VideoFrame(np.zeros((2, 3, channels), np.uint8))
            assert (frame.format, frame.width, frame.height, frame.channels) == (name, 3, 2, channels)
        assert VideoFrame(PICTURE, 3, "bgr24").format == "bgr24"
        assert VideoFrame(np.zeros((2, 3), np.uint8)).array.shape == (2, 3, 1)

    def test_it_keeps_the_array(self) -> None:
        frame = VideoFrame(PICTURE, 3, metadata={"a": 1})
        assert frame.array is PICTURE
        assert frame.tagged(b=2).metadata == {"a": 1, "b": 2}
        assert frame.replace(pts_ns=4).array is PICTURE

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ((PICTURE.astype(np.int16),), TypeError, "uint8, not int16"),
            (([1],), TypeError, "must be a NumPy array"),
            ((np.zeros(3, np.uint8),), ValueError, r"got \(3,\)"),
            ((np.zeros((0, 3, 3), np.uint8),), ValueError, r"got \(0, 3, 3\)"),
            ((np.zeros((2, 2, 2), np.uint8),), ValueError, "rgb24 has 3 channels, the array 2"),
            ((PICTURE, 0, "gray"), ValueError, "gray has 1 channels, the array 3"),
            ((PICTURE, 0, "yuv"), ValueError, "format must be one of rgb24, bgr24, rgba, gray, not 'yuv'"),
            ((PICTURE, "0"), TypeError, "pts_ns"),
        ],
    )
    def test_what_is_no_picture_is_refused(self, arguments: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            VideoFrame(*arguments)


class TestText:
    def test_its_fields(self) -> None:
        text = Text("ä", 5, {"a": 1})
        assert (text.text, text.pts_ns, text.metadata, text.start_s) == ("ä", 5, {"a": 1}, 5e-9)
        assert text == Text("ä", 5, {"a": 1})
        assert hash(text) == hash(Text("ä", 5))
        assert text != Text("ä", 6, {"a": 1})
        assert text != "ä"
        assert text.replace(text="b").tagged(c=1) == Text("b", 5, {"a": 1, "c": 1})
        with pytest.raises(TypeError, match="text must be a str, not bytes"):
            Text(b"a")  # type: ignore[arg-type]

    def test_it_needs_no_numpy(self) -> None:
        code = "import sys, remotemedia as rm; rm.Text('a'); assert 'numpy' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], check=True)


ITEMS = [AudioFrame(STEREO, 8000, 5, {"a": [1]}), VideoFrame(PICTURE, 5, "bgr24", {"a": [1]}), Text("ä", 5, {"a": [1]})]


def fields(item: Any) -> dict[str, Any]:
    names = ("samples", "sample_rate", "array", "format", "text", "pts_ns", "metadata")
    values = {name: getattr(item, name) for name in names if hasattr(item, name)}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


class TestAll:
    @pytest.mark.parametrize("item", ITEMS)
    def test_copies_and_pickles_are_equal_and_of_their_own(self, item: Any) -> None:
        for made in (pickle.loads(pickle.dumps(item)), copy.deepcopy(item)):
            assert type(made) is type(item)
            assert fields(made) == fields(item)
            assert made.metadata["a"] is not item.metadata["a"]
        assert copy.copy(item).metadata is item.metadata

    @pytest.mark.parametrize("item", ITEMS)
    def test_one_that_is_made_cannot_be_made_again(self, item: Any) -> None:
        before = fields(item)
        with pytest.raises(TypeError, match="media items do not change"):
            item.__init__(*item.__reduce__()[1])
        assert fields(item) == before

    @pytest.mark.parametrize("item", ITEMS)
    def test_their_json_is_read_back(self, item: Any) -> None:
        assert is_media(item)
        back = from_json(json.loads(json.dumps(to_json(item))))
        assert type(back) is type(item)
        assert fields(back) == fields(item)

    @pytest.mark.parametrize("dtype", [np.float32, np.int16, np.float64])
    @pytest.mark.parametrize("channels", [1, 2, 8])
    @pytest.mark.parametrize("count", [0, 1, 7])
    def test_samples_in_json_are_those_of_all_channels_in_turn(self, dtype: Any, channels: int, count: int) -> None:
        samples = np.arange(channels * count).reshape(channels, count).astype(dtype)
        form = to_json(AudioFrame(samples, 8000))
        data = base64.b64decode(form["samples"])
        assert np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).tolist() == samples.T.ravel().tolist()
        back = from_json(form)
        assert isinstance(back, AudioFrame)
        assert (back.samples.dtype, back.samples.tolist()) == (samples.dtype, samples.tolist())

    @pytest.mark.parametrize(
        ("form", "message"),
        [
            ({"$media": "smell"}, "'$media' must be one of 'audio', 'video', 'text', not 'smell'"),
            ({"$media": ["audio"]}, "not ['audio']"),
            ({"$media": "text"}, "'text' must be a string, not None"),
            ({"$media": "text", "text": "a", "pts": 3}, "'pts' is no key of text items"),
            ({"$media": "text", "text": "a", "pts_ns": True}, "'pts_ns' must be a whole number, not True"),
            ({"$media": "text", "text": "a", "pts_ns": 2**70}, "64 bits"),
            ({"$media": "text", "text": "a", "metadata": 3}, "'metadata' must be an object, not 3"),
            ({"$media": "audio", "format": "mp3"}, "'format' must be one of f32le, f64le, s16le, not 'mp3'"),
            ({"$media": "audio", "format": "s16le", "samples": 3}, "'samples' must be a string of base64"),
            ({"$media": "audio", "format": "s16le", "samples": "a"}, "'samples' must be a string of base64"),
            ({"$media": "audio", "format": "s16le", "samples": "AAA="}, "'sample_rate' must be a whole number"),
            ({"$media": "audio", "format": "s16le", "samples": "AA=="}, "holds 1 bytes, no multiple of the 2"),
            ({"$media": "audio", "format": "s16le", "channels": 0}, "'channels' must be 1…256, not 0"),
            ({"$media": "audio", "format": "s16le", "channels": 10**9}, "'channels' must be 1…256"),
            (
                {"$media": "audio", "format": "s16le", "samples": "", "sample_rate": 0},
                "sample_rate must be 1…10000000 Hz, got 0",
            ),
            ({"$media": "video", "format": "rgb24", "height": 1, "width": 1, "pixels": "AA=="}, "are 3"),
            ({"$media": "video", "format": "gray", "height": -1, "width": -1, "pixels": "AA=="}, "not -1 and -1"),
            ({"$media": "video", "format": "gray", "height": 10**9, "width": 10**9, "pixels": ""}, "are 1000000"),
        ],
    )
    def test_what_is_no_media_item_in_json_is_told(self, form: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError) as caught:
            from_json(form)
        assert message in str(caught.value)

    def test_nothing_else_has_that_form(self) -> None:
        assert not is_media({"$media": "text"})
        with pytest.raises(TypeError, match="a dict is no media item"):
            to_json({})  # type: ignore[arg-type]

    @pytest.mark.parametrize("item", ITEMS)
    def test_they_go_through_nodes_and_branches_as_they_are(self, item: Any, driver: Any) -> None:
        manifest = {
            "version": "v1",
            "metadata": {"name": "m"},
            "nodes": [node("a", "PassThrough"), node("b", "PassThrough"), node("c", "PassThrough") | {"copy": True}],
            "connections": [{"from": "a", "to": "b"}, {"from": "a", "to": "c"}],
        }
        shared, copied = driver.results(rm.Manifest.from_dict(manifest), [item])
        assert shared is item
        assert copied is not item
        assert fields(copied) == fields(item)
