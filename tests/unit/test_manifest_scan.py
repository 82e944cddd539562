"""The lexical scan against a plain parser, and on bytes that are no JSON."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remotemedia._core.jsonscan import BROKEN, DEEP, REPEATED, WATCHED, KeyScanner

SCANNER = KeyScanner(["host", "run", "a"], 3)
KEYS = st.sampled_from(["a", "b", "host", "ho st", "", "é", "😀", '"', "\\", "\n", "\u2028", "b" * 40]) | st.text(
    max_size=3
)


def escape(key: str, everything: bool) -> str:
    """A key as JSON text, each character escaped or not."""
    if not everything:
        return json.dumps(key, ensure_ascii=False)
    units = key.encode("utf-16-be", "surrogatepass")
    return '"' + "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2)) + '"'


@st.composite
def objects(draw, values):
    pairs = draw(st.lists(st.tuples(KEYS, st.booleans(), values), max_size=draw(st.sampled_from([3, 6, 40]))))
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    inner = f",{space}".join(f"{escape(key, everything)}{space}:{space}{value}" for key, everything, value in pairs)
    return f"{{{space}{inner}{space}}}"


LEAVES = st.sampled_from(["null", "true", "-1.5e3", '"host"', '"}{][,:"', '"\\"a\\": 1"', '"\\\\"', "{}", "[]", '"a"'])
TEXTS = st.recursive(
    LEAVES,
    lambda inner: objects(inner) | st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=30,
)


class Oracle:
    """What a plain parser sees of keys and nesting."""

    def __init__(self, text: str) -> None:
        self.repeated = self.watched = False
        self.depth = self.depth_of(json.loads(text, object_pairs_hook=tuple))

    def depth_of(self, value, depth=0) -> int:
        if isinstance(value, tuple):
            keys = [key for key, _ in value]
            self.repeated |= len(set(keys)) < len(keys)
            self.watched |= depth < 3 and not {"host", "run", "a"}.isdisjoint(keys)
            value = [item for _, item in value]
        return 1 + max((self.depth_of(item, depth + 1) for item in value), default=0) if isinstance(value, list) else 0


@settings(max_examples=400)
@given(TEXTS)
def test_the_scan_agrees_with_a_plain_parser(text):
    oracle = Oracle(text)
    found = SCANNER.scan(text.encode("utf-8", "surrogatepass"), 100)
    assert bool(found & REPEATED) == oracle.repeated
    assert bool(found & WATCHED) == oracle.watched
    assert not found & (DEEP | BROKEN)
    if oracle.depth:
        assert not SCANNER.scan(text.encode("utf-8", "surrogatepass"), oracle.depth) & DEEP
    if oracle.depth > 1:
        assert SCANNER.scan(text.encode("utf-8", "surrogatepass"), oracle.depth - 1) & DEEP


@settings(max_examples=400)
@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\au0 host', max_size=100).map(str.encode))
def test_any_bytes_are_scanned_without_harm(data):
    assert 0 <= SCANNER.scan(data, 5) <= 15


@settings(max_examples=150)
@given(TEXTS, st.data())
def test_a_cut_or_changed_text_is_scanned_without_harm(text, data):
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    cut = data.draw(st.integers(0, len(raw)))
    raw[cut : cut + 1] = data.draw(st.binary(max_size=3))
    SCANNER.scan(bytes(raw), 50)
    SCANNER.scan(bytes(raw[:cut]), 50)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"b":1,"c":2}', 0),
        ('{"b":1,"b":2}', REPEATED),
        ('{"b":1,"\\u0062":2}', REPEATED),
        ('{"\\u0062":1,"b":2}', REPEATED),
        ('{"\\ud83d\\ude00":1,"😀":2}', REPEATED),
        ('{"b":{"b":1},"c":[{"b":1},{"b":1}]}', 0),
        ('{"b":{"c":1},"d":{"e":1},"b":1}', REPEATED),
        ('{"b":"host"}', 0),
        ('["host", "run"]', 0),
        ('{"b":{"host":1}}', WATCHED),
        ('{"hos\\u0074":1}', WATCHED),
        ('[[{"host":1}]]', WATCHED),
        ('[[[{"host":1, "hos\\u0074s":1}]]]', 0),
        ('{"hosts":1, "hos":2, "Host":3}', 0),
        ("[[[[[[]]]]]]", DEEP),
        ("]", BROKEN),
        ("[}", BROKEN),
        ('"', BROKEN),
        ('{"\\x":1}', BROKEN),
        ("", 0),
    ],
)
def test_what_is_found(text, found):
    assert SCANNER.scan(text.encode(), 5) == found


@pytest.mark.parametrize("n", [15, 16, 17, 18, 1000])
@pytest.mark.parametrize("twice", [0, 14, -1])
def test_a_repeated_key_is_found_in_objects_of_any_size(n, twice):
    keys = [f"k{i}" for i in range(n)]
    text = "{" + ",".join(f'"{key}":{{"x":1}}' for key in keys) + "}"
    assert SCANNER.scan(text.encode(), 5) == 0
    assert SCANNER.scan(f'{text[:-1]},"{keys[twice]}":1}}'.encode(), 5) == REPEATED


def test_many_keys_cost_linear_time():
    def seconds(n: int) -> float:
        text = json.dumps({f"key{i}": i for i in range(n)}).encode()
        started = time.perf_counter()
        assert SCANNER.scan(text, 5) == 0
        return time.perf_counter() - started

    seconds(1000)
    assert min(seconds(100_000) for _ in range(3)) < 100 * max(min(seconds(10_000) for _ in range(3)), 1e-4)


@pytest.mark.parametrize("depth", [0, -1, 100_001])
def test_a_depth_out_of_range_is_refused(depth):
    with pytest.raises(ValueError, match="max_depth"):
        SCANNER.scan(b"{}", depth)


@pytest.mark.parametrize("watched", [[""], ["x" * 33], [f"k{i}" for i in range(65)]])
def test_watched_keys_have_bounds(watched):
    with pytest.raises(ValueError, match="watched keys"):
        KeyScanner(watched, 3)


@pytest.mark.parametrize("text", ["{}", None, bytearray(b"{}")])
def test_only_bytes_are_scanned(text):
    with pytest.raises(TypeError):
        SCANNER.scan(text, 5)
