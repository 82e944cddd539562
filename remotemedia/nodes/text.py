"""Text nodes: `TextProcessor` and `TextCollector`. They need nothing but Python.

They take `Text` items or plain strings and give the kind that they took; of a `Text` time and metadata stay.
"""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from remotemedia._core.media import Text
from remotemedia._core.node import NodeContext, NodeExecutor
from remotemedia.errors import bounded_repr
from remotemedia.nodes.params import Params

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JOINER, NON_JOINER = "\u200d", "\u200c"


def text_of(item: object, node: str) -> str:
    """Return the text of an item; TypeError if it has none."""
    if isinstance(item, Text):
        return item.text
    if isinstance(item, str):
        return item
    raise TypeError(f"{node} takes Text items or strings, got {type(item).__name__}")


def clusters(text: str) -> list[str]:
    """Return the characters of a text as a reader sees them: marks, joined emoji and flags stay whole.

    An approximation of the grapheme clusters of Unicode's UAX 29, without Hangul syllables in letters and Indic
    conjuncts.
    """
    starts: list[int] = []
    flags = 0  # regional indicators in the last cluster
    before = ""
    for i, c in enumerate(text):
        point = ord(c)
        is_flag = 0x1F1E6 <= point <= 0x1F1FF
        extends = (
            unicodedata.combining(c)
            or unicodedata.category(c) in ("Mn", "Me", "Mc")
            or c in (JOINER, NON_JOINER)
            or 0x1F3FB <= point <= 0x1F3FF
            or 0xE0020 <= point <= 0xE007F  # tags: the flags of regions
            or before == JOINER
            or (is_flag and flags == 1)
            or (c == "\n" and before == "\r")
        )
        if not (extends and starts):
            starts.append(i)
        flags = flags + 1 if is_flag and flags < 2 and extends else int(is_flag)
        before = c
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


CHANGES: dict[str, Callable[[str], str]] = {
    "uppercase": str.upper,
    "lowercase": str.lower,
    "casefold": str.casefold,
    "title": str.title,
    "capitalize": str.capitalize,
    "strip": str.strip,
    "collapse": lambda text: " ".join(text.split()),
    "reverse": lambda text: "".join(reversed(clusters(text))),
    "reverse_words": lambda text: " ".join(reversed(text.split())),
}
COUNTS: dict[str, Callable[[str], int]] = {
    "word_count": lambda text: len(text.split()),
    "char_count": lambda text: len(clusters(text)),
    "line_count": lambda text: len(text.splitlines()),
}


class TextProcessor(NodeExecutor):
    """Change texts, or count in them; several operations one after the other.

    Takes `Text` and strings. `uppercase`, `lowercase`, `casefold`, `title`, `capitalize`, `strip`, `collapse` (each run
    of white space to one space), `reverse` (by characters as a reader sees them) and `reverse_words` give the changed
    text. `word_count`, `char_count` (as a reader sees them) and `line_count` add their count to the metadata of a
    `Text`; of a string, which has none, the last count is what is given.
    """

    PARAMS: ClassVar[Mapping[str, str]] = {
        "operations": "a list of operations, or one (required)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        given = context.params.get("operations")
        names = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
        known = [*CHANGES, *COUNTS]
        if not names:
            raise params.error("operations", f"must be one or a list of {', '.join(known)}, not {bounded_repr(given)}")
        for name in names:
            if not isinstance(name, str) or name not in known:
                raise params.error("operations", f"has {bounded_repr(name)}; there are {', '.join(known)}")
        self._names: list[str] = names

    def process(self, item: str | Text) -> str | int | Text:
        """Return the changed text, or the count."""
        text = text_of(item, "TextProcessor")
        counts: dict[str, int] = {}
        for name in self._names:
            change = CHANGES.get(name)
            if change is not None:
                text = change(text)
            else:
                counts[name] = COUNTS[name](text)
        if isinstance(item, Text):
            return Text(text, item.pts_ns, {**item.metadata, **counts} if counts else item.metadata)
        return counts[next(reversed(counts))] if counts else text


ENDERS = ".!?…"
WIDE_ENDERS = "。！？"
CLOSERS = "\"'”’»)]}」』）】"
MOST_ENDERS, MOST_CLOSERS, MOST_SPACE = 8, 4, 8  # what is looked at, so that no run of them is waited for without end
ABBREVIATIONS = frozenset(
    ("mr", "mrs", "ms", "dr", "prof", "st", "vs", "approx", "e.g", "i.e", "cf", "al", "z.b", "d.h")
)
BEFORE_NUMBERS = frozenset(("no", "nos", "nr", "fig", "figs", "vol", "pp"))
WAIT = -1


class TextCollector(NodeExecutor):
    """Put pieces of text together to sentences: as they come from a recognizer or a language model, piece by piece.

    Takes `Text` and strings; emits a sentence, of the kind of the piece that it begins in and with its time and
    metadata, once the text behind it shows that it has ended. A sentence ends at ``. ! ? …`` with quotes or brackets
    behind it, if white space follows, and at ``。！？`` without; a single full stop ends none behind a common
    abbreviation, an initial, or the number of an item of a list, or where a small letter follows. An empty line ends
    one too. A flush gives the rest.

    How the text was cut into pieces makes no difference to the sentences.
    """

    keeps_state = True

    PARAMS: ClassVar[Mapping[str, str]] = {
        "separator": "what to put between pieces: '' for those of a language model, ' ' for words (default '')",
        "max_chars": "a longer sentence is cut at white space before that, or there, in characters (default 1000)",
    }

    def initialize(self, context: NodeContext) -> None:
        """Read the params."""
        params = Params(context, self.PARAMS)
        self._separator: str = params.value("separator", str, required=False) or ""
        self._max_chars = params.whole("max_chars") or 1000
        self._reset()

    emits = "many"

    def process(self, item: str | Text) -> list[str | Text]:
        """Return the sentences that have ended with this piece."""
        text = text_of(item, "TextCollector")
        if not text:
            return []
        if self._held and self._separator:
            text = self._separator + text
        self._starts.append((len(self._held), item))
        self._held += text
        return self._sentences(at_end=False)

    def flush(self) -> list[str | Text]:
        """Return the rest."""
        left = self._sentences(at_end=True)
        self._reset()
        return left

    def _reset(self) -> None:
        self._held = ""
        self._looked = 0  # up to where no sentence can end
        self._starts: list[tuple[int, str | Text]] = []  # of each piece: where in what is held it begins

    def _sentences(self, *, at_end: bool) -> list[str | Text]:
        found: list[str | Text] = []
        begin = 0
        while (end := self._end_of_first(begin, at_end)) != WAIT:
            found += self._made(begin, end)
            begin = end
            self._looked = begin
        self._drop(begin)
        return found

    def _end_of_first(self, begin: int, at_end: bool) -> int:
        """Return where the first sentence from `begin` ends, or WAIT if what is held does not tell."""
        held, most = self._held, begin + self._max_chars
        position = max(self._looked, begin)
        while position < len(held):
            if position >= most:
                return self._cut(begin, most)
            end = _end_at(held, position, begin, at_end)
            if end == WAIT:
                return WAIT
            if end:
                return min(end, most)
            position += 1
            self._looked = position
        return len(held) if at_end and begin < len(held) else WAIT

    def _cut(self, begin: int, most: int) -> int:
        """Return where to cut a sentence that is too long: behind the last white space, if there is any."""
        for position in range(most, begin, -1):
            if self._held[position - 1].isspace():
                return position
        return most

    def _made(self, begin: int, end: int) -> list[str | Text]:
        text = self._held[begin:end]
        sentence = text.strip()
        if not sentence:
            return []
        first = begin + len(text) - len(text.lstrip())
        piece = next(item for start, item in reversed(self._starts) if start <= first)
        return [piece.replace(text=sentence) if isinstance(piece, Text) else sentence]

    def _drop(self, count: int) -> None:
        """Let go of what was given."""
        if not count:
            return
        self._held = self._held[count:]
        self._looked -= count
        shifted = [(start - count, item) for start, item in self._starts]
        last = max((i for i, (start, _) in enumerate(shifted) if start <= 0), default=0)
        self._starts = shifted[last:] if self._held else []


def _end_at(text: str, position: int, begin: int, at_end: bool) -> int:
    """Return where a sentence ends whose last letter is at `position`; 0 if none does; WAIT if more text must tell.

    What it looks at is the sentence, from `begin` on, and what comes behind it; never what was before, which may be
    gone by then.
    """
    c = text[position]
    if c == "\n":
        return _behind_empty_line(text, position, at_end)
    if c in WIDE_ENDERS:
        end = _behind(text, position, ENDERS + WIDE_ENDERS, MOST_ENDERS)
        end = _behind(text, end, CLOSERS, MOST_CLOSERS)
        return end if end < len(text) or at_end else WAIT
    if c not in ENDERS:
        return 0
    end = _behind(text, position + 1, CLOSERS, MOST_CLOSERS)
    if end == len(text):
        return end if at_end else WAIT
    if text[position + 1] in ENDERS + WIDE_ENDERS or not text[end].isspace():  # of "..." the last one counts
        return 0
    if c == "." and end == position + 1 and (position == begin or text[position - 1] not in ENDERS):
        return _end_at_full_stop(text, position, begin, at_end)
    return end


def _end_at_full_stop(text: str, position: int, begin: int, at_end: bool) -> int:
    """Return where a sentence ends that has a single full stop at `position`, and white space behind it."""
    words = text[max(begin, position - 12) : position].split()
    word = words[-1] if words else ""
    line = text[max(begin, position - len(word) - MOST_SPACE) : position - len(word)]
    if word.isdecimal() and len(word) <= 3 and (not line or line.rstrip(" \t").endswith("\n")):
        return 0  # the number of an item of a list
    word = word.lstrip("(\"'“‘«[").lower()
    if word in ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "i"):
        return 0
    behind = position + 1
    while behind < len(text) and behind <= position + MOST_SPACE and text[behind].isspace():
        behind += 1
    if behind == len(text):
        return position + 1 if at_end else WAIT
    goes_on = text[behind].islower() or (word in BEFORE_NUMBERS and text[behind].isdecimal())
    return 0 if goes_on else position + 1


def _behind_empty_line(text: str, position: int, at_end: bool) -> int:
    """Return where the empty line ends that follows a line's end; 0 if it is not empty."""
    end = _behind(text, position + 1, " \t\r", MOST_SPACE)
    if end == len(text):
        return 0 if at_end else WAIT
    return end + 1 if text[end] == "\n" else 0


def _behind(text: str, position: int, run: str, most: int) -> int:
    """Return where a run of such characters, of `most` at most, is over."""
    most += position
    while position < len(text) and position < most and text[position] in run:
        position += 1
    return position
