"""A small picture of each scene of a video.

    python examples/thumbnails/run.py [VIDEO] [--folder FOLDER]

Without a video it makes one of four scenes first. The same by the command line, for a video of yours:

    remotemedia run examples/thumbnails/pipeline.json -i film.mp4 --stream video
"""

import argparse
import sys
import tempfile
from pathlib import Path

import remotemedia as rm
from remotemedia.nodes.reader import read_media

HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    """Run the example; return the exit status."""
    parser = argparse.ArgumentParser(description="A small picture of each scene of a video.")
    parser.add_argument("video", nargs="?", help="any video; without it, one is made")
    parser.add_argument("--folder", default="thumbnails", help="where the pictures go (default: thumbnails)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            thumbnails = thumbnails_of(options.video or made_video(scratch), options.folder)
        except rm.RemoteMediaError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(f"{'time s':>8}  {'size':>9}  picture")
    for told in thumbnails:
        size = f"{told['width']} x {told['height']}"
        print(f"{told['pts_ns'] / 1e9:8.2f}  {size:>9}  {told['path']}")
    return 0


def thumbnails_of(video: str, folder: str) -> list[dict]:
    """Write the pictures, and return what is told of each."""
    manifest = rm.Manifest.from_file(HERE / "pipeline.json").to_dict()
    manifest["nodes"][-1]["params"]["path"] = f"{folder}/{{index:03d}}.jpg"
    with read_media(video, audio=False, video=True) as frames:
        return rm.Executor().execute_with_input(manifest, frames).results


def made_video(folder: str) -> str:
    """Make the video of the example, and return its path."""
    sys.path.insert(0, str(HERE))
    import make_video

    path = str(Path(folder, "film.mp4"))
    make_video.main(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
