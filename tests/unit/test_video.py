"""The video nodes against pictures whose answer is known."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import remotemedia as rm
from remotemedia import NodeContext, VideoFrame
from remotemedia.nodes.scenes import SceneChange
from remotemedia.nodes.thumbnail import Thumbnail
from remotemedia.nodes.video import Crop, Flip, FrameSampler, Grayscale, Resize

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMATS = {"rgb24": 3, "bgr24": 3, "rgba": 4, "gray": 1}
RNG = np.random.default_rng(0)


def made(node_class: type[Any], **params: Any) -> Any:
    node = node_class()
    node.initialize(NodeContext("n1", node_class.__name__, params))
    return node


def picture(
    height: int = 24, width: int = 32, pixel_format: str = "rgb24", pts_ns: int = 7, **metadata: Any
) -> VideoFrame:
    array = RNG.integers(0, 256, (height, width, FORMATS[pixel_format]), np.uint8)
    return VideoFrame(array, pts_ns, pixel_format, metadata)  # type: ignore[arg-type]


EVERY: list[tuple[type[Any], dict[str, Any]]] = [
    (Resize, {"width": 16}), (Resize, {"width": 8, "height": 8, "fit": "cover"}), (Crop, {"x": 3, "y": 2, "width": 5}),
    (Flip, {"axis": "both"}), (Grayscale, {}), (FrameSampler, {"fps": 5}), (SceneChange, {}),
]  # fmt: skip


class TestAll:
    @pytest.mark.parametrize(("node_class", "params"), EVERY)
    @pytest.mark.parametrize("pixel_format", FORMATS)
    def test_time_and_metadata_stay_and_nothing_is_written_to(
        self, node_class: type[Any], params: dict[str, Any], pixel_format: str
    ) -> None:
        frame = picture(pixel_format=pixel_format, speaker="A")
        before = frame.array.copy()
        out = made(node_class, **params).process(frame)
        assert out.pts_ns == 7
        assert out.metadata["speaker"] == "A"
        assert out.format == ("gray" if node_class is Grayscale else pixel_format)
        assert out.array.shape[2] == FORMATS[out.format]
        assert np.array_equal(frame.array, before)
        if out.array is not frame.array:
            with pytest.raises(ValueError, match="read-only"):
                out.array[:] = 0

    @pytest.mark.parametrize(("node_class", "params"), [*EVERY, (Thumbnail, {})])
    def test_what_is_no_picture_is_refused(self, node_class: type[Any], params: dict[str, Any]) -> None:
        for item in (np.zeros((4, 4, 3), np.uint8), "x", rm.AudioFrame(np.zeros(3, np.float32), 8000)):
            with pytest.raises(TypeError, match=f"{node_class.__name__} takes VideoFrame items, got"):
                made(node_class, **params).process(item)

    @pytest.mark.parametrize(
        ("node_class", "params", "fault"),
        [
            (Resize, {}, "param 'width' is missing"),
            (Resize, {"width": 0}, "param 'width' must be a whole number above 0"),
            (Resize, {"width": 100_000}, "must be at most 16384 pixels, not 100000"),
            (Resize, {"width": 4, "fit": "squeeze"}, "param 'fit' must be one of"),
            (Resize, {"width": 4, "interpolation": "sinc"}, "param 'interpolation' must be one of"),
            (Crop, {"x": -1}, "param 'x' must be a number of at least 0"),
            (Crop, {"y": 1.5}, "param 'y' must be a whole number of pixels, not 1.5"),
            (Flip, {"axis": "x"}, "param 'axis' must be one of"),
            (Grayscale, {"weights": 1}, "param 'weights' is unknown"),
            (FrameSampler, {}, "param 'fps' is missing"),
            (FrameSampler, {"fps": 0}, "param 'fps' must be a number above 0"),
            (FrameSampler, {"fps": 1e-9}, "param 'fps' must be at least one in a million"),
            (SceneChange, {"threshold": 2}, "param 'threshold' must be a number"),
            (Thumbnail, {"path": "a.jpg"}, "param 'path' must have {index} in it"),
            (Thumbnail, {"path": "{index}.gif"}, "param 'path' must end in one of .jpg, .jpeg, .png, not '.gif'"),
            (
                Thumbnail,
                {"path": "{index}{0}.jpg"},
                "param 'path' may hold {index} or {index:03d}, and no other braces",
            ),
            (Thumbnail, {"path": "{index.__class__}.jpg"}, "and no other braces"),
            (Thumbnail, {"quality": 101}, "param 'quality' must be a number"),
        ],
    )
    def test_wrong_params(self, node_class: type[Any], params: dict[str, Any], fault: str) -> None:
        with pytest.raises(ValueError, match=re.escape(fault)):
            made(node_class, **params)


class TestResize:
    @pytest.mark.parametrize("pixel_format", FORMATS)
    def test_half_the_size_by_area_is_the_mean_of_four(self, pixel_format: str) -> None:
        frame = picture(20, 40, pixel_format)
        out = made(Resize, width=20, interpolation="area").process(frame)
        mean = frame.array.reshape(10, 2, 20, 2, -1).mean(axis=(1, 3))
        assert out.array.shape == (10, 20, FORMATS[pixel_format])
        # swscale works on luma and chroma, of 8 bits each
        tolerance = 1 if pixel_format == "gray" else 4
        assert np.abs(out.array.astype(int) - mean).max() <= tolerance

    @pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "area", "lanczos"])
    @pytest.mark.parametrize("size", [(1, 1), (7, 3), (33, 65)])
    def test_one_colour_stays_that_colour(self, interpolation: str, size: tuple[int, int]) -> None:
        frame = VideoFrame(np.full((9, 13, 3), (200, 30, 90), np.uint8))
        out = made(Resize, width=size[0], height=size[1], interpolation=interpolation).process(frame)
        assert out.array.shape == (size[1], size[0], 3)
        assert np.abs(out.array.astype(int) - (200, 30, 90)).max() <= 2

    def test_nearest_takes_pixels_as_they_are(self) -> None:
        array = np.kron(RNG.integers(0, 2, (6, 8, 1), np.uint8) * 255, np.ones((4, 4, 1), np.uint8))
        out = made(Resize, width=8, interpolation="nearest").process(VideoFrame(array))
        assert np.array_equal(out.array, array[::4, ::4])

    @pytest.mark.parametrize(
        ("params", "size"),
        [
            ({"width": 16}, (16, 12)),
            ({"height": 6}, (8, 6)),
            ({"width": 16, "height": 16}, (16, 16)),
            ({"width": 16, "height": 16, "fit": "contain"}, (16, 12)),
            ({"width": 16, "height": 16, "fit": "cover"}, (16, 16)),
            ({"width": 1}, (1, 1)),
            ({"width": 64}, (64, 48)),
        ],
    )
    def test_sizes_of_a_picture_of_32_by_24(self, params: dict[str, Any], size: tuple[int, int]) -> None:
        out = made(Resize, **params).process(picture(24, 32))
        assert (out.width, out.height) == size

    def test_cover_cuts_the_same_on_both_sides(self) -> None:
        array = np.zeros((10, 30, 3), np.uint8)
        array[:, 10:20] = 255
        out = made(Resize, width=10, height=10, fit="cover").process(VideoFrame(array))
        assert out.array.min() >= 250

    def test_the_size_it_has_goes_through_as_it_is(self) -> None:
        frame = picture()
        assert made(Resize, width=32, height=24).process(frame) is frame

    @pytest.mark.parametrize("pixel_format", FORMATS)
    @pytest.mark.parametrize("size", [(86, 62), (20, 17), (100, 7), (1, 1)])
    def test_nearest_is_the_pixel_at_the_centre(self, pixel_format: str, size: tuple[int, int]) -> None:
        frame = picture(31, 43, pixel_format)
        out = made(Resize, width=size[0], height=size[1], interpolation="nearest").process(frame)
        rows = ((np.arange(size[1]) + 0.5) * 31 / size[1]).astype(int)
        columns = ((np.arange(size[0]) + 0.5) * 43 / size[0]).astype(int)
        expected = frame.array[rows][:, columns]
        assert np.abs(out.array.astype(int) - expected).max() <= (1 if pixel_format == "rgba" else 0)

    def test_cover_of_another_shape_but_one_side_is_a_view_that_cannot_be_written_to(self) -> None:
        frame = picture(24, 32)
        out = made(Resize, width=24, height=24, fit="cover").process(frame)
        assert np.array_equal(out.array, frame.array[:, 4:28])
        assert not out.array.flags.writeable
        assert frame.array.flags.writeable
        assert made(Resize, width=32, height=24, fit="cover").process(frame) is frame

    def test_what_the_scaler_cannot_do_at_once_is_told_and_done_in_two_steps(self) -> None:
        frame = picture(1, 1)
        with pytest.raises(ValueError, match=r"of 1 x 1 cannot be scaled to 16384 x 2 at once .*Resize"):
            made(Resize, width=16_384, height=2).process(frame)
        between = made(Resize, width=128, height=128).process(frame)
        assert made(Resize, width=16_384, height=2).process(between).width == 16_384

    @pytest.mark.parametrize("sizes", [[(720, 1280)], [(720, 1280), (480, 640), (300, 801)]])
    def test_calls_that_overlap_in_threads_give_what_one_after_the_other_gives(
        self, sizes: list[tuple[int, int]]
    ) -> None:
        pipeline = rm.Pipeline("t").add("Resize", params={"width": 320})
        frames = [picture(*sizes[n % len(sizes)], pts_ns=n) for n in range(24)]
        manifest = pipeline.to_manifest().to_dict()
        manifest["nodes"][0] |= {"isolation": "thread", "max_concurrency": 4}
        beside = rm.Executor(engine="cython").execute_with_input(manifest, frames).results
        for a, b in zip(beside, pipeline.run(frames).results, strict=True):
            assert a.pts_ns == b.pts_ns
            assert np.array_equal(a.array, b.array)

    def test_a_side_beyond_all_bounds_is_told(self) -> None:
        with pytest.raises(ValueError, match="would become 60 x 60000: more than 16384"):
            made(Resize, width=60).process(VideoFrame(np.zeros((1000, 1, 3), np.uint8)))

    def test_views_are_scaled_as_what_they_show(self) -> None:
        frame = picture(40, 40)
        flipped = made(Flip, axis="both").process(made(Crop, x=3, y=1, width=30, height=20).process(frame))
        assert not flipped.array.flags.c_contiguous
        whole = VideoFrame(np.ascontiguousarray(flipped.array))
        node = made(Resize, width=11)
        assert np.array_equal(node.process(flipped).array, node.process(whole).array)


class TestCropFlipGray:
    def test_crop_is_a_view_of_the_rectangle(self) -> None:
        frame = picture()
        out = made(Crop, x=4, y=6, width=10, height=8).process(frame)
        assert np.array_equal(out.array, frame.array[6:14, 4:14])
        assert np.shares_memory(out.array, frame.array)
        assert made(Crop).process(frame).array.shape == frame.array.shape
        assert made(Crop, x=31, y=23).process(frame).array.shape == (1, 1, 3)

    @pytest.mark.parametrize("params", [{"x": 32}, {"y": 24}, {"width": 33}, {"x": 30, "width": 3}, {"height": 25}])
    def test_a_rectangle_that_is_not_within_is_told_with_the_size(self, params: dict[str, int]) -> None:
        with pytest.raises(ValueError, match=r"is not within a picture of 32 x 24 pixels"):
            made(Crop, **params).process(picture(24, 32))

    @pytest.mark.parametrize(("axis", "turned"), [("horizontal", np.fliplr), ("vertical", np.flipud)])
    def test_flip(self, axis: str, turned: Any) -> None:
        frame = picture()
        out = made(Flip, axis=axis).process(frame)
        assert np.array_equal(out.array, turned(frame.array))
        assert np.shares_memory(out.array, frame.array)
        assert np.array_equal(made(Flip, axis=axis).process(out).array, frame.array)

    def test_both_is_half_a_turn(self) -> None:
        frame = picture()
        assert np.array_equal(made(Flip, axis="both").process(frame).array, np.rot90(frame.array, 2))

    @pytest.mark.parametrize(
        ("pixel_format", "order"), [("rgb24", (0, 1, 2)), ("bgr24", (2, 1, 0)), ("rgba", (0, 1, 2))]
    )
    def test_gray_is_the_luma_of_bt_601(self, pixel_format: str, order: tuple[int, ...]) -> None:
        frame = picture(64, 64, pixel_format)
        red, green, blue = (frame.array[:, :, i].astype(float) for i in order)
        expected = 0.299 * red + 0.587 * green + 0.114 * blue
        out = made(Grayscale).process(frame)
        assert np.abs(out.array[:, :, 0] - expected).max() <= 0.51
        assert made(Grayscale).process(out) is out


def kept(fps: float, times_ms: list[float]) -> list[float]:
    node = made(FrameSampler, fps=fps)
    frames = [picture(2, 2, pts_ns=round(t * 1e6)) for t in times_ms]
    return [f.pts_ns / 1e6 for f in map(node.process, frames) if f is not None]


class TestFrameSampler:
    def test_of_a_steady_video_every_nth_stays(self) -> None:
        times = [n * 1000 / 30 for n in range(300)]
        assert kept(10, times) == pytest.approx(times[::3], abs=1e-5)
        assert kept(30, times) == pytest.approx(times, abs=1e-5)
        assert kept(1000, times) == pytest.approx(times, abs=1e-5)
        assert kept(0.5, times) == pytest.approx(times[::60], abs=1e-5)

    def test_times_that_begin_late_and_pauses(self) -> None:
        assert kept(10, [5000, 5050, 5098, 5100, 5450, 5460, 5999]) == [5000, 5100, 5450, 5999]

    def test_of_rounded_times_as_many_stay(self) -> None:
        rounded = [round(n * 1000 / 29.97) for n in range(900)]  # Matroska
        assert len(kept(29.97, rounded)) == 900
        assert len(kept(5, rounded)) == pytest.approx(150, abs=2)

    def test_a_flush_and_a_time_that_goes_back_begin_anew(self) -> None:
        assert kept(1, [1000, 1500, 0, 500, 1000]) == [1000, 0, 1000]
        film = [0, 500, 1000, 1500, 2000]
        assert kept(1, film * 3) == [0, 1000, 2000] * 3
        assert kept(10, [0, 100, 99.5, 200]) == [0, 100, 200]
        node = made(FrameSampler, fps=1)
        assert node.process(picture(pts_ns=0))
        assert node.process(picture(pts_ns=10)) is None
        node.flush()
        assert node.process(picture(pts_ns=20))

    @given(st.lists(st.integers(0, 10**10), min_size=1, max_size=60), st.sampled_from([0.3, 1, 7.5, 24]))
    def test_there_is_at_most_one_of_each_part_and_it_is_the_first(self, times: list[int], fps: float) -> None:
        times.sort()
        node = made(FrameSampler, fps=fps)
        out = [t for t in times if node.process(picture(1, 1, pts_ns=t)) is not None]
        exact = Fraction(fps).limit_denominator(1000)
        parts = [(t - times[0] + 10**6) * exact // 10**9 for t in times]
        firsts = [t for i, t in enumerate(times) if parts[i] not in parts[:i]]
        assert out == firsts


def scenes(frames: list[NDArray[np.uint8]], fps: float = 10, **params: Any) -> list[tuple[int, int, float]]:
    node = made(SceneChange, **params)
    made_frames = [VideoFrame(array, round(n * 1e9 / fps)) for n, array in enumerate(frames)]
    out = [f for f in map(node.process, made_frames) if f is not None]
    return [(f.pts_ns // 10**6, f.metadata["scene"], f.metadata["difference"]) for f in out]


class TestSceneChange:
    RED, BLUE = (np.full((90, 120, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 0, 200)))

    def test_the_first_picture_of_each_scene_comes_out(self) -> None:
        frames = [self.RED] * 10 + [self.BLUE] * 7 + [self.RED] * 5
        difference = pytest.approx(400 / 3 / 255, abs=1e-3)
        assert scenes(frames) == [(0, 0, 0.0), (1000, 1, difference), (1700, 2, difference)]

    def test_below_the_threshold_is_no_cut(self) -> None:
        gray = [np.full((10, 10, 1), level, np.uint8) for level in (100, 120, 160)]
        assert [t for t, *_ in scenes(gray, fps=1)] == [0, 2000]
        assert [t for t, *_ in scenes(gray, fps=1, threshold=0.05)] == [0, 1000, 2000]

    def test_a_flash_is_one_cut_not_two(self) -> None:
        frames = [self.RED] * 5 + [self.BLUE] + [self.RED] * 5
        assert [t for t, *_ in scenes(frames)] == [0, 500]
        assert [t for t, *_ in scenes(frames, min_gap_ms=0)] == [0, 500, 600]

    def test_another_size_is_another_scene_and_all_can_be_given(self) -> None:
        frames = [self.RED, self.RED, self.RED[:50], self.RED[:50]]
        assert [(s, d) for _, s, d in scenes(frames, fps=1)] == [(0, 0.0), (1, 1.0)]
        assert [s for _, s, _ in scenes(frames, fps=1, emit="all")] == [0, 0, 1, 1]

    def test_time_that_goes_back_holds_no_cut_back(self) -> None:
        node = made(SceneChange, emit="all")
        film = [(self.RED, 0), (self.RED, 5), (self.BLUE, 0), (self.BLUE, 1), (self.RED, 2)]
        out = [node.process(VideoFrame(array, s * 10**9)).metadata["scene"] for array, s in film]
        assert out == [0, 0, 1, 1, 2]
        node.flush()
        film = [(self.BLUE, 50), (self.RED, 60), (self.RED, 1), (self.BLUE, 2)]
        assert [node.process(VideoFrame(a, s * 10**9)).metadata["scene"] for a, s in film] == [0, 1, 1, 2]

    def test_noise_is_no_scene(self) -> None:
        frames = [np.clip(100 + RNG.normal(0, 10, (60, 80, 3)), 0, 255).astype(np.uint8) for _ in range(30)]
        assert len(scenes(frames)) == 1

    def test_a_flush_begins_with_scene_0(self) -> None:
        node = made(SceneChange)
        for _ in range(2):
            assert node.process(VideoFrame(self.RED)).metadata["scene"] == 0
            node.flush()


def decoded(data: bytes) -> NDArray[Any]:
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


class TestThumbnail:
    @pytest.mark.parametrize("suffix", ["jpg", "png"])
    @pytest.mark.parametrize("pixel_format", FORMATS)
    def test_files_hold_the_small_picture(self, tmp_path: Path, suffix: str, pixel_format: str) -> None:
        array = np.full((60, 81, FORMATS[pixel_format]), 200, np.uint8)
        array[:, :27] = 50
        node = made(Thumbnail, path=f"{tmp_path}/new/{{index:02d}}.{suffix}", width=27)
        frame = VideoFrame(array, 5, pixel_format, {"scene": 3})  # type: ignore[arg-type]
        told = [node.process(frame) for _ in range(2)][1]
        path = tmp_path / "new" / f"01.{suffix}"
        data = path.read_bytes()
        assert told == {
            "path": str(path), "pts_ns": 5, "width": 27, "height": 20, "bytes": len(data), "metadata": {"scene": 3},
        }  # fmt: skip
        small = decoded(data)
        assert small.shape == (20, 27, 3)
        assert np.abs(small[:, 1:7].astype(int) - 50).max() <= 6
        assert np.abs(small[:, 12:25].astype(int) - 200).max() <= 6
        assert sorted(p.name for p in path.parent.iterdir()) == [f"00.{suffix}", f"01.{suffix}"]

    def test_colours_come_back(self) -> None:
        array = np.full((32, 32, 3), (220, 40, 120), np.uint8)
        for frame in (VideoFrame(array), VideoFrame(array[:, :, ::-1], 0, "bgr24")):
            for name in ("jpeg", "png"):
                told = made(Thumbnail, format=name).process(frame)
                assert told["image"].startswith(f"data:image/{name};base64,")
                found = decoded(b64decode(told["image"].partition(",")[2]))
                assert np.abs(found.astype(int) - (220, 40, 120)).max() <= 6
                json.dumps(told)

    def test_pictures_are_never_made_larger(self) -> None:
        told = made(Thumbnail, width=320).process(picture(24, 32))
        assert (told["width"], told["height"]) == (32, 24)
        told = made(Thumbnail, width=320, height=12).process(picture(24, 32))
        assert (told["width"], told["height"]) == (16, 12)
        assert made(Thumbnail).process(picture(1, 1))["width"] == 1

    def test_better_quality_takes_more_bytes(self) -> None:
        sizes = [made(Thumbnail, quality=q).process(picture(200, 200))["bytes"] for q in (1, 50, 100)]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2] / 2

    @pytest.mark.parametrize("pixel_format", FORMATS)
    def test_png_is_exact(self, pixel_format: str) -> None:
        frame = picture(17, 19, pixel_format)
        data = b64decode(made(Thumbnail, format="png").process(frame)["image"].partition(",")[2])
        with av.open(io.BytesIO(data)) as container:
            array = next(container.decode(video=0)).to_ndarray(format=pixel_format)
        assert np.array_equal(array.reshape(frame.array.shape), frame.array)

    @pytest.mark.parametrize("level", [0, 128, 255])
    @pytest.mark.parametrize("pixel_format", FORMATS)
    def test_black_and_white_stay_so_in_jpeg(self, pixel_format: str, level: int) -> None:
        array = np.full((17, 19, FORMATS[pixel_format]), level, np.uint8)
        told = made(Thumbnail).process(VideoFrame(array, 0, pixel_format))  # type: ignore[arg-type]
        found = decoded(b64decode(told["image"].partition(",")[2]))
        assert np.abs(found.astype(int) - level).max() <= 2

    def test_calls_that_overlap_write_a_file_each(self, tmp_path: Path) -> None:
        manifest = rm.Pipeline("t").add("Thumbnail", params={"path": f"{tmp_path}/{{index}}.jpg"}).to_manifest()
        changed = manifest.to_dict()
        changed["nodes"][0] |= {"isolation": "thread", "max_concurrency": 4}
        told = rm.Executor().execute_with_input(changed, [picture(360, 640) for _ in range(24)]).results
        assert sorted(t["path"] for t in told) == sorted(f"{tmp_path}/{n}.jpg" for n in range(24))
        assert {p.stat().st_size for p in tmp_path.iterdir()} == {t["bytes"] for t in told}

    def test_a_folder_that_cannot_be_made_is_told_by_the_path(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=r"file/0\.jpg"):
            made(Thumbnail, path=f"{tmp_path}/file/{{index}}.jpg").process(picture())


def test_a_chain_over_both_engines(direct: Any) -> None:
    chain = (
        rm.Pipeline("v")
        .add("FrameSampler", params={"fps": 5})
        .add("Crop", params={"width": 20})
        .add("Resize", params={"height": 6})
        .add("Flip")
        .add("Grayscale")
        .add("SceneChange", params={"threshold": 0.01, "min_gap_ms": 0})
    )
    frames = [picture(pts_ns=n * 10**8) for n in range(10)]
    out = direct.results(chain.to_manifest(), frames)
    assert [f.pts_ns // 10**8 for f in out] == [0, 2, 4, 6, 8]
    assert [f.metadata["scene"] for f in out] == [0, 1, 2, 3, 4]
    assert {f.array.shape for f in out} == {(6, 5, 1)}
