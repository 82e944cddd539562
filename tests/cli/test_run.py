from __future__ import annotations

import json

import pytest
from helpers import chain_manifest, odd

from remotemedia.cli import main


@pytest.mark.parametrize("engine", ["cython", "reference"])
def test_standard_input_goes_to_standard_output(echo, feed, capsys, engine):
    feed(b'1\n{"a": [null, true, 2.5]}\n"x"')
    assert main(["run", echo, "--engine", engine]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["input"] for line in out.splitlines()] == [1, {"a": [None, True, 2.5]}, "x"]
    assert err == ""


def test_files_in_and_out(echo, tmp_path, capsys):
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf1\r\n\r\n  \n2\r\n")
    out = tmp_path / "out.jsonl"
    out.write_text("of an earlier run\n" * 99)
    assert main(["run", echo, "-i", str(tmp_path / "in.jsonl"), "-o", str(out)]) == 0
    assert [json.loads(line)["input"] for line in out.read_text().splitlines()] == [1, 2]
    assert capsys.readouterr().out == ""


def test_empty_input_flushes_and_is_done(tmp_path, feed, capsys):
    feed(b"\n\n")
    assert main(["run", chain_manifest(tmp_path, ("Batcher", {"size": 2}))]) == 0
    assert capsys.readouterr().out == ""


def test_flushed_items_are_written(tmp_path, feed, capsys):
    feed(b"1\n2\n3")
    assert main(["run", chain_manifest(tmp_path, ("Batcher", {"size": 2}))]) == 0
    assert capsys.readouterr().out == "[1, 2]\n[3]\n"


def test_a_broken_line_is_named_and_what_was_finished_is_written(echo, feed, capsys):
    feed(b'1\n\n2\n{"a" 3}\n4\n')
    assert main(["run", echo]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err.startswith("remotemedia: error: line 4 of <stdin> is not JSON: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("line", [b"NaN", b"1e999", b'"\xff"', b"[" * 100_000, b"1 2", b"{", b"'a'", b"\xff\xfe1\0"])
@pytest.mark.parametrize("policy", ["stop", "skip", "collect"])
def test_a_line_that_is_not_json_ends_the_run_under_any_policy(echo, feed, capsys, line, policy):
    feed(b"1\n" + line + b"\n3\n")
    assert main(["run", echo, "--on-error", policy]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert "line 2 of <stdin> is " in err


@pytest.mark.parametrize(
    ("line", "half"),
    [
        (rb'"\ud800"', "ud800"),
        (rb'{"a": "\uDBFFabc"}', "uDBFF"),
        (rb'["\udc00"]', "udc00"),
        (rb'"\ud83d\ude00 \ud83d\u0041"', "ud83d"),
        (rb'"\\\\\udfff"', "udfff"),
    ],
)
def test_half_of_a_surrogate_pair_is_named(echo, feed, capsys, line, half):
    feed(b"1\n\n" + line + b"\n")
    assert main(["run", echo]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert err == (
        f"remotemedia: error: line 3 of <stdin> holds a lone surrogate (\\{half}), which no UTF-8 text can hold\n"
    )


@pytest.mark.parametrize("line", [rb'"\\ud800', rb'{"\ud83d\ude00"', rb'["\ud800"', rb'"\ud8"'])
def test_other_faults_of_a_line_with_escapes_are_told_as_such(echo, feed, capsys, line):
    feed(line)
    assert main(["run", echo]) == 1
    err = capsys.readouterr().err
    assert err.startswith("remotemedia: error: line 1 of <stdin> is not JSON: ")
    assert "surrogate" not in err or "ud8" not in err


def test_a_null_line_is_refused_by_its_line_number(echo, feed, capsys):
    feed(b"1\n\nnull\n2\n")
    assert main(["run", echo]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert err == (
        "remotemedia: error: item 1 is None, which no pipeline takes: None means filtered\n  at line 3 of <stdin>\n"
    )


def test_collect_tells_each_failure_with_its_line(tmp_path, feed, capsys):
    feed(b'8\n\nnull\n"x"\n\n2\n')
    manifest = chain_manifest(tmp_path, ("Multiply", {"multiplier": 2}))
    assert main(["run", manifest, "--on-error", "collect"]) == 0
    out, err = capsys.readouterr()
    assert [float(x) for x in out.split()] == [16, 4]
    lines = err.splitlines()
    assert lines[0] == "remotemedia: 2 failed and dropped (--on-error collect)"
    assert lines[1].startswith("  line 3 of <stdin>: item 1 is None")
    assert lines[2].startswith("  line 4 of <stdin>: node 'n0' (Multiply) failed in process at item 2: ")


def test_collect_tells_twenty_failures_at_most(tmp_path, feed, capsys):
    feed(b"null\n" * 50)
    assert main(["run", chain_manifest(tmp_path, ("PassThrough", {})), "--on-error", "collect"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  and 30 more"


def test_collect_tells_twenty_tracebacks_too_if_asked(tmp_path, feed, capsys, plugins):
    feed(b"1\n" * 50)
    assert main(["run", odd(tmp_path, "item.nothing"), "--on-error", "collect", "--traceback"]) == 0
    err = capsys.readouterr().err
    assert err.count("    Traceback (most recent call last)") == 20
    assert err.endswith("  and 30 more\n")


@pytest.mark.parametrize("policy", ["skip", "collect"])
@pytest.mark.parametrize("last", [b"{", b"0"])
def test_what_was_dropped_is_told_when_the_run_fails_later(tmp_path, feed, capsys, plugins, policy, last):
    feed(b'1\n\n"x"\nnull\n2\n' + last)
    manifest = chain_manifest(tmp_path, ("Multiply", {"multiplier": 1}), ("Odd", {"give": "item or {1}"}))
    assert main(["run", manifest, "--on-error", policy]) == 1
    out, err = capsys.readouterr()
    assert out == "1\n2\n"
    lines = err.splitlines()
    assert lines[:2] == ["cleaned up", f"remotemedia: 2 failed and dropped (--on-error {policy})"]
    if policy == "collect":
        assert lines[2].startswith("  line 3 of <stdin>: node 'n0' (Multiply) failed in process at item 1: ")
        assert lines[3].startswith("  line 4 of <stdin>: item 2 is None")
    assert lines[-1].startswith("remotemedia: error: ")


def test_what_was_dropped_is_told_after_an_interrupt(tmp_path, feed, capsys, plugins):
    feed(b"null\n1\n")
    assert main(["run", odd(tmp_path, "signal.raise_signal(signal.SIGINT)"), "--on-error", "collect"]) == 130
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["cleaned up", "remotemedia: 1 failed and dropped (--on-error collect)"]
    assert lines[2].startswith("  line 1 of <stdin>: item 0 is None")
    assert lines[3:] == ["remotemedia: interrupted"]


def test_skip_tells_how_many(tmp_path, feed, capsys):
    feed(b"null\n1\n")
    assert main(["run", chain_manifest(tmp_path, ("PassThrough", {})), "--on-error", "skip"]) == 0
    assert capsys.readouterr() == ("1\n", "remotemedia: 1 failed and dropped (--on-error skip)\n")


def test_a_failing_node_ends_the_run(tmp_path, feed, capsys):
    feed(b'6\n\n"x"\n1\n')
    assert main(["run", chain_manifest(tmp_path, ("Multiply", {"multiplier": 1}))]) == 1
    out, err = capsys.readouterr()
    assert float(out) == 6
    lines = err.splitlines()
    assert lines[0].startswith("remotemedia: error: node 'n0' (Multiply) failed in process at item 1: ")
    assert lines[1:] == ["  at line 3 of <stdin>", "  the node was given (str): 'x'"]


def test_a_wrong_param_fails_at_initialize(tmp_path, feed, capsys):
    feed(b"1\n")
    assert main(["run", chain_manifest(tmp_path, ("Multiply", {}))]) == 1
    assert "node 'n0' (Multiply) failed in initialize" in capsys.readouterr().err


def test_the_traceback_is_shown_when_asked_for(tmp_path, feed, capsys, plugins):
    feed(b"1\n")
    assert main(["run", odd(tmp_path, "item.nothing"), "--traceback"]) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "oddities.py" in err
    assert err.count("remotemedia: error:") == 1


def test_metrics_are_told_on_standard_error(echo, feed, capsys):
    feed(b"1\n2\n")
    assert main(["run", echo, "--metrics"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    lines = err.splitlines()
    assert lines[0].startswith("remotemedia: completed, 2 items in, 2 written, ")
    counts, times = ["in", "passed", "filtered", "failed", "out", "flushed"], ["p50", "p95", "p99", "max"]
    assert lines[1].replace(" µs", "").split() == ["node", *counts, "time", "ms", *times]
    assert lines[3].split()[:-5] == ["n1", "2", "2", "0", "0", "2", "0"]
    time_ms, p50, p95, p99, longest = map(float, lines[3].split()[-5:])
    assert 0 <= p50 <= p95 <= p99 <= longest <= time_ms * 1000 + 0.51


def test_metrics_of_a_failed_run_are_those_of_what_was_finished(echo, feed, capsys):
    feed(b"1\nnull\n")
    assert main(["run", echo, "--metrics"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("remotemedia: failed, 2 items in, 1 refused, ")
    assert "remotemedia: error: item 1 is None" in err
