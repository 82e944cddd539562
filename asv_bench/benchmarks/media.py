"""Media: a file through reader, resampler and chunker; voice detectors; the report of a run."""

import tempfile
from pathlib import Path

import media
import numpy as np
import voice
from scenarios import chain, executor

import remotemedia as rm


class Files:
    """A minute of AAC, 48 kHz stereo."""

    def setup_cache(self):
        path = Path(tempfile.mkdtemp(), "minute.mp4")
        media.write_aac(path, 60)
        return path

    def time_decode_resample_cut(self, path):
        media.by_pipeline(path)


class Detectors:
    """Ten seconds of noise at 16 kHz."""

    params = ["WebRtcVAD", "SileroVAD", "EnergyVAD"]
    param_names = ["detector"]

    def setup(self, kind):
        self.blocks = voice.noise(10 * voice.RATE_HZ, voice.RATE_HZ)
        self.tree = rm.Manifest.from_dict(chain(kind))
        self.execute = executor("cython").execute_with_input

    def time_execute(self, kind):
        self.execute(self.tree, self.blocks)


class Reports:
    """The page of a run of a hundred nodes, and its waveform over ten minutes."""

    def setup(self):
        self.result = executor("cython").execute_with_input(
            chain(*["PassThrough"] * 100), list(range(1000)), metrics="time"
        )
        self.sound = [rm.AudioFrame(np.zeros(1600, np.float32), 16_000, n * 10**8) for n in range(6000)]

    def time_page(self):
        self.result.to_html()

    def time_waveform(self):
        self.result.to_html(audio=self.sound)
