"""Plain lines in a file, a bar on a terminal."""

import io

from auricle.train.progress import Display

RATES = {"audio_seconds_per_second": 70.25, "updates_per_second": 2.0}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_plain_lines_elsewhere_than_on_a_terminal() -> None:
    stream, now = io.StringIO(), [0.0]
    display = Display(100, 300, stream=stream, clock=lambda: now[0])
    now[0] = 60.0
    display.advance(150, RATES)
    display.line("train", 150, {"loss": 1.23456, **RATES})
    display.close()
    assert stream.getvalue() == (
        "train: update 150/300  loss 1.235  audio-s/s 70.25  updates/s 2  0:03:00 left\n"
    )


def test_no_time_is_promised_without_an_end_or_a_pace() -> None:
    stream = io.StringIO()
    Display(stream=stream).line("valid", 7, {"wer": 50.0})
    Display(7, 10, stream=stream).line("valid", 7, {"wer": 50.0})
    assert stream.getvalue() == "valid: update 7  wer 50\nvalid: update 7/10  wer 50\n"


def test_a_bar_on_a_terminal_with_lines_above_it() -> None:
    stream = Terminal()
    display = Display(0, 10, stream=stream)
    display.advance(5, RATES)
    display.line("train [1]", 5, {"loss": 1.5})
    display.close()
    shown = stream.getvalue()
    assert "5/10" in shown
    assert "audio-s/s 70.25" in shown
    assert "train [1]: update 5/10  loss 1.5" in shown


def test_a_bar_without_an_end() -> None:
    stream = Terminal()
    display = Display(stream=stream)
    display.advance(5, RATES)
    display.close()
    assert "5/?" in stream.getvalue()
