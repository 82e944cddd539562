"""What models of speech hear: `LogMelSpectrogram`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.nodes.params import Params
from remotemedia.nodes.samples import INT16, INT16_SCALE, Samples, frame_of, mono_of
from remotemedia.nodes.stretch import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from remotemedia._core.media import AudioFrame

BLOCK = 128
"""Windows that are transformed at a time, so that a long frame takes no room."""
FLOOR = 1e-10
MAX_FFT = 1 << 20


class LogMelSpectrogram(NodeExecutor):
    """Give the logarithm of the power in mel bands, a column for each hop: ``{"pts_ns": 0, "log_mel": array}``.

    Takes `AudioFrame`; channels are averaged, and int16 is divided by 32768. Column k is of the samples k x hop up to
    k x hop + n_fft, and `pts_ns` is the time of the first of them: there is no padding at the start (librosa's
    ``center=False``). What is left at the end, if it holds samples that were in no column, is filled up with zeros; a
    recording ends with a flush, a gap in time of more than 1 ms, or a change of rate, channels or sample type.

    A column is a read-only float32 array of shape (n_mels,), or with ``form="list"`` a list, which JSON can hold. It
    has the `metadata` of the frame that its window ends in, if that has any. NaN and infinity are a ValueError, and
    such a frame counts as not having come.

    Notes
    -----
    The window is a periodic Hann window, the power that of its FFT, without a factor. ``slaney``: the scale of M.
    Slaney's Auditory Toolbox (1998), linear up to 1 kHz, and triangles of one area, 2 / width in Hz, as in librosa and
    Whisper. ``htk``: the scale of the HTK book, 2595 log10(1 + f / 700), and triangles of height 1, as in torchaudio.
    Power below 1e-10 counts as that: -100 dB, or -23.03 in natural logarithm.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "n_fft": "length of the window and of the FFT, in samples (default 400, 25 ms of 16 kHz)",
        "hop": "samples from one column to the next (default 160)",
        "n_mels": "mel bands (default 80)",
        "f_min": "lower edge of the lowest band, in Hz (default 0)",
        "f_max": "upper edge of the highest band, in Hz (default: half the sample rate)",
        "scale": "'slaney' or 'htk', see there (default 'slaney')",
        "log": "'db', 10 log10, or 'natural' (default 'db')",
        "form": "of a column: 'array', or 'list', for JSON (default 'array')",
    }

    _rest: Samples  # what windows still need, up to the last sample that came in
    _next: int  # where the next window begins
    _metadata: dict[str, Any]

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._n_fft = params.whole("n_fft") or 400
        if not 2 <= self._n_fft <= MAX_FFT:
            raise params.error("n_fft", f"must be 2…{MAX_FFT}, not {self._n_fft}")
        self._hop = params.whole("hop") or 160
        self._n_mels = params.whole("n_mels") or 80
        if self._n_mels > self._n_fft:
            raise params.error("n_mels", f"must be at most 'n_fft', {self._n_fft}, not {self._n_mels}")
        self._f_min = params.number("f_min", 0.0, least=0)
        self._f_max = params.number("f_max", math.inf, above=self._f_min)
        self._is_htk = params.choice("scale", ("slaney", "htk"), "slaney") == "htk"
        self._factor = 10 / math.log(10) if params.choice("log", ("db", "natural"), "db") == "db" else 1.0
        self._as_list = params.choice("form", ("array", "list"), "array") == "list"
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self._n_fft) / self._n_fft)
        self._stretch: Stretch | None = None
        self._rate_hz = 0  # that the bands are for

    def process(self, item: AudioFrame) -> Iterator[dict[str, Any]]:
        """Emit the columns that are complete with this frame."""
        frame = frame_of(item, "LogMelSpectrogram")
        if not frame.sample_count:  # nothing, whatever its time
            return
        mono = mono_of(frame.samples.T)
        if mono.dtype == INT16:
            mono = np.multiply(mono, 1 / INT16_SCALE, dtype=np.float32)
        elif not np.isfinite(mono).all():
            raise ValueError("samples must be finite numbers, got NaN or infinity")
        stretch = self._stretch
        if stretch is None or not stretch.goes_on(frame):
            yield from self.flush()
            stretch = self._begin(frame)
        self._metadata = frame.metadata
        samples = np.concatenate((self._rest, mono)) if len(self._rest) else mono
        begin = stretch.count - len(self._rest)  # of `samples`, in the recording
        stretch.count += len(mono)
        first = self._next
        count = max(0, (stretch.count - self._n_fft - first) // self._hop + 1)
        self._next += count * self._hop
        self._rest = samples[min(max(self._next - begin, 0), len(samples)) :].copy()  # a view would keep the frame
        yield from self._columns(stretch, samples[max(first - begin, 0) :], first, count)

    def flush(self) -> list[dict[str, Any]]:
        """Return the column of what is left."""
        stretch, self._stretch = self._stretch, None
        if stretch is None:
            return []
        covered = self._next - self._hop + self._n_fft if self._next else 0
        if stretch.count <= max(covered, self._next):
            return []
        filled = np.concatenate((self._rest, np.zeros(self._n_fft - len(self._rest), self._rest.dtype)))
        return list(self._columns(stretch, filled, self._next, 1))

    def cleanup(self) -> None:
        """Let go of what is held."""
        self._stretch = None

    def _begin(self, frame: AudioFrame) -> Stretch:
        if self._rate_hz != frame.sample_rate:
            self._bands = mel_bands(
                frame.sample_rate, self._n_fft, self._n_mels, self._f_min, self._f_max, is_htk=self._is_htk
            )
            self._rate_hz = frame.sample_rate
        self._rest = np.empty(0, np.float32)
        self._next = 0
        self._stretch = Stretch(frame)
        return self._stretch

    def _columns(self, stretch: Stretch, samples: Samples, first: int, count: int) -> Iterator[dict[str, Any]]:
        """Give so many columns; the first is of the first sample, whose position is `first`."""
        metadata = self._metadata
        for done in range(0, count, BLOCK):
            some = min(BLOCK, count - done)
            part = samples[done * self._hop : (done + some - 1) * self._hop + self._n_fft]
            windows = np.lib.stride_tricks.sliding_window_view(part, self._n_fft)[:: self._hop]
            spectrum = np.fft.rfft(windows * self._window)
            power = spectrum.real**2 + spectrum.imag**2
            log_mels = (self._factor * np.log(np.maximum(power @ self._bands.T, FLOOR))).astype(np.float32)
            log_mels.flags.writeable = False
            for at, log_mel in enumerate(log_mels):
                pts_ns = stretch.pts_ns(first + (done + at) * self._hop)
                column = {"pts_ns": pts_ns, "log_mel": log_mel.tolist() if self._as_list else log_mel}
                yield {**column, "metadata": metadata} if metadata else column


def mel_bands(
    rate_hz: int, n_fft: int, n_mels: int, f_min: float = 0.0, f_max: float = math.inf, *, is_htk: bool = False
) -> NDArray[np.float64]:
    """Return the weight of each bin of an FFT in each mel band, of shape (n_mels, n_fft // 2 + 1).

    Raises
    ------
    ValueError
        `f_max` is above half the rate, or `f_min` not below it.
    """
    nyquist_hz = rate_hz / 2
    if f_max != math.inf and f_max > nyquist_hz:
        raise ValueError(f"'f_max' is {f_max:g}, but {rate_hz} Hz audio ends at {nyquist_hz:g} Hz")
    f_max = min(f_max, nyquist_hz)
    if f_min >= f_max:
        raise ValueError(f"'f_min' is {f_min:g}, but {rate_hz} Hz audio ends at {nyquist_hz:g} Hz")
    to_mel, to_hz = (_htk_mel, _htk_hz) if is_htk else (_slaney_mel, _slaney_hz)
    edges_hz = np.array([to_hz(mel) for mel in np.linspace(to_mel(f_min), to_mel(f_max), n_mels + 2)])
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    bins_hz = np.fft.rfftfreq(n_fft, 1 / rate_hz)
    bands: NDArray[np.float64] = np.maximum(
        0.0, np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre))
    )
    return bands if is_htk else bands * 2 / (high - low)


def _htk_mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def _htk_hz(mel: float) -> float:
    return 700 * (math.exp(mel / 2595 * math.log(10)) - 1)


def _slaney_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def _slaney_hz(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) / 27 * math.log(6.4))
