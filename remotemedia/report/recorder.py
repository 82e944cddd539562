"""What the command line keeps of a run for its report: bounded, however long the run is."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from remotemedia.report.story import Story, name_of
from remotemedia.report.waveform import Waveform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from remotemedia.errors import InputError, NodeError
    from remotemedia.manifest import Manifest

MOST_KEPT = 10_000
MOST_ERRORS = 100
SMALL = (int, float, str, bool, dict, list, tuple)


class Recorder:
    """Keeps outputs, errors and the waveform.

    Parameters
    ----------
    manifest : Manifest
        What is run.
    settings : mapping of str to str
        What else makes it repeatable.
    """

    def __init__(self, manifest: Manifest, settings: Mapping[str, str]) -> None:
        self._manifest = manifest
        self._settings = {**settings, "started": datetime.now(UTC).isoformat(timespec="seconds")}
        self._outputs: list[tuple[str | None, Any]] = []
        self._errors: list[NodeError | InputError] = []
        self._output_count = self._error_count = 0
        self._began_s = time.monotonic()
        self.waveform: Waveform | None = None

    def watched(self, items: Iterable[Any]) -> Iterator[Any]:
        """Give the items, and draw those of audio."""
        for item in items:
            self.hear(item)
            yield item

    def hear(self, item: Any) -> None:
        """Add an item to the waveform, if it is audio."""
        media = sys.modules.get("remotemedia._core.media")
        if media is not None and isinstance(item, media.AudioFrame):
            if self.waveform is None:
                self.waveform = Waveform()
            self.waveform.add(item)

    def add(self, sink: str, item: Any) -> None:
        """Keep what came out, if it is small and there is room."""
        self._output_count += 1
        if len(self._outputs) < MOST_KEPT:
            self._outputs.append((sink, item if isinstance(item, SMALL) else _Shown(repr(item)[:200])))

    def add_error(self, error: NodeError | InputError) -> None:
        """Keep what failed, if there is room."""
        self._error_count += 1
        if len(self._errors) < MOST_ERRORS:
            self._errors.append(error)

    def story(self, metrics: dict[str, Any], status: str, engine: str, failure: BaseException | None) -> Story:
        """Return the story of the run that ended."""
        failed = sum(counts["failed"] for counts in metrics["nodes"].values()) if metrics else 0
        refused = metrics.get("refused", 0)
        return Story(
            title=name_of(self._manifest),
            status=status,
            engine=engine,
            manifest=self._manifest,
            metrics=metrics,
            results=self._outputs,
            result_count=self._output_count,
            errors=self._errors,
            error_count=max(self._error_count, failed + refused),
            failure=failure,
            waveform=self.waveform,
            settings=self._settings,
        )


class _Shown:
    """Stands for an item that is not kept: frames would hold hours of audio."""

    def __init__(self, told: str) -> None:
        self._told = told

    def __repr__(self) -> str:
        return self._told
