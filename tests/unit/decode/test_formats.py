"""Each format as its own grammar has it, read back by readers written from the grammars."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from auricle.decode.formats import FORMATS, FormatOptions, header, written
from auricle.decode.hypothesis import Alternative
from auricle.decode.subtitles import CueOptions, cues
from auricle.decode.transcript import Letter, Part, Transcript, Word
from auricle.errors import UserError

NASTY = ['"A"', "-->", "<i>", "&AMP;", "A_B", ";;", "É|", "漢字"]


def said(*texts, start=0.0, seconds=0.4, pause=0.1, letters=False):
    words, at = [], start
    for text in texts:
        own = tuple(
            Letter(letter, at + i * seconds / len(text), at + (i + 1) * seconds / len(text), 0.5)
            for i, letter in enumerate(text)
        )
        words.append(Word(text, at, at + seconds, 0.75, own if letters else ()))
        at += seconds + pause
    return Transcript(" ".join(texts), words, at + 1.0)


def test_text_and_json():
    one = said("HE", "IT", letters=True)
    assert written("a.wav", one, "txt") == "HE IT\n"
    assert written("a\t\n.wav", one, "txt", FormatOptions(alone=False)) == "a  .wav\tHE IT\n"
    plain = json.loads(written("a.wav", one, "json", extra={"score": -0.5}))
    assert plain["words"][1] == {"text": "IT", "start_seconds": 0.5, "end_seconds": 0.9, "score": 0.75}
    assert (plain["path"], plain["text"], plain["seconds"], plain["score"]) == ("a.wav", "HE IT", 2.0, -0.5)
    full = json.loads(written("a.wav", one, "json", FormatOptions(letters=True)))
    assert [letter["text"] for letter in full["words"][1]["letters"]] == ["I", "T"]
    assert written("a.wav", said(*NASTY), "json").count("\n") == 1


def test_alternatives_stand_in_json_where_there_are_any():
    other = Alternative("HIT", -3.5, -2.0, -0.75)
    one = replace(said("HE", "IT"), parts=(Part(0.0, 1.9, (Alternative("HE IT", -3, -2.5, -0.25), other)),))
    assert "parts" not in json.loads(written("a.wav", said("HE"), "json"))
    (part,) = json.loads(written("a.wav", one, "json"))["parts"]
    assert (part["start_seconds"], part["end_seconds"]) == (0.0, 1.9)
    assert part["nbest"][1] == {"text": "HIT", "score": -3.5, "acoustic_score": -2.0, "lm_score": -0.75}
    assert [one["text"] for one in part["nbest"]] == ["HE IT", "HIT"]


def read_srt(text):
    for block in text.strip("\n").split("\n\n"):
        number, times, *lines = block.split("\n")
        found = re.fullmatch(r"(\d\d):(\d\d):(\d\d),(\d{3}) --> (\d\d):(\d\d):(\d\d),(\d{3})", times)
        h, m, s, ms, h2, m2, s2, ms2 = map(int, found.groups())
        yield int(number), h * 3600 + m * 60 + s + ms / 1000, h2 * 3600 + m2 * 60 + s2 + ms2 / 1000, lines


def test_srt():
    one = said(*NASTY, *["WORD"] * 40, start=3599.5)
    shown = list(read_srt(written("a", one, "srt")))
    assert [number for number, *_ in shown] == list(range(1, len(shown) + 1))
    assert shown[0][1] == 3599.5
    assert " ".join(" ".join(lines) for *_, lines in shown) == one.text.replace("-->", "->")
    for (_, start, end, lines), following in zip(shown, [*shown[1:], None], strict=True):
        assert start < end <= start + 7 and 1 <= len(lines) <= 2 and all(len(line) <= 42 for line in lines)
        assert following is None or end <= following[1]


def test_vtt_escapes_what_it_would_take_for_marks():
    text = written("a", said(*NASTY), "vtt")
    assert text.startswith("WEBVTT\n\n")
    assert "&lt;i&gt; &amp;AMP; A_B" in text and "--&gt;" in text
    assert len(re.findall(r"^\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}$", text, re.M)) == text.count(
        " --> "
    )


def test_ctm_has_six_fields_without_spaces():
    lines = written("d/my talk.v2.wav", said(*NASTY), "ctm").splitlines()
    assert [len(line.split(" ")) for line in lines] == [6] * len(NASTY)
    assert lines[0] == 'my_talk.v2 1 0.000 0.400 "A" 0.7500'
    assert written(";;a.wav", said("A"), "ctm").startswith("_;;a 1 ")
    assert written("stdin", said("A"), "ctm").startswith("stdin 1 ")


def test_tsv_has_a_header_and_no_stray_tabs():
    lines = (header("tsv") + written("a\tb.wav", said(*NASTY), "tsv")).splitlines()
    assert lines[0].split("\t") == ["path", "start_seconds", "end_seconds", "score", "word"]
    assert [line.split("\t")[4] for line in lines[1:]] == NASTY
    assert lines[1].split("\t")[:4] == ["a b.wav", "0.000", "0.400", "0.7500"]
    assert header("ctm") == ""


def read_text_grid(text):
    """Praat's reader: numbers and quoted strings count, in order; the rest is for people."""
    values = re.findall(r'"((?:[^"]|"")*)"|(?<![\w\[])(-?\d+(?:\.\d+)?)(?![\w\]])|<(exists)>', text)
    items = iter([quoted.replace('""', '"') if not number else float(number) for quoted, number, _ in values])
    assert [next(items), next(items)] == ["ooTextFile", "TextGrid"]
    low, high, flag, count = next(items), next(items), next(items), int(next(items))
    assert flag == ""
    tiers = {}
    for _ in range(count):
        assert next(items) == "IntervalTier"
        name, start, end, size = next(items), next(items), next(items), int(next(items))
        assert (start, end) == (low, high)
        tiers[name] = [(next(items), next(items), next(items)) for _ in range(size)]
    assert list(items) == []
    return high, tiers


def test_text_grids_tile_the_recording():
    one = said(*NASTY, start=0.3, letters=True)
    high, tiers = read_text_grid(written("a", one, "TextGrid"))
    assert high == pytest.approx(one.seconds, abs=1e-6)
    assert [text for *_, text in tiers["words"] if text] == NASTY
    assert "".join(text for *_, text in tiers["letters"]) == "".join(NASTY)
    for intervals in tiers.values():
        assert intervals[0][0] == 0 and intervals[-1][1] == high
        assert all(start < end for start, end, _ in intervals)
        assert all(a[1] == b[0] for a, b in pairwise(intervals))


@pytest.mark.parametrize("output_format", FORMATS)
def test_nothing_said_is_written_too(output_format):
    text = written("a.wav", Transcript("", []), output_format)
    assert text == "" or text.endswith("\n")
    if output_format == "TextGrid":
        assert read_text_grid(text)[1] == {"words": [(0, 0.001, "")]}


def test_words_without_length_are_left_out_of_text_grids():
    words = [Word("A", 0.5, 1.0, 1.0), Word("?", 1.0, 1.0, 0.0), Word("B", 1.0, 1.5, 1.0)]
    tiers = read_text_grid(written("a", Transcript("A ? B", words, 2.0), "TextGrid"))[1]
    assert [text for *_, text in tiers["words"]] == ["", "A", "B", ""]


def test_subtitles_end_at_pauses_and_sentences():
    words = said("ONE", "TWO").words + said("THREE", start=3.0).words
    assert [cue.lines for cue in cues(words, CueOptions())] == [("ONE TWO",), ("THREE",)]
    long = said(*["LONGISH"] * 5, "END.", "NEXT").words
    shown = cues(long, CueOptions(max_chars=24))
    assert shown[0].lines[-1].endswith("END.") and shown[1].lines == ("NEXT",)


def test_lines_are_balanced_and_long_words_kept():
    shown = cues(said("AAAA", "BBBB", "CCCC", "D").words, CueOptions(max_chars=14))
    assert shown[0].lines == ("AAAA BBBB", "CCCC D")
    assert cues(said("X" * 60).words, CueOptions())[0].lines == ("X" * 60,)


def test_a_short_subtitle_stays_a_second_where_there_is_room():
    alone = cues(said("HI").words, CueOptions())
    assert alone[0].end == 1.0
    crowded = cues(said("HI").words + said("YOU", start=0.6).words, CueOptions(max_chars=3, max_lines=1))
    assert [cue.end for cue in crowded] == [0.6, 1.6]


def test_a_long_subtitle_is_split_by_time():
    shown = cues(said(*["A"] * 30, seconds=0.5, pause=0.4).words, CueOptions(max_seconds=3.0))
    assert all(cue.end - cue.start <= 3.0 for cue in shown) and len(shown) > 5


def test_subtitles_need_room():
    with pytest.raises(UserError, match="need room"):
        CueOptions(max_chars=0)
