"""Asking a run to stop.

`raise_signal` reaches the calling thread; `os.kill` may reach another one of the process, and be handled a
moment later.
"""

import signal
import threading

import pytest

from auricle.train.signals import StopRequest


@pytest.mark.parametrize("number", StopRequest.SIGNALS)
def test_the_first_signal_is_noted(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.reason is None
        signal.raise_signal(number)
        assert stop.signal_number == number
        assert stop.reason == f"stopped by {number.name}: saved; the same command goes on from here"
    assert signal.getsignal(number) == before


def test_the_second_signal_is_not_waited_for() -> None:
    with StopRequest() as stop, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
        assert stop.reason is not None
        signal.raise_signal(signal.SIGINT)


def test_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="x"), StopRequest():
        raise ValueError("x")
    assert signal.getsignal(signal.SIGINT) == before


def test_outside_the_main_thread_nothing_is_caught() -> None:
    seen: list[object] = []

    def work() -> None:
        with StopRequest() as stop:
            seen.append(stop.reason)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]
