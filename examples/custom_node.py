"""A node of your own in 15 lines: it makes audio fade in. Run: ``python examples/custom_node.py``."""

import numpy as np

import remotemedia as rm


class FadeIn(rm.NodeExecutor):
    """Raise the volume from nothing, in a straight line."""

    PARAMS = {"fade_ms": "how long it takes, in ms (default 500)"}

    def initialize(self, context):
        """Read the params: once, before the first frame."""
        self.fade_s = context.params.get("fade_ms", 500) / 1000

    def process(self, frame):
        """Return the frame, as loud as it should be at its time."""
        times_s = frame.start_s + np.arange(frame.sample_count) / frame.sample_rate
        gain = np.clip(times_s / self.fade_s, 0, 1).astype(frame.samples.dtype)
        return frame.replace(samples=frame.samples * gain)


def main():
    """Run it on two seconds of a tone, in chunks of 250 ms, and print how loud each is."""
    registry = rm.NodeRegistry()
    registry.register("FadeIn", FadeIn)
    pipeline = (
        rm.Pipeline("fade")
        .add("Chunker", params={"chunk_ms": 250})
        .add("FadeIn", params={"fade_ms": 1000})
        .add("Level")
    )
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * 16_000) / 16_000, dtype=np.float32)
    for frame in (
        rm.Executor(registry).execute_with_input(pipeline.to_manifest(), [rm.AudioFrame(tone, 16_000)]).results
    ):
        print(f"{frame.start_s:4.2f} s  {frame.metadata['level_dbfs']:6.1f} dBFS")


if __name__ == "__main__":
    main()
