"""Speed, and the shares of it that are waiting, padding and arithmetic."""

from collections.abc import Iterator

import pytest

from auricle.train.speed import Speed, Use, Waits


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_speed_leaves_pauses_out() -> None:
    clock = Clock()
    speed = Speed(clock)
    clock.now += 2
    speed.add(30.0)
    with speed.paused():
        clock.now += 100
    clock.now += 2
    speed.add(10.0)
    assert speed.rates() == {"audio_seconds_per_second": 10.0, "updates_per_second": 0.5}
    speed.reset()
    assert speed.rates()["updates_per_second"] == 0.0


def test_shares_are_told_where_they_are_known() -> None:
    clock = Clock()
    speed = Speed(clock)
    clock.now += 4
    speed.used(Use(6.0, padded_seconds=8.0, waited_seconds=1.0, device_seconds=0.5))
    speed.used(Use(6.0, padded_seconds=8.0, waited_seconds=0.0, device_seconds=0.3))
    rates = speed.rates()
    assert rates["padding_share"] == pytest.approx(0.25)
    assert rates["data_wait_share"] == pytest.approx(0.25)
    assert rates["device_share"] == pytest.approx(0.2)
    speed.reset()
    assert "padding_share" not in speed.rates()


def test_workers_add_up_their_audio_and_share_their_time() -> None:
    uses = [Use(6.0, 8.0, 1.0, 0.5), Use(2.0, 2.0, 0.0, 0.1), Use(0.0, 0.0, 0.5, 0.0)]
    together = Use.of_all(uses)
    assert together == Use(8.0, 10.0, pytest.approx(0.5), pytest.approx(0.2))
    assert Use.of_all([Use(1.0, 2.0, 3.0), Use(1.0, 2.0, 3.0)]) == Use(2.0, 4.0, 3.0, None)
    assert Use.of_all(uses[:1]) == uses[0]


def test_waiting_is_counted_between_items_and_not_while_they_are_used() -> None:
    clock = Clock()
    waits = Waits(clock)

    def slow() -> Iterator[int]:
        for number in range(3):
            clock.now += 2
            yield number

    for _ in waits.timed(slow()):
        clock.now += 100
    assert waits.take() == 6.0
    assert waits.take() == 0.0
