"""The text nodes: operations, and sentences whatever pieces they come in."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remotemedia as rm
from remotemedia import NodeContext, Text
from remotemedia.nodes.text import CHANGES, COUNTS, TextCollector, TextProcessor, clusters


def made(node_class: type[Any], **params: Any) -> Any:
    node = node_class()
    node.initialize(NodeContext("n1", node_class.__name__, params))
    return node


def processed(text: Any, *operations: str) -> Any:
    return made(TextProcessor, operations=list(operations)).process(text)


class TestTextProcessor:
    @pytest.mark.parametrize(
        ("operation", "text", "expected"),
        [
            ("uppercase", "straße", "STRASSE"),
            ("lowercase", "ÄB", "äb"),
            ("casefold", "Straße", "strasse"),
            ("title", "good morning", "Good Morning"),
            ("capitalize", "gOOD morning", "Good morning"),
            ("strip", " \ta b\n", "a b"),
            ("collapse", "  a \n b  ", "a b"),
            ("reverse", "abc", "cba"),
            ("reverse_words", "one two  three", "three two one"),
            ("word_count", "one  two\nthree ", 3),
            ("char_count", "abc", 3),
            ("line_count", "a\nb\r\nc", 3),
            ("word_count", "", 0),
        ],
    )
    def test_each_operation(self, operation: str, text: str, expected: Any) -> None:
        assert processed(text, operation) == expected

    def test_what_a_reader_sees_as_one_character_stays_whole(self) -> None:
        whole = ["e\u0301", "👨\u200d👩\u200d👧", "🇩🇪", "🇫🇷", "👍🏽", "❤\ufe0f", "1\ufe0f\u20e3", "a\u200c", "x"]
        whole.append("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f")
        assert clusters("".join(whole)) == whole
        assert processed("".join(whole), "reverse") == "".join(whole[::-1])
        assert processed("".join(whole), "char_count") == len(whole)
        assert processed("\u0301a", "reverse") == "a\u0301"

    def test_operations_follow_each_other(self) -> None:
        assert processed(" go  on ", "collapse", "uppercase", "reverse") == "NO OG"
        assert processed(" go  on ", "word_count", "collapse", "char_count") == 5
        assert made(TextProcessor, operations="uppercase").process("a") == "A"

    def test_a_text_keeps_time_and_metadata_and_has_counts_there(self) -> None:
        text = Text(" go on ", 5, {"speaker": "A"})
        assert processed(text, "strip", "word_count", "uppercase") == Text(
            "GO ON", 5, {"speaker": "A", "word_count": 2}
        )
        assert text.metadata == {"speaker": "A"}
        assert processed(text, "strip").metadata is text.metadata

    @given(st.text())
    def test_reversed_twice_is_the_text_where_it_begins_with_a_letter(self, text: str) -> None:
        text = "x" + text.replace("\r", "")
        parts = clusters(text)
        assert "".join(parts) == text
        assert len(parts) == processed(text, "char_count")

    @pytest.mark.parametrize(
        ("given_", "fault"),
        [
            (None, "must be one or a list of uppercase, "),
            ([], "must be one or a list of"),
            ("shout", "has 'shout'; there are uppercase, "),
            (["strip", 3], "has 3; there are"),
            ([["strip"]], r"has \['strip'\]; there are"),
        ],
    )
    def test_wrong_operations(self, given_: Any, fault: str) -> None:
        with pytest.raises(ValueError, match=f"param 'operations' {fault}"):
            made(TextProcessor, operations=given_)

    def test_what_is_no_text_is_refused(self) -> None:
        for node in (made(TextProcessor, operations="strip"), made(TextCollector)):
            with pytest.raises(TypeError, match="takes Text items or strings, got bytes"):
                node.process(b"a")

    def test_all_are_described(self) -> None:
        for name in (*CHANGES, *COUNTS):
            assert f"`{name}`" in (TextProcessor.__doc__ or "")

    def test_numpy_is_not_needed(self) -> None:
        code = (
            "import sys; sys.modules['numpy'] = None; import remotemedia as rm; "
            "print(rm.Pipeline('t').add('TextProcessor', params={'operations': 'uppercase'}).run(['a']).results)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "['A']\n"


def collected(pieces: list[Any], **params: Any) -> list[Any]:
    node = made(TextCollector, **params)
    return [sentence for piece in pieces for sentence in node.process(piece)] + node.flush()


class TestTextCollector:
    @pytest.mark.parametrize(
        ("text", "sentences"),
        [
            ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
            ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
            ("It is 3.14 or so. Fine.", ["It is 3.14 or so.", "Fine."]),
            ("See e.g. this. Dr. Who and J. Smith came. Go.", ["See e.g. this.", "Dr. Who and J. Smith came.", "Go."]),
            ("It costs 5 etc. and more. Ok.", ["It costs 5 etc. and more.", "Ok."]),
            ("Wait... What?! Yes", ["Wait...", "What?!", "Yes"]),
            ("Wait… What", ["Wait…", "What"]),
            ("你好。再见！好吗？嗯", ["你好。", "再见！", "好吗？", "嗯"]),
            ("他说「好。」然后走了。", ["他说「好。」", "然后走了。"]),
            ("A line\n\nAnother line", ["A line", "Another line"]),
            ("(He left.) She stayed.", ["(He left.)", "She stayed."]),
            ("So do I. Yes.", ["So do I.", "Yes."]),
            ("www.example.org is a site. Go.", ["www.example.org is a site.", "Go."]),
            ("Did you? No. I did not.", ["Did you?", "No.", "I did not."]),
            ("See No. 5 and Fig. 3 now. Go.", ["See No. 5 and Fig. 3 now.", "Go."]),
            ("Cups, pots etc. Then tea.", ["Cups, pots etc.", "Then tea."]),
            ("1. Buy milk.\n 22. Get bread. Go.", ["1. Buy milk.", "22. Get bread.", "Go."]),
            ("How many? 5. Then 6.", ["How many?", "5.", "Then 6."]),
            ("He came in 2024. Then he left.", ["He came in 2024.", "Then he left."]),
            ("好！！你？！真的。。。好", ["好！！", "你？！", "真的。。。", "好"]),
            ("A line\r\n\r\nB\n \t\nC\nD", ["A line", "B", "C\nD"]),
            ("   ", []),
            ("", []),
        ],
    )
    def test_sentences(self, text: str, sentences: list[str]) -> None:
        assert collected([text]) == sentences
        assert collected(list(text)) == sentences

    def test_a_sentence_comes_as_soon_as_the_text_behind_it_tells(self) -> None:
        node = made(TextCollector)
        out = [node.process(piece) for piece in ("Good mor", "ning. ", "How are you today, ", "my friend? And")]
        assert out == [[], [], ["Good morning."], ["How are you today, my friend?"]]
        assert node.process("then what followed") == []
        assert node.flush() == ["Andthen what followed"]
        assert node.flush() == []

    @pytest.mark.parametrize(
        ("pieces", "at"),
        [
            (["Go!", " "], 1),
            (["Go.", " ", "N"], 2),
            (["走。", "你"], 1),
            (["Wait...", " "], 1),
            (["Yes\n", "\n"], 1),
            (["He said: “go.", "”", " "], 2),
            (["It is 3.", "5 km.", " ", " ", "T"], 4),
        ],
    )
    def test_no_piece_is_waited_for_that_is_not_needed(self, pieces: list[str], at: int) -> None:
        node = made(TextCollector)
        assert [bool(node.process(piece)) for piece in pieces] == [n == at for n in range(len(pieces))]

    @given(
        st.lists(st.sampled_from([*"ab1. !?…\n\r\"')。！」", "Dr", "No", "e.g", "Go", "  ", "...", "I"]), max_size=60),
        st.lists(st.integers(0, 80), max_size=12),
        st.sampled_from([1, 2, 3, 5, 10, 1000]),
    )
    def test_how_the_text_was_cut_makes_no_difference(self, parts: list[str], cuts: list[int], most: int) -> None:
        text = "".join(parts)
        borders = sorted(min(cut, len(text)) for cut in cuts)
        pieces = [text[a:b] for a, b in zip([0, *borders], [*borders, len(text)], strict=True)]
        whole = collected([text], max_chars=most)
        assert collected(pieces, max_chars=most) == whole
        assert collected(list(text), max_chars=most) == whole
        assert "".join("".join(whole).split()) == "".join(text.split())  # nothing is lost
        assert all(0 < len(sentence) <= most for sentence in whole)

    def test_the_time_is_that_of_the_piece_in_which_a_sentence_begins(self) -> None:
        pieces = [
            Text("One. T", 1, {"a": 1}),
            Text("wo is ", 2, {"a": 2}),
            Text("longer. ", 3),
            Text("Three", 4, {"a": 4}),
        ]
        assert collected(pieces) == [
            Text("One.", 1, {"a": 1}),
            Text("Two is longer.", 1, {"a": 1}),
            Text("Three", 4, {"a": 4}),
        ]

    def test_words_are_put_together_with_a_separator(self) -> None:
        words = [Text(word, n) for n, word in enumerate(["Good", "morning.", "How", "are", "you?"])]
        assert collected(words, separator=" ") == [Text("Good morning.", 0), Text("How are you?", 2)]

    def test_a_sentence_that_is_too_long_is_cut_at_white_space(self) -> None:
        assert collected(["one two three four"], max_chars=9) == ["one two", "three", "four"]
        assert collected(["x" * 25], max_chars=10) == ["x" * 10, "x" * 10, "x" * 5]

    def test_memory_stays_bounded_without_an_end(self) -> None:
        node = made(TextCollector, max_chars=100)
        for _ in range(10_000):
            node.process("word ")
        assert len(node._held) < 300
        assert len(node._starts) < 100

    def test_a_cut_that_parts_full_stops_is_as_if_they_came_alone(self) -> None:
        text = "b\nbX.!!.\nb! a..b..!!a"
        assert collected(list(text), max_chars=5) == collected([text], max_chars=5)

    def test_empty_pieces_take_no_room_and_no_separator(self) -> None:
        node = made(TextCollector, separator="-")
        for piece in ["One", *[""] * 1000, "two"]:
            node.process(piece)
        assert len(node._starts) == 2
        assert node.flush() == ["One-two"]

    def test_a_run_without_an_end_is_not_waited_for(self) -> None:
        for run in ("。", "。」", "\n", "! "):
            node = made(TextCollector, max_chars=50)
            for _ in range(500):
                node.process(run)
            assert len(node._held) < 100

    def test_over_both_engines_in_a_session_that_goes_on(self, engine: str) -> None:
        manifest = rm.Pipeline("t").add("TextCollector").add("TextProcessor", params={"operations": ["uppercase"]})
        with rm.Executor(engine=engine).open(manifest.to_manifest()) as session:
            for _ in range(2):
                assert session.run(["One. Tw", "o"]).results == ["ONE.", "TWO"]
