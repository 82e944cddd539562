"""The report of a run: one HTML page that needs nothing else, drawn from what runs record anyway.

    page        the sections, and what stands in them
    pipeline    the graph as a picture, laid out by `layout`
    histogram   how long the calls of a node took
    waveform    the audio, gathered in bounded memory, and the segments on it
    markup      the one way in which text becomes HTML: escaped, bounded, without what a reader cannot see
    style       the look
    recorder    what the command line keeps of a run for its report

Plain Python puts the page together: a template library would be one more thing to install for twenty small pieces, and
its escaping something to switch on rather than the only way. The page has no script, and its policy forbids any.
"""

from remotemedia.report.page import report_html, summary_html
from remotemedia.report.story import Story, story_of
from remotemedia.report.waveform import Waveform

__all__ = ["Story", "Waveform", "report_html", "story_of", "summary_html"]
