"""The shape of each schedule, its edges and the mistakes it answers."""

import pytest

from auricle.errors import UserError
from auricle.train.schedule import Cosine, Fixed, InverseSqrt, PolynomialDecay, TriStage


def test_fixed_warms_up_from_its_first_share() -> None:
    rate = Fixed(1.0, warmup_updates=4)
    assert [rate(k) for k in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert Fixed(1.0)(0) == 1.0


def test_polynomial_decay_makes_a_first_update_with_rate_zero() -> None:
    rate = PolynomialDecay(1.0, total_updates=10, warmup_updates=2)
    assert [rate(k) for k in (0, 1, 2, 6, 10, 99)] == [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]


def test_polynomial_decay_without_warm_up_starts_at_its_peak() -> None:
    rate = PolynomialDecay(1.0, total_updates=4, end_lr=0.5, power=2.0)
    assert [rate(k) for k in (0, 2, 4)] == [1.0, 0.625, 0.5]


def test_polynomial_decay_that_is_all_warm_up_ends_at_its_peak() -> None:
    rate = PolynomialDecay(1.0, total_updates=4, warmup_updates=4)
    assert [rate(k) for k in (2, 4, 5)] == [0.5, 1.0, 0.0]


def test_tri_stage_goes_through_its_phases() -> None:
    rate = TriStage(1.0, 10, 20, 30, init_scale=0.1, final_scale=0.01)
    assert rate(0) == 0.1
    assert rate(5) == pytest.approx(0.55)
    assert [rate(k) for k in (10, 29, 30)] == [1.0, 1.0, 1.0]
    assert rate(45) == pytest.approx(0.1)
    assert rate(60) == pytest.approx(0.01)
    assert rate(61) == rate(1000) == 0.01


@pytest.mark.parametrize(("phases", "rates"), [((0, 0, 2), [1, 0.1, 0.01]), ((2, 0, 0), [0, 0.5, 1, 0.01])])
def test_tri_stage_may_lack_phases(phases: tuple[int, int, int], rates: list[float]) -> None:
    rate = TriStage(1.0, *phases, init_scale=0.0)
    assert [rate(k) for k in range(len(rates))] == pytest.approx(rates)


def test_tri_stage_phases_as_shares_are_rounded_down() -> None:
    rate = TriStage.from_phase_ratio(1.0, 99, (0.1, 0.4, 0.5))
    assert (rate.warmup_updates, rate.hold_updates, rate.decay_updates) == (9, 39, 49)


def test_cosine_comes_down_and_starts_again() -> None:
    rate = Cosine(1.0, period_updates=10, warmup_updates=2, min_lr=0.1, shrink=0.5)
    assert rate(0) == 0.1
    assert [rate(k) for k in (2, 7, 12, 22)] == pytest.approx([1.0, 0.55, 0.5, 0.25])
    assert rate(11) == pytest.approx(0.1, abs=0.03)


def test_cosine_with_growing_periods() -> None:
    rate = Cosine(1.0, period_updates=10, period_mult=2.0, shrink=1.0)
    assert [rate(k) for k in (0, 5, 10, 20, 30)] == pytest.approx([1.0, 0.5, 1.0, 0.5, 1.0])


def test_inverse_sqrt_halves_at_four_times_its_warm_up() -> None:
    rate = InverseSqrt(1.0, warmup_updates=100)
    assert [rate(k) for k in (0, 50, 100, 400)] == pytest.approx([0.0, 0.5, 1.0, 0.5])


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="phase_ratio"):
        TriStage(1.0, 0, 0, 0)
    with pytest.raises(UserError, match="final_lr_scale 0"):
        TriStage(1.0, 1, 1, 1, final_scale=0.0)
    with pytest.raises(UserError, match="three shares"):
        TriStage.from_phase_ratio(1.0, 100, (0.5, 0.5, 0.5))
    with pytest.raises(UserError, match="three shares"):
        TriStage.from_phase_ratio(1.0, 100, (0.5, 0.5))
    with pytest.raises(UserError, match="max_update"):
        TriStage.from_phase_ratio(1.0, 0, (0.1, 0.4, 0.5))
    with pytest.raises(UserError, match="cosine"):
        Cosine(1.0, period_updates=0)
    with pytest.raises(UserError, match="warmup_updates"):
        InverseSqrt(1.0, warmup_updates=0)
