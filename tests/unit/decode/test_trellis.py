"""The best path against every path, and in windows against the whole."""

import itertools
import tracemalloc

import numpy as np
import pytest

from auricle.decode.trellis import DoesNotFitError, Trellis, best_path


def trellis(units, frames, *, columns=5, seed=0, open_gaps=()):
    rng = np.random.default_rng(seed)
    emissions = np.log(rng.dirichlet(np.ones(columns), frames)).astype(np.float32)
    states = np.zeros(2 * len(units) + 1, dtype=np.int64)
    states[1::2] = units
    states[[2 * gap for gap in open_gaps]] = columns - 1
    may_skip = np.zeros(len(states), dtype=bool)
    may_skip[3::2] = np.diff(units) != 0
    return Trellis(emissions, states, may_skip)


def score(one, path):
    return float(one.emissions.astype(np.float64)[np.arange(len(path)), one.columns[path]].sum())


def allowed(one, path):
    states = len(one.columns)
    if path[0] > 1 or path[-1] < states - 2:
        return False
    for before, after in itertools.pairwise(path):
        if after - before not in (0, 1) and not (after - before == 2 and one.may_skip[after]):
            return False
    return True


def every_path(one):
    """All paths that CTC allows, by definition: no dynamic programme that could share a mistake."""
    for path in itertools.product(range(len(one.columns)), repeat=len(one.emissions)):
        if allowed(one, path):
            yield np.array(path)


@pytest.mark.parametrize("units", [[], [1], [1, 2], [1, 1], [2, 1, 2]])
@pytest.mark.parametrize("frames", [3, 5])
@pytest.mark.parametrize("open_gaps", [(), (0,)])
def test_no_path_is_better(units, frames, open_gaps):
    for seed in range(5):
        one = trellis(units, frames, seed=seed, open_gaps=open_gaps)
        found = best_path(one)
        assert allowed(one, found)
        assert score(one, found) == pytest.approx(max(score(one, path) for path in every_path(one)))


def whole(one):
    """The plain dynamic programme with every column kept."""
    frames, states = len(one.emissions), len(one.columns)
    emitted = one.emissions.astype(np.float64)[:, one.columns]
    alpha = np.full((frames, states), -np.inf)
    alpha[0, :2] = emitted[0, :2]
    for t in range(1, frames):
        before = np.concatenate([[-np.inf, -np.inf], alpha[t - 1]])
        over_a_gap = np.where(one.may_skip, before[:-2], -np.inf)
        alpha[t] = np.max([before[2:], before[1:-1], over_a_gap], axis=0) + emitted[t]
    return alpha[-1, -2:].max()


@pytest.mark.parametrize("width", [64, 100, 400, 1000])
def test_windows_find_the_path_of_the_whole(width):
    rng = np.random.default_rng(1)
    units = rng.integers(1, 4, 300)
    for seed in range(3):
        one = spoken(units, 1500, seed)
        found = best_path(one, width)
        assert allowed(one, found)
        assert score(one, found) == pytest.approx(whole(one))


def spoken(units, frames, seed, *, noise=2.0):
    """A trellis in which the units are said at random times, more clearly than the noise around them."""
    one = trellis(units, frames, seed=seed)
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=one.emissions.shape) * noise
    logits[:, 0] += 3
    times = np.sort(rng.choice(np.arange(0, frames, 2), len(units), replace=False))
    logits[times, units] += 9
    emissions = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return Trellis(emissions.astype(np.float32), one.columns, one.may_skip)


def test_a_window_that_starts_in_the_wrong_place_grows():
    # Nothing is said in the first half: the best state is far behind what follows, and hurries after it.
    rng = np.random.default_rng(0)
    units = rng.integers(1, 4, 300)
    late = spoken(units, 700, 3, noise=1.0)
    silence = np.full((700, late.emissions.shape[1]), -9.0, dtype=np.float32)
    silence[:, 0] = -0.001
    one = Trellis(np.concatenate([silence, late.emissions]), late.columns, late.may_skip)
    assert score(one, best_path(one, 64)) == pytest.approx(score(one, best_path(one, 10_000)))


def test_too_few_frames_are_refused():
    with pytest.raises(DoesNotFitError):
        best_path(trellis([1, 2, 3], 2))
    with pytest.raises(DoesNotFitError):
        best_path(trellis([1, 1], 2))  # a gap has to stand between units that are alike
    assert best_path(trellis([1, 1], 3)).tolist() == [1, 2, 3]
    assert best_path(trellis([], 0)).tolist() == []


def test_memory_grows_with_the_frames_and_not_with_frames_times_states():
    units = np.random.default_rng(0).integers(1, 4, 4000)
    one = spoken(units, 20_000, 0)
    tracemalloc.start()
    best_path(one, 256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The whole trellis has 160 million cells. In a window: a few numbers a frame and a state.
    assert peak < 64 * (20_000 + 8001) + 3 * 8 * 256 * 20_000**0.5
