"""YAML as another spelling of JSON: what loads the same, and every fault with its line; with and without libyaml."""

import json
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remotemedia import Manifest, ManifestError, ManifestLimits, ManifestWarning

yaml = pytest.importorskip("yaml")


@pytest.fixture(params=["libyaml", "pure Python"], autouse=True)
def loader(request, monkeypatch):
    if request.param == "pure Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML was built without libyaml")


BLOCK = """\
# a comment
version: v1
metadata:
  name: demo
  created: 2024-01-01
nodes:
  - id: a
    node_type: Echo
    params: {@}
  - id: b
    node_type: Echo
connections:
  - from: a
    to: b
"""


def block(params: str = "") -> str:
    return BLOCK.replace("@", params)


def faults(text, **options):
    with pytest.raises(ManifestError) as caught:
        Manifest.from_yaml(text, **options)
    return [tuple(issue) for issue in caught.value.errors]


def test_a_block_of_yaml():
    manifest = Manifest.from_yaml(block())
    assert manifest.metadata == {"name": "demo", "created": "2024-01-01"}
    assert manifest.graph.execution_order == ["a", "b"]
    assert Manifest.from_yaml(block().encode()) == manifest
    assert Manifest.from_yaml("\ufeff" + block()) == manifest
    assert Manifest.from_yaml(b"\xef\xbb\xbf" + block().encode()) == manifest
    assert Manifest.from_yaml("%YAML 1.2\n---\n" + block() + "...\n") == manifest


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".YML"])
def test_a_file_is_yaml_by_its_suffix(tmp_path, suffix):
    file = tmp_path / f"demo{suffix}"
    file.write_text(block())
    assert Manifest.from_file(file) == Manifest.coerce(file) == Manifest.from_yaml(block())
    file.write_text(block("a: yes"))
    with pytest.raises(ManifestError) as caught:
        Manifest.from_file(file)
    assert caught.value.__notes__ == [f"in {file}"]


def test_any_other_file_is_not(tmp_path):
    file = tmp_path / "demo.json"
    file.write_text(block())
    with pytest.raises(ManifestError, match="not JSON"):
        Manifest.from_file(file)


SCALARS = [
    ("null", None),
    ("~", None),
    ("", None),
    ("Null", None),
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("0", 0),
    ("-0", 0),
    ("12", 12),
    ("-12", -12),
    ("123456789012345678901234567890", 123456789012345678901234567890),
    ("1.5", 1.5),
    ("-0.0", -0.0),
    ("1.0e+3", 1000.0),
    ("1.0E-2", 0.01),
    ("12.5e+1", 125.0),
    ("'1e5'", "1e5"),
    ("'y'", "y"),
    ("text", "text"),
    ("two words", "two words"),
    ("'yes'", "yes"),
    ('"1"', "1"),
    ('"null"', "null"),
    ("'.nan'", ".nan"),
    ('"<<"', "<<"),
    ("2024-01-01", "2024-01-01"),
    ("2024-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
    ("ya", "ya"),
    ("1.2.3", "1.2.3"),
    ("10.0.0.7:7000", "10.0.0.7:7000"),
    ("1st", "1st"),
    ("-", "-"),
    (".", "."),
    ("nan", "nan"),
    ("inf", "inf"),
    ("TRUEish", "TRUEish"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar(text, value):
    if text == "-":
        text = "'-'"
    params = Manifest.from_yaml(block(f"p: {text}")).nodes[0].params
    assert params == {"p": value}
    assert type(params["p"]) is type(value)


def test_block_scalars_are_strings():
    text = block().replace("  created: 2024-01-01", "  a: |\n    1\n  b: >-\n    yes\n    no")
    assert Manifest.from_yaml(text).metadata == {"name": "demo", "a": "1\n", "b": "yes no"}


@pytest.mark.parametrize(
    "text",
    [
        "y",
        "Y",
        "n",
        "N",
        "yes",
        "No",
        "ON",
        "off",
        "0x1F",
        "0o17",
        "0b11",
        "010",
        "1_000",
        "+1",
        ".5",
        "1.",
        "1_0.5",
        "1:30",
        "1:30:00.5",
        "=",
        "1e5",
        "12e03",
        "1E-2",
        "-1e+5",
        "1.5e3",
        "1.5E03",
        "010.5",
        "1.e+3",
        ".5e-1",
        "+1.5",
    ],
)
def test_what_yaml_versions_read_differently_is_refused(text):
    path, message = faults(block(f"p: {text}"))[0]
    assert path == "$.nodes[0].params.p"
    assert message.startswith(
        f"'{text}' (line 9) means one thing or another by YAML version; put a string in quotes, write a number"
    )


FLOAT_1_2 = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
INT_1_2 = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
WORD_1_2 = re.compile(r"null|Null|NULL|~||true|True|TRUE|false|False|FALSE|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
BOOL_1_1 = {"y", "Y", "n", "N"}  # of the specification; PyYAML has left them out


def kinds_of(word):
    """The type that YAML 1.1 (as PyYAML resolves it) and the core schema of YAML 1.2 give a plain scalar."""
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, word, (True, False)).rpartition(":")[2]
    old = "bool" if word in BOOL_1_1 else "str" if tag == "timestamp" else tag
    if INT_1_2.fullmatch(word):
        return old, "int"
    if FLOAT_1_2.fullmatch(word):
        return old, "float"
    if WORD_1_2.fullmatch(word):
        return old, "float" if "." in word else "bool" if word[0] in "tTfF" else "null"
    return old, "str"


PLAIN_WORDS = (
    st.lists(st.sampled_from([*"0123456789+-._eExXobyYnN:~="]), min_size=1, max_size=6).map("".join)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.sampled_from(["true", "Null", "yes", "Off", ".inf", ".NaN", "nULL", "2024-01-01"])
)


@settings(max_examples=500)
@given(PLAIN_WORDS)
def test_a_plain_scalar_is_taken_only_for_what_both_versions_of_yaml_take_it(word):
    try:
        events = list(yaml.parse(f"p: {word}\n", Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        return
    if len(events) != 8 or events[4].value != word or not events[4].implicit[0]:
        return
    try:
        value = Manifest.from_yaml(BLOCK.replace("{@}", f"\n      p: {word}")).nodes[0].params["p"]
    except ManifestError:
        return
    kind = {type(None): "null"}.get(type(value), type(value).__name__)
    assert kinds_of(word) == (kind, kind)


FAULTS = [
    ("p: .nan", "$.nodes[0].params.p", ".nan (line 9) is no JSON number"),
    ("p: .NaN", "$.nodes[0].params.p", ".NaN (line 9) is no JSON number"),
    ("p: .inf", "$.nodes[0].params.p", ".inf (line 9) is no JSON number"),
    ("p: -.Inf", "$.nodes[0].params.p", "-.Inf (line 9) is no JSON number"),
    ("p: 1.0e+999", "$.nodes[0].params.p", "1.0e+999 is beyond the range"),
    ("p: " + "9" * 4301, "$.nodes[0].params.p", "an integer of 4301 digits"),
    ("p: *x", "$.nodes[0].params.p", "alias '*x' (line 9): aliases are not read, write the value out"),
    ("p: [*x]", "$.nodes[0].params.p[0]", "alias '*x' (line 9)"),
    ("*x : 1", "line 9", "alias '*x' (line 9)"),
    ("p: &x 1", "line 9", "anchor '&x': anchors and aliases are not read"),
    ("p: &x {}", "line 9", "anchor '&x'"),
    ("<<: {a: 1}", "line 9", "merge key '<<' (line 9): merge keys are not read, write the keys out"),
    ("p: <<", "$.nodes[0].params.p", "merge key '<<' (line 9)"),
    ("p: !!python/object/apply:os.system [ls]", "line 9", "tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
    ("p: !!str 1", "line 9", "tag 'tag:yaml.org,2002:str': tags are not read, write the plain value"),
    ("p: !mine {}", "line 9", "tag '!mine'"),
    ("p: ! x", "line 9", "tag '!'"),
    ("p: 1, p: 2", "line 9", "duplicate key 'p', given already on line 9; keep one"),
    ("p: 1, 'p': 2", "line 9", "duplicate key 'p'"),
    ("p: {q: 1, q: 1}", "line 9", "duplicate key 'q'"),
    ("1: a", "line 9", "the key 1 is no string; put it in quotes"),
    ("null: a", "line 9", "the key null is no string; put it in quotes"),
    ("true: a", "line 9", "the key true is no string"),
    ("1.5: a", "line 9", "the key 1.5 is no string"),
    ("on: a", "line 9", "'on' (line 9) means one thing or another"),
    ("[a]: 1", "line 9", "a mapping or a sequence as a key; keys are strings"),
    ("{a: 1}: 1", "line 9", "a mapping or a sequence as a key"),
    ("p: \x07", "line 9", "a character that YAML does not allow"),
    ("p: [1", "line ", "not YAML: while parsing a flow "),
    ("p: 'x", "line ", "not YAML: while scanning a quoted scalar"),
    ("p: %x", "line 9, column 17", "not YAML: while scanning for the next token"),
    ("p: @x", "line 9, column 17", "not YAML"),
    ("p: `x`", "line 9, column 17", "not YAML"),
]


@pytest.mark.parametrize(("params", "path", "message"), FAULTS)
def test_a_fault_of_yaml(params, path, message):
    found = faults(block(params))
    assert len(found) == 1
    assert found[0][0] == path or (path == "line " and found[0][0].startswith(path))
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("", "line 1", "the text is empty"),
        ("# nothing\n", "line 1", "the text is empty"),
        ("---\n...\n", "$", "expected an object, got null"),
        ("- a\n", "$", "expected an object, got an array"),
        ("text", "$", "expected an object, got 'text'"),
        (block() + "---\na: 1\n", "line 15", "a second document; a manifest is one"),
        (block() + "--- \n", "line 15", "a second document"),
        ("a: b: c", "line 1, column 5", "not YAML: mapping values are not allowed"),
        ("a:\n\t- b", "line 2, column 1", "not YAML: while scanning for the next token"),
        ("a: 1\n b: 2", "line 2, column 3", "not YAML"),
        (b"a: \xff", "line 1", "byte 3 (0xff) is not UTF-8"),
        (b"a: 1\nb: \xed\xa0\x80", "line 2", "byte 8 (0xed) is not UTF-8"),
        (block().encode("utf-16"), "line 1", "is not UTF-8"),
    ],
)
def test_a_text_that_is_no_manifest(text, path, message):
    found = faults(text)
    assert found[0][0] == path
    assert message in found[0][1]


def test_a_lone_surrogate_is_refused():
    (path, _), *rest = faults(block("p: '\ud800'"))
    assert path == "line 9"
    assert rest == []


def test_a_duplicate_key_names_both_lines():
    text = block().replace("  - id: b\n", "  - id: b\n    copy: true\n    id: b\n")
    assert faults(text) == [("line 12", "duplicate key 'id', given already on line 10; keep one")]


def test_both_spellings_are_duplicates():
    text = block().replace("  - id: b\n", "  - id: b\n    nodeType: Echo\n")
    assert faults(text) == [("$.nodes[1].node_type", "duplicate key, another spelling of 'nodeType'; keep one")]


def test_every_fault_is_named_at_once():
    text = block("p: &x 1, q: *x, r: yes, 1: 2").replace("version: v1", "version: !!str v2").replace("to: b", "to: c")
    assert [path for path, _ in faults(text)] == [
        "line 2",
        "line 9",
        "line 9",
        "$.version",
        "$.nodes[0].params.q",
        "$.nodes[0].params.r",
        "$.connections[0].to",
    ]


def test_nesting_has_a_limit():
    assert Manifest.from_yaml(block("p: " + "[" * 60 + "]" * 60))
    assert faults(block("p: " + "[" * 61 + "]" * 61)) == [
        ("line 9", "nested deeper than 64 levels (ManifestLimits.max_depth)")
    ]


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_very_deep_text_is_refused_without_recursion(text):
    (path, _), *rest = faults(text)
    assert path.startswith("line 1")
    assert rest == []


def test_the_size_has_a_limit():
    size = len(block().encode())
    assert Manifest.from_yaml(block(), limits=ManifestLimits(max_bytes=size))
    for text in (block(), block().encode(), "#" + "ä" * (size // 2)):
        ((path, message),) = faults(text, limits=ManifestLimits(max_bytes=size - 1))
        assert path == "$"
        assert f"at most {size - 1} are allowed (ManifestLimits.max_bytes)" in message


def test_numbers_of_nodes_and_connections_have_limits():
    assert faults(block(), limits=ManifestLimits(max_nodes=1))[0][1].startswith("2 nodes; at most 1")


def test_laughs_by_alias_are_refused_at_once():
    lines = ["a: &a [ha, ha]"] + [f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    found = faults(block().replace("metadata:\n", "metadata:\n  " + "\n  ".join(lines) + "\n"))
    assert len(found) == 9 + 16


@pytest.mark.parametrize("line", ["- yes", "- &a b", "- !t b", "- *a"])
def test_after_very_many_faults_the_check_ends_and_says_so(line):
    text = block("q: 1") + "x-many:\n" + f"{line}\n" * 110_000
    found = faults(text)
    assert len(found) == 100_001
    assert found[-1] == ("$", "more than 100000 faults; the check ended here")


def test_faults_of_yaml_and_of_the_manifest_count_together():
    found = faults(block("q: 1") + "x-many:\n" + "- &a b\n" * 60_000 + "- yes\n" * 60_000)
    assert len(found) == 100_001


def test_keys_that_nothing_acts_on_warn():
    with pytest.warns(ManifestWarning, match=r"'is_streaming' \(\$\.nodes\[1\]\.isStreaming\)") as caught:
        manifest = Manifest.from_yaml(block().replace("  - id: b\n", "  - id: b\n    isStreaming: true\n"))
    assert caught[0].filename == __file__
    assert manifest.nodes[1].is_streaming is True


@pytest.mark.parametrize("way", ["text", "file"])
def test_without_pyyaml_the_extra_is_named(monkeypatch, tmp_path, way):
    monkeypatch.setitem(sys.modules, "yaml", None)
    file = tmp_path / "demo.yaml"
    file.write_text(block())
    with pytest.raises(ImportError, match=r"pip install 'remotemedia\[yaml\]'"):
        Manifest.from_yaml(block()) if way == "text" else Manifest.from_file(file)


WORDS = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], max_codepoint=0xD7FF), max_size=6
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: "e" not in repr(x))  # JSON writes 1e+16
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(st.dictionaries(WORDS, VALUES, max_size=3), st.sampled_from([None, 2]))
def test_json_loads_the_same_as_yaml(params, indent):
    tree = {
        "version": "v1",
        "metadata": {"name": "m"},
        "nodes": [{"id": "a", "node_type": "Echo", "params": params}],
        "connections": [],
    }
    text = json.dumps(tree, indent=indent, ensure_ascii=False)
    assert Manifest.from_yaml(text) == Manifest.from_json(text)


@settings(max_examples=100)
@given(st.text(max_size=60) | st.text(alphabet="a1:-[]{}&*!|>'\"%@`,?# \n\t<~", max_size=60))
def test_any_text_is_a_manifest_or_a_fault(text):
    with pytest.raises(ManifestError) as caught:
        Manifest.from_yaml(text)
    assert caught.value.errors


# "1e5" is a string for YAML 1.1, which PyYAML writes, and a number for YAML 1.2, so it leaves it unquoted; "y" too.
UNLIKE_NUMBERS = WORDS.filter(lambda word: word[:1] not in {*"0123456789+-."} and word not in {*"yYnN"})
WRITTEN = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | UNLIKE_NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(UNLIKE_NUMBERS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(WRITTEN, st.sampled_from([None, True, False]))
def test_what_pyyaml_writes_loads_the_same(value, flow):
    tree = {
        "version": "v1",
        "metadata": {"name": "m"},
        "nodes": [{"id": "a", "node_type": "Echo", "params": {"p": value}}],
        "connections": [],
    }

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data):
            return True

    text = yaml.dump(tree, Dumper=Plain, allow_unicode=True, default_flow_style=flow)
    assert Manifest.from_yaml(text) == Manifest.from_dict(tree)
