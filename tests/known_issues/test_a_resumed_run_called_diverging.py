"""A run that had learnt and was taken up again was called diverging: its batches differed."""

from auricle.train.watch import WINDOW_UPDATES, Watch


def found(losses: list[float], *, done_before: int) -> list[str]:
    watch, said = Watch(), []
    for number in range(len(losses) * WINDOW_UPDATES):
        loss = losses[number // WINDOW_UPDATES]
        said += watch.update(done_before + number + 1, loss, 1.0, 1e-3, ["a.wav"])
    return said


def test_batches_that_differ_are_no_divergence() -> None:
    assert found([22.9, 10.2, 22.8, 11.0], done_before=7270) == []


def test_a_loss_that_rises_still_is() -> None:
    assert "the run diverges" in found([22.9, 10.2, 22.8, 95.0], done_before=7270)[0]
    assert "the run diverges" in found([90.0, 10.2, 22.8, 89.0], done_before=0)[0]
