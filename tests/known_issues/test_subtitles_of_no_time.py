"""Words that an alignment gives no time (`<unk>` where nothing was said) made cues that end as they start."""

from auricle.decode.subtitles import CueOptions, cues
from auricle.decode.transcript import Word


def test_each_subtitle_ends_after_its_start() -> None:
    times = [("<unk>", 1.0, 1.0), ("A", 1.0, 1.5), ("<unk>", 1.5, 1.5), ("<unk>", 1.5, 1.5)]
    shown = cues([Word(text, start, end, 0.0) for text, start, end in times], CueOptions(1, 1))
    assert [cue.lines for cue in shown] == [("<unk>",), ("A",), ("<unk>",), ("<unk>",)]
    assert all(round(cue.end * 1000) > round(cue.start * 1000) for cue in shown)
