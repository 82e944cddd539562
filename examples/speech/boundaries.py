"""How far from the truth the voice-activity detectors find the bundled speech, clean and in noise.

    python examples/speech/boundaries.py [--seeds N]

Noise is mixed in at a ratio to the mean power of the utterances, pauses not counted: white, and pink (1/f from 20 Hz
on). Each cell tells the least and the most error of any start and any end over all seeds, in ms, positive where found
late; or in how many of the mixtures it did not find just these utterances.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

import remotemedia as rm

HERE = Path(__file__).parent
RATE_HZ = 16_000
DETECTORS = ("WebRtcVAD", "SileroVAD", "EnergyVAD")
SNRS_DB = (20.0, 10.0)
LOWEST_HZ = 20.0
BLOCK = 1000

Samples = NDArray[np.float64]
Times = list[tuple[float, float]]


def load() -> tuple[Samples, Times]:
    """Return the bundled speech, and where each utterance begins and ends, in s."""
    samples, rate_hz = soundfile.read(HERE / "speech.wav")
    assert rate_hz == RATE_HZ
    truth = json.loads((HERE / "speech.truth.json").read_text(encoding="utf-8"))
    return samples, [(utterance["start"], utterance["end"]) for utterance in truth["segments"]]


def noise(colour: str, count: int, seed: int) -> Samples:
    """Return white or pink noise with an RMS of 1."""
    rng = np.random.default_rng(seed)
    frequencies_hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum = rng.standard_normal(len(frequencies_hz)) + 1j * rng.standard_normal(len(frequencies_hz))
    spectrum[0] = 0
    if colour == "pink":
        spectrum[1:] /= np.sqrt(frequencies_hz[1:])
        spectrum[frequencies_hz < LOWEST_HZ] = 0
    made = np.fft.irfft(spectrum, count)
    return np.asarray(made / np.sqrt(np.mean(made**2)))


def mixed(speech: Samples, truth: Times, colour: str, snr_db: float, seed: int) -> Samples:
    """Return the speech with noise `snr_db` below the mean power of its utterances."""
    spoken = np.concatenate([speech[round(start * RATE_HZ) : round(end * RATE_HZ)] for start, end in truth])
    return speech + noise(colour, len(speech), seed) * np.sqrt(np.mean(spoken**2)) * 10 ** (-snr_db / 20)


def blocks_of(samples: Samples) -> list[rm.AudioFrame]:
    """Return the samples as a reader gives them: float32, in blocks."""
    return [
        rm.AudioFrame(samples[at : at + BLOCK].astype(np.float32), RATE_HZ, round(at * 1e9 / RATE_HZ))
        for at in range(0, len(samples), BLOCK)
    ]


def pipeline(detector: str, **params: Any) -> rm.Manifest:
    """Return a detector with `params`, and a segmenter behind it."""
    chain = rm.Pipeline(detector).add(detector, id="voice", params=params).add("SpeechSegmenter", id="segments")
    return chain.to_manifest()


def find(manifest: rm.Manifest, samples: Samples) -> Times:
    """Return the start and end of each segment, in s."""
    found = rm.Executor().execute_with_input(manifest, blocks_of(samples)).results
    return [(segment["start"], segment["end"]) for segment in found]


def errors(found: Times, truth: Times) -> tuple[Samples, Samples] | None:
    """Return by how much each start and each end is late, in s; `None` if these are not the utterances."""
    if len(found) != len(truth):
        return None
    late = np.subtract(found, truth)
    return late[:, 0], late[:, 1]


def cell(manifest: rm.Manifest, mixtures: list[Samples], truth: Times) -> str:
    """Return what the table says of these mixtures."""
    all_errors = [errors(find(manifest, samples), truth) for samples in mixtures]
    known = [found for found in all_errors if found is not None]
    if len(known) < len(all_errors):
        return f"missed in {len(all_errors) - len(known)} of {len(all_errors)}"
    starts, ends = (1000 * np.concatenate(found) for found in zip(*known, strict=True))
    return f"{starts.min():+.0f}…{starts.max():+.0f}, {ends.min():+.0f}…{ends.max():+.0f}"


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How far from the truth the detectors find the bundled speech.")
    parser.add_argument("--seeds", type=int, default=20, help="mixtures of each kind (default 20)")
    options = parser.parse_args(arguments)
    speech, truth = load()
    seeds = range(max(1, options.seeds))
    kinds = {"clean": [speech]}
    for snr_db in SNRS_DB:
        for colour in ("white", "pink"):
            mixtures = [mixed(speech, truth, colour, snr_db, seed) for seed in seeds]
            kinds[f"{colour}, {snr_db:g} dB"] = mixtures
    print(f"| start, end late by, ms | {' | '.join(DETECTORS)} |")
    print("|---" * (1 + len(DETECTORS)) + "|")
    for kind, mixtures in kinds.items():
        print(f"| {kind} | {' | '.join(cell(pipeline(name), mixtures, truth) for name in DETECTORS)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
