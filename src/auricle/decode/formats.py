"""Transcripts as files that other programs read: json, srt, vtt, ctm, TextGrid, tsv, and plain text.

Each escapes what its own grammar takes for something else; times count from the start of the recording.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

from auricle.decode.subtitles import Cue, CueOptions, cues
from auricle.decode.transcript import Transcript

FormatName = Literal["txt", "json", "srt", "vtt", "ctm", "TextGrid", "tsv"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)

ONE_RECORDING: frozenset[FormatName] = frozenset({"srt", "vtt", "TextGrid"})
"""A file of these is about one recording."""

TIMED: frozenset[FormatName] = frozenset({"srt", "vtt", "ctm", "TextGrid", "tsv"})
"""Nothing but words with their times."""

TSV_HEADER = "path\tstart_seconds\tend_seconds\tscore\tword"


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """How to write.

    Attributes:
        letters: json gets the letters of each word as well.
        alone: txt goes without the recording's name.
        cues: How subtitles are split.
    """

    letters: bool = False
    alone: bool = True
    cues: CueOptions = CueOptions()


def header(output_format: FormatName) -> str:
    """What stands once before all recordings."""
    return f"{TSV_HEADER}\n" if output_format == "tsv" else ""


def written(
    name: str,
    transcript: Transcript,
    output_format: FormatName,
    options: FormatOptions | None = None,
    extra: Mapping[str, object] | None = None,
) -> str:
    """One recording's transcript, its lines ended.

    Args:
        name: Of the recording, as it was given.
        transcript: What is said.
        output_format: One of `FORMATS`.
        options: How.
        extra: What json says besides.
    """
    options = options or FormatOptions()
    match output_format:
        case "txt":
            lines = [transcript.text if options.alone else f"{_field(name)}\t{transcript.text}"]
        case "json":
            lines = [_json(name, transcript, extra or {}, letters=options.letters)]
        case "srt":
            lines = list(_srt(cues(transcript.words, options.cues)))
        case "vtt":
            lines = list(_vtt(cues(transcript.words, options.cues)))
        case "ctm":
            lines = list(_ctm(name, transcript))
        case "TextGrid":
            lines = list(_text_grid(transcript))
        case "tsv":
            lines = list(_tsv(name, transcript))
    return "".join(f"{line}\n" for line in lines)


def _json(name: str, transcript: Transcript, extra: Mapping[str, object], *, letters: bool) -> str:
    value = {"path": name, **as_json(transcript, letters=letters), **extra}
    return json.dumps(value, ensure_ascii=False)


def as_json(transcript: Transcript, *, letters: bool) -> dict[str, Any]:
    """What json says of a transcript; `parts` where it has any."""
    value = asdict(transcript)
    if not letters:
        for word in value["words"]:
            del word["letters"]
    if not transcript.parts:
        del value["parts"]
    return value


def _srt(shown: Sequence[Cue]) -> Iterator[str]:
    for number, cue in enumerate(shown, start=1):
        # SRT has no escapes: the arrow is the one thing that a parser could trip over.
        text = [line.replace("-->", "->") for line in cue.lines]
        yield from (str(number), f"{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}", *text, "")


def _vtt(shown: Sequence[Cue]) -> Iterator[str]:
    yield from ("WEBVTT", "")
    for cue in shown:
        text = [line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for line in cue.lines]
        yield from (f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}", *text, "")


def _clock(seconds: float, point: str) -> str:
    """01:02:03,456."""
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _ctm(name: str, transcript: Transcript) -> Iterator[str]:
    """NIST's: file, channel, start, duration, word, confidence; fields cannot hold spaces."""
    recording = recording_name(name)
    for word in transcript.words:
        start, duration = word.start_seconds, word.end_seconds - word.start_seconds
        yield f"{recording} 1 {start:.3f} {duration:.3f} {'_'.join(word.text.split())} {word.score:.4f}"


def recording_name(name: str) -> str:
    """What a ctm calls a recording."""
    stem = name.rpartition("/")[2].rpartition(".")[0] or name
    recording = "_".join(stem.split()) or "_"
    return f"_{recording}" if recording.startswith(";;") else recording  # would be a comment


def _tsv(name: str, transcript: Transcript) -> Iterator[str]:
    for word in transcript.words:
        times = f"{word.start_seconds:.3f}\t{word.end_seconds:.3f}\t{word.score:.4f}"
        yield f"{_field(name)}\t{times}\t{_field(word.text)}"


def _field(text: str) -> str:
    """Tabs and line breaks would end a field, and there is no way to quote them that all readers know."""
    return " ".join(text.replace("\r", "\n").replace("\n", "\t").split("\t"))


class _Interval(NamedTuple):
    start: float
    end: float
    text: str


def _text_grid(transcript: Transcript) -> Iterator[str]:
    """Praat's long form: a tier of words and, where they are known, one of letters."""
    words = [_Interval(word.start_seconds, word.end_seconds, word.text) for word in transcript.words]
    letters = [
        _Interval(letter.start_seconds, letter.end_seconds, letter.text)
        for word in transcript.words
        for letter in word.letters
    ]
    tiers = {"words": words} | ({"letters": letters} if letters else {})
    end = max([transcript.seconds, 0.001, *(interval.end for interval in words)])
    yield from ('File type = "ooTextFile"', 'Object class = "TextGrid"', "")
    yield from ("xmin = 0", f"xmax = {end:.6f}", "tiers? <exists>", f"size = {len(tiers)}", "item []:")
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        tiled = _tiled(intervals, end)
        yield from (f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"')
        yield from ("        xmin = 0", f"        xmax = {end:.6f}")
        yield f"        intervals: size = {len(tiled)}"
        for place, interval in enumerate(tiled, start=1):
            yield f"        intervals [{place}]:"
            yield f"            xmin = {interval.start:.6f}"
            yield f"            xmax = {interval.end:.6f}"
            yield '            text = "{}"'.format(interval.text.replace('"', '""'))


def _tiled(intervals: Sequence[_Interval], end: float) -> list[_Interval]:
    """Praat wants no gaps: empty intervals between the others; those without length are left out."""
    tiled: list[_Interval] = []
    at = 0.0
    for interval in intervals:
        if interval.start > at:
            tiled.append(_Interval(at, interval.start, ""))
        if interval.end > interval.start:
            tiled.append(interval)
            at = interval.end
    if end > at:
        tiled.append(_Interval(at, end, ""))
    return tiled
