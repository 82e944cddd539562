"""Make ``speech.wav`` and its true segments anew; needs espeak-ng and sox (Debian packages of these names).

Each utterance is synthesized by itself, resampled by sox, trimmed to what lies above `TRIM_DBFS`, and set
between pauses of known length. So it is known to the sample, and estimated by nobody, where speech begins and
ends: that is ``speech.truth.json``, to which the tests hold the example.

    python examples/speech/make_sample.py
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

HERE = Path(__file__).parent
RATE_HZ = 16_000
VOICE = "en-us"
WORDS_PER_MINUTE = 160
TRIM_DBFS = -40.0
TRIM_WINDOW_MS = 10
FADE_MS = 3
LEAD_S = 0.7
UTTERANCES = (  # what is said, and the pause after it, in seconds
    ("Good morning everyone.", 0.76),
    ("Audio flows from node to node.", 0.6),
    ("Go on.", 0.75),
    ("Where did the music come from?", 0.7),
)

Samples = NDArray[np.float64]


def synthesize(text: str) -> Samples:
    """Return `text` as espeak-ng speaks it, at `RATE_HZ`."""
    with tempfile.TemporaryDirectory() as folder:
        raw, resampled = Path(folder, "raw.wav"), Path(folder, "resampled.wav")
        subprocess.run(["espeak-ng", "-v", VOICE, "-s", str(WORDS_PER_MINUTE), "-w", raw, text], check=True)
        subprocess.run(["sox", "-D", raw, "-b", "24", resampled, "rate", "-v", str(RATE_HZ)], check=True)
        samples, rate_hz = soundfile.read(resampled)
    assert rate_hz == RATE_HZ
    return np.asarray(samples)


def trim(samples: Samples) -> Samples:
    """Return `samples` from the first to the last window with an RMS of `TRIM_DBFS` (full-scale sine: 0)."""
    size = RATE_HZ * TRIM_WINDOW_MS // 1000
    windows = samples[: len(samples) // size * size].reshape(-1, size)
    loud = np.flatnonzero(2 * np.mean(windows**2, axis=1) >= 10 ** (TRIM_DBFS / 10))
    kept = samples[loud[0] * size : (loud[-1] + 1) * size].copy()
    fade = np.linspace(0, 1, RATE_HZ * FADE_MS // 1000)
    kept[: len(fade)] *= fade
    kept[-len(fade) :] *= fade[::-1]
    return kept


def main() -> None:
    """Write both files beside this script."""
    parts = [np.zeros(round(LEAD_S * RATE_HZ))]
    segments: list[dict[str, float | str]] = []
    for text, pause_s in UTTERANCES:
        start = sum(map(len, parts))
        parts += [trim(synthesize(text)), np.zeros(round(pause_s * RATE_HZ))]
        end = start + len(parts[-2])
        segments.append({"start": start / RATE_HZ, "end": end / RATE_HZ, "text": text})
    soundfile.write(HERE / "speech.wav", np.concatenate(parts), RATE_HZ, subtype="PCM_16")
    truth = json.dumps({"segments": segments}, indent=2)
    (HERE / "speech.truth.json").write_text(truth + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
