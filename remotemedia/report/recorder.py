"""What the command line keeps of a run for its report: bounded, however long the run is."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from remotemedia.errors import bounded_repr
from remotemedia.report.story import MOST_RESULTS, Story, failed_of, name_of
from remotemedia.report.waveform import Segment, Waveform, segments_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from remotemedia.errors import InputError, NodeError
    from remotemedia.manifest import Manifest

MOST_SEGMENTS = 10_000
MOST_ERRORS = 100


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
        self._segments: list[Segment] = []
        self._errors: list[NodeError | InputError] = []
        self._output_count = self._error_count = 0
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
        """Keep what the first outputs look like, and the segments: no item, which may hold hours of audio."""
        self._output_count += 1
        if len(self._outputs) < MOST_RESULTS:
            self._outputs.append((sink, _Shown(bounded_repr(item))))
        if len(self._segments) < MOST_SEGMENTS:
            self._segments += segments_of((item,))

    def add_error(self, error: NodeError | InputError) -> None:
        """Keep what failed, if there is room."""
        self._error_count += 1
        if len(self._errors) < MOST_ERRORS:
            self._errors.append(error)

    def story(self, metrics: dict[str, Any], status: str, engine: str, failure: BaseException | None) -> Story:
        """Return the story of the run that ended."""
        return Story(
            title=name_of(self._manifest),
            status=status,
            engine=engine,
            manifest=self._manifest,
            metrics=metrics,
            results=self._outputs,
            result_count=self._output_count,
            segments=self._segments,
            errors=self._errors,
            error_count=max(self._error_count, failed_of(metrics)),
            failure=failure,
            waveform=self.waveform,
            settings=self._settings,
        )


class _Shown:
    """Stands for an item that is not kept."""

    def __init__(self, told: str) -> None:
        self._told = told

    def __repr__(self) -> str:
        return self._told
