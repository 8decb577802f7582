import itertools

import numpy as np
import pytest

from auricle.decode.confidence import word_probability


def collapsed(path):
    return [unit for unit, _ in itertools.groupby(path) if unit != 0]


@pytest.mark.parametrize("units", [[1], [1, 2], [1, 1], [2, 1, 2], [3, 3, 1]])
def test_it_is_the_sum_over_all_paths_that_write_the_word(units):
    rng = np.random.default_rng(0)
    for frames in (1, 3, 5):
        log_probs = np.log(rng.dirichlet(np.ones(4), frames)).astype(np.float32)
        wanted = sum(
            np.exp(log_probs[np.arange(frames), path].sum())
            for path in itertools.product(range(4), repeat=frames)
            if collapsed(path) == units
        )
        found = word_probability(log_probs[:, 0], log_probs[:, units], units)
        assert found == pytest.approx(wanted, rel=1e-5)


def test_a_certain_word_has_1():
    log_probs = np.log(np.array([[1e-30, 1.0], [1.0, 1e-30], [1e-30, 1.0]], dtype=np.float32))
    assert word_probability(log_probs[:, 0], log_probs[:, [1, 1]], [1, 1]) == 1.0
