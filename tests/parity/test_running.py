"""`MovingAverage` and `RunningStats`: the same bits in both engines, and the truth of exact arithmetic in each."""

import math
import random
import statistics
import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ENGINES, Driver, node, plain

import remotemedia as rm

SPECIAL = [0, -1, 0.0, -0.0, 5e-324, 1e308, -1e308, 1.7976931348623157e308, math.inf, -math.inf, math.nan]
REFUSED = [True, "1", None, 1j, 10**400]
ANY = st.floats() | st.integers(-(2**70), 2**70) | st.sampled_from(SPECIAL)
TAME = st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9)
STATS = ("count", "mean", "variance", "min", "max")
UNIT = 2.0**-53  # the largest relative error of one rounding
TINY = 5e-324  # what a rounding adds where numbers are that small


def results(engine, node_type, items, **params):
    manifest = plain([node("n", node_type, **params)])
    return Driver(engine).executor.execute_with_input(manifest, items).results


def bits(value):
    """A float as its eight bytes, with those of NaN's sign and payload; all else with its type."""
    if isinstance(value, dict):
        return [(key, bits(one)) for key, one in value.items()]
    return struct.pack("d", value) if type(value) is float else (type(value), value)


def both(node_type, items, **params):
    """The results, which are the same in both engines to the bit, and so are counts and errors."""
    outcomes = []
    for engine in ENGINES:
        manifest = plain([node("n", node_type, **params)])
        outcome = Driver(engine).executor.execute_with_input(manifest, items, error_policy="collect")
        counts = {k: v for k, v in outcome.metrics.items() if k != "duration_ns"}
        outcomes.append((outcome.results, [str(error) for error in outcome.errors], counts))
    assert [bits(value) for value in outcomes[0][0]] == [bits(value) for value in outcomes[1][0]]
    assert outcomes[0][1:] == outcomes[1][1:]
    return outcomes[0][0]


@settings(max_examples=600)
@given(st.integers(1, 9), st.lists(ANY | st.sampled_from(REFUSED), max_size=40))
def test_averages_are_the_same_bits(window, items):
    both("MovingAverage", items, window=window)


@settings(max_examples=600)
@given(st.integers(0, 1), st.lists(ANY | st.sampled_from(REFUSED), max_size=20))
def test_statistics_are_the_same_bits(ddof, items):
    both("RunningStats", items, ddof=ddof)


def test_long_sequences_are_the_same_bits():
    rng = random.Random(5)
    items = [rng.choice([rng.gauss(3, 1), rng.uniform(-1e300, 1e300), rng.randrange(10**12)]) for _ in range(20_000)]
    both("MovingAverage", items, window=777)
    both("RunningStats", items)


# --- MovingAverage ---


@settings(max_examples=300)
@given(st.integers(1, 12), st.lists(TAME, min_size=1, max_size=50))
def test_an_average_is_that_of_the_last_numbers(window, items):
    for i, average in enumerate(both("MovingAverage", items, window=window)):
        last = [float(item) for item in items[max(0, i + 1 - window) : i + 1]]
        bound = len(last) * UNIT * statistics.fmean(map(abs, last))
        assert abs(average - statistics.fmean(last)) <= bound + 4 * TINY


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("at", range(8))
def test_an_odd_number_has_an_effect_for_just_as_long_as_it_is_in_the_window(engine, odd, at):
    window = 4
    items = [float(i) for i in range(16)]
    good = results(engine, "MovingAverage", items, window=window)
    items[at] = odd
    averages = results(engine, "MovingAverage", items, window=window)
    for i, average in enumerate(averages):
        if at <= i < at + window:
            assert math.isnan(average) if math.isnan(odd) else average == odd / min(i + 1, window)
        else:
            assert average == good[i]  # whole numbers: every sum is exact


def test_infinities_of_both_signs_are_nan_while_both_are_in_the_window():
    averages = both("MovingAverage", [1, math.inf, -math.inf, 1, 1], window=2)
    assert [str(average) for average in averages] == ["1.0", "inf", "nan", "-inf", "1.0"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_million_averages_do_not_drift(engine):
    """Against exact sums, at every 997th item: a sum from which leaving numbers are subtracted keeps their rounding."""
    window = 1000
    rng = random.Random(11)
    items = [rng.gauss(0, 1) * (1e12 if i % 5000 == 0 else 1.0) for i in range(1_000_000)]
    averages = results(engine, "MovingAverage", items, window=window)
    assert len(averages) == len(items)
    for i in [*range(window, len(items), 997), len(items) - 1]:
        last = items[i + 1 - window : i + 1]
        assert abs(averages[i] - statistics.fmean(last)) <= window * UNIT * statistics.fmean(map(abs, last))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_window_that_memory_does_not_hold_is_that_of_all_numbers(engine):
    assert results(engine, "MovingAverage", [1, 2, 6], window=2**70) == [1.0, 1.5, 3.0]
    many = results(engine, "MovingAverage", range(100_000), window=2**40)
    assert many == [i / 2 for i in range(100_000)]


def test_zeros_keep_their_sign():
    for window in (1, 2, 3):
        assert {str(average) for average in both("MovingAverage", [-0.0] * 7, window=window)} == {"-0.0"}
    stats = both("RunningStats", [-0.0, -0.0])[-1]
    assert [str(stats[key]) for key in ("variance", "min", "max")] == ["0.0", "-0.0", "-0.0"]


# --- RunningStats ---


@settings(max_examples=300)
@given(st.integers(0, 1), st.lists(TAME, min_size=1, max_size=30))
def test_statistics_are_those_of_all_numbers_so_far(ddof, items):
    for n, stats in enumerate(both("RunningStats", items, ddof=ddof), 1):
        so_far = [float(item) for item in items[:n]]
        assert tuple(stats) == STATS
        assert (stats["count"], stats["min"], stats["max"]) == (n, min(so_far), max(so_far))
        assert {type(stats[key]) for key in ("mean", "min", "max")} == {float}
        largest = max(map(abs, so_far))
        assert abs(stats["mean"] - statistics.fmean(so_far)) <= 4 * n * (UNIT * largest + TINY)
        if n == 1:
            assert stats["variance"] == (None if ddof else 0.0)
        else:
            exact = (statistics.variance if ddof else statistics.pvariance)(so_far)
            bound = 16 * n * UNIT * (exact + largest * math.sqrt(exact)) + (16 * n * UNIT * largest) ** 2
            assert abs(stats["variance"] - exact) <= bound + 4 * n * TINY


@pytest.mark.parametrize("engine", ENGINES)
def test_a_million_statistics_do_not_drift(engine):
    """A mean of 10⁹ beside a spread of 1: the sum of squares minus the square of the sum would have no digit right."""
    rng = random.Random(3)
    items = [1e9 + rng.gauss(0, 1) for _ in range(1_000_000)]
    last = results(engine, "RunningStats", items)[-1]
    mean = statistics.fmean(items)
    offsets = [item - 1e9 for item in items]  # exact, and free of the large mean
    centre = statistics.fmean(offsets)
    variance = math.fsum((offset - centre) ** 2 for offset in offsets) / len(items)
    assert last["count"] == len(items)
    assert abs(last["mean"] - mean) <= math.ulp(mean)
    assert abs(last["variance"] - variance) <= 1e-9 * variance


def test_what_is_not_finite_is_in_the_statistics_from_then_on():
    def told(*items):
        return [[str(stats[key]) for key in STATS[1:]] for stats in both("RunningStats", items)]

    assert told(math.nan, 1) == [["nan"] * 4] * 2
    assert told(1, math.nan, 2)[1:] == [["nan"] * 4] * 2
    assert told(1, math.inf, 2)[1:] == [["inf", "nan", "1.0", "inf"]] * 2
    assert told(-math.inf, 2) == [["-inf", "nan", "-inf", "-inf"], ["-inf", "nan", "-inf", "2.0"]]
    assert told(math.inf, -math.inf, 0)[1:] == [["nan", "nan", "-inf", "inf"]] * 2


@settings(max_examples=200)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1.7e308, -1.7e308]), min_size=1))
def test_the_mean_of_finite_numbers_is_finite_and_right(items):
    for n, stats in enumerate(both("RunningStats", items), 1):
        exact = sum(map(Fraction, items[:n])) / n
        assert abs(Fraction(stats["mean"]) - exact) <= 4 * n * Fraction(UNIT) * Fraction(max(map(abs, items[:n]))) + n
        assert stats["variance"] >= 0.0


@pytest.mark.parametrize("engine", ENGINES)
def test_each_item_has_a_dict_of_its_own(engine):
    first, second = results(engine, "RunningStats", [1, 1])
    first["mean"] = "changed"
    assert second == {"count": 2, "mean": 1.0, "variance": 0.0, "min": 1.0, "max": 1.0}


# --- both ---


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("node_type", "params"), [("MovingAverage", {"window": 3}), ("RunningStats", {})])
@pytest.mark.parametrize("item", [True, "1", 1j, Decimal(1), [1.0], {}], ids=lambda item: type(item).__name__)
def test_what_is_no_real_number_is_refused_by_node_and_type(engine, node_type, params, item):
    with pytest.raises(rm.NodeError) as caught:
        results(engine, node_type, [item], **params)
    assert f"'n' ({node_type})" in str(caught.value)
    assert f"takes a real number, not {type(item).__name__}" in str(caught.value)
    assert type(caught.value.__cause__) is TypeError


def test_what_is_refused_is_not_counted():
    assert both("MovingAverage", [1, True, 10**400, 2], window=2) == [1.0, 1.5]
    assert [stats["count"] for stats in both("RunningStats", [1, "x", 10**400, 2])] == [1, 2]


@pytest.mark.parametrize("engine", ENGINES)
def test_numpy_scalars_and_fractions_are_real_numbers(engine):
    np = pytest.importorskip("numpy")
    items = [np.float32(1.5), np.int64(2), Fraction(1, 2)]
    averages = results(engine, "MovingAverage", items, window=1)
    assert averages == [1.5, 2.0, 0.5]
    assert {type(average) for average in averages} == {float}
    with pytest.raises(rm.NodeError, match="takes a real number, not bool"):
        results(engine, "MovingAverage", [np.bool_(True)], window=1)
    with pytest.raises(rm.NodeError, match="takes a real number, not complex64"):
        results(engine, "RunningStats", [np.complex64(1)])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_state_is_that_of_the_session_and_a_run_starts_anew(engine):
    manifest = rm.Manifest.from_dict(plain([node("a", "MovingAverage", window=2), node("s", "RunningStats")]))
    executor = Driver(engine).executor
    for _ in range(2):
        with executor.open(manifest) as session:
            assert session.run([1, 3]).outputs["a"] == [1.0, 2.0]
            result = session.run([5, 7])
            assert result.outputs["a"] == [4.0, 6.0]
            assert [stats["count"] for stats in result.outputs["s"]] == [3, 4]
    assert executor.execute_with_input(manifest, [9]).outputs["a"] == [9.0]
