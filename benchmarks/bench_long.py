"""A recording of hours, transcribed and aligned: memory, time, and what the length does to text and times.

    python benchmarks/bench_long.py --model RUN/checkpoints/best --data corpus --subsets valid train --hours 2

The recording is made of the utterances of a corpus (manifests and .ltr labels), one after the other, over and
over, in an order drawn from a seed; it lies in a temporary folder. The commands run as a user runs them, in
processes of their own, whose memory at the most the system tells. Compared are

* the text when cut at the joins with that of the utterances by themselves: they have to be equal;
* the error rate when the command cuts by itself with that of the utterances by themselves;
* on recordings of two minutes, cut by itself, and cut without looking for pauses, with one pass;
* the times of words aligned in the one recording with those of each utterance aligned by itself;
* the scores of words with how often such words are right, in the first subset.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jiwer
import numpy as np
import soundfile
from side_by_side import facts, keep

import auricle
from auricle.audio import read
from auricle.decode.cut import CutOptions
from auricle.decode.pipeline import HearOptions
from auricle.decode.transcribe import TranscribeOptions, Word, transcribe
from auricle.dictionary import letters_to_words
from auricle.manifest import read_labels, read_manifest

RATE = 16000
WHOLE = 1e6
"""Seconds of a piece that nothing exceeds: one pass."""


@dataclass(frozen=True)
class Clip:
    """An utterance: its samples, 16 kHz, and its words."""

    path: str
    text: str


@dataclass(frozen=True)
class Joined:
    """A recording and where in it its clips are, in samples."""

    path: Path
    clips: list[Clip]
    edges: list[int]


@dataclass(frozen=True)
class Run:
    """What a command took."""

    seconds: float
    peak_mib: float
    answer: dict


def clips_of(data: Path, subsets: Sequence[str]) -> list[Clip]:
    clips = []
    for subset in subsets:
        manifest = read_manifest(data / f"{subset}.tsv")
        labels = read_labels(data / f"{subset}.ltr", manifest)
        for entry, label in zip(manifest.entries, labels, strict=True):
            clips.append(Clip(manifest.full_path(entry), letters_to_words(label)))
    return clips


def join(clips: Sequence[Clip], seconds: float, path: Path, seed: int) -> Joined:
    """Writes them one after the other until there are so many seconds, never holding more than one."""
    order, chosen, edges = random.Random(seed), [], [0]
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        while edges[-1] < seconds * RATE:
            for clip in order.sample(clips, len(clips)):
                samples = read(clip.path).samples.numpy()
                file.write(samples)
                chosen.append(clip)
                edges.append(edges[-1] + len(samples))
                if edges[-1] >= seconds * RATE:
                    break
    return Joined(path, chosen, edges)


def run(*words: object, output: Path) -> Run:
    """A command of the program, in a process of its own; `answer` is the JSON of its only recording."""
    command = [sys.executable, "-m", "auricle.cli.main", *map(str, words), "--format", "json"]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--output", str(output)])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    answer = json.loads(output.read_text(encoding="utf-8").splitlines()[0])
    scale = 1 if sys.platform == "darwin" else 1024
    return Run(time.perf_counter() - started, usage.ru_maxrss * scale / 2**20, answer)


def error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    return 100 * jiwer.wer(list(references), list(hypotheses))


def transcribe_long(arguments: argparse.Namespace, joined: Joined, folder: Path) -> dict[str, object]:
    """The two-hour recording, cut at the joins and by itself, against its utterances by themselves."""
    segments = folder / "segments.txt"
    segments.write_text("".join(f"{a / RATE:.7f}\t{b / RATE:.7f}\n" for a, b in pairwise(joined.edges)))
    where = (joined.path, "--model", arguments.model, "--device", "cpu")
    at_joins = run("transcribe", *where, "--segments", segments, output=folder / "joins.json")
    by_itself = run("transcribe", *where, output=folder / "itself.json")
    unique = list(dict.fromkeys(joined.clips))
    loaded = auricle.load(arguments.model, precision="float32")
    texts = dict(zip(unique, auricle.transcribe([clip.path for clip in unique], loaded), strict=True))
    alone = [texts[clip].text for clip in joined.clips]
    first = {clip.path for clip in clips_of(arguments.data, arguments.subsets[:1])}
    held_out = [clip for clip in unique if clip.path in first]
    reference = " ".join(clip.text for clip in joined.clips)
    return {
        "text_equal_at_joins": at_joins.answer["text"] == " ".join(text for text in alone if text),
        "wer_alone": error_rate([reference], [" ".join(alone)]),
        "wer_at_joins": error_rate([reference], [at_joins.answer["text"]]),
        "wer_by_itself": error_rate([reference], [by_itself.answer["text"]]),
        "transcribe_seconds": by_itself.seconds,
        "transcribe_peak_mib": by_itself.peak_mib,
        "at_joins_seconds": at_joins.seconds,
        "at_joins_peak_mib": at_joins.peak_mib,
        "calibration": calibration(held_out, [texts[clip].words for clip in held_out]),
    }


def calibration(clips: Sequence[Clip], heard: Sequence[Sequence[Word]]) -> list[dict[str, float]]:
    """Of the words heard, by their scores: how many, their mean score, how many of them are right."""
    scores, right = [], []
    for clip, words in zip(clips, heard, strict=True):
        result = jiwer.process_words([clip.text], [" ".join(word.text for word in words) or "-"])
        good = {
            place
            for chunk in result.alignments[0]
            if chunk.type == "equal"
            for place in range(chunk.hyp_start_idx, chunk.hyp_end_idx)
        }
        scores += [word.score for word in words]
        right += [place in good for place in range(len(words))]
    edges = [0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.001]
    table = []
    for low, high in pairwise(edges):
        inside = [i for i, score in enumerate(scores) if low <= score < high]
        if inside:
            mean = float(np.mean([scores[i] for i in inside]))
            share = float(np.mean([right[i] for i in inside]))
            table.append({"from": low, "words": len(inside), "mean_score": mean, "right": share})
    return table


def transcribe_short(arguments: argparse.Namespace, clips: Sequence[Clip], folder: Path) -> dict[str, object]:
    """Recordings of two minutes: in one pass, cut at pauses, and cut wherever a piece is full."""
    loaded = auricle.load(arguments.model, precision="float32")
    joined = [
        join(clips, 120, folder / f"short{number}.flac", seed=1000 + number)
        for number in range(arguments.short_recordings)
    ]
    references = [" ".join(clip.text for clip in one.clips) for one in joined]
    ways = {
        "one_pass": CutOptions(chunk_seconds=WHOLE),
        "at_pauses": CutOptions(),
        "at_pauses_of_10_seconds": CutOptions(10.0, 2.0),
        "overlapping": CutOptions(silence_seconds=WHOLE),
    }
    rates = {}
    for name, cutting in ways.items():
        options = TranscribeOptions(HearOptions(cutting=cutting))
        texts = [one.text for one in transcribe([one.path for one in joined], loaded, options)]
        rates[f"wer_two_minutes_{name}"] = error_rate(references, texts)
    return rates


def align_long(arguments: argparse.Namespace, joined: Joined, folder: Path) -> dict[str, object]:
    """Word starts in the one recording, against those of the utterances aligned by themselves."""
    text = folder / "text.txt"
    text.write_text("".join(f"{clip.text}\n" for clip in joined.clips))
    long = run("align", joined.path, text, "--model", arguments.model, output=folder / "align.json")
    unique = list(dict.fromkeys(joined.clips))
    rows = "".join(f"{clip.path}\t{soundfile.info(clip.path).frames}\n" for clip in unique)
    (folder / "unique.tsv").write_text(f"/\n{rows}")
    (folder / "unique.wrd").write_text("".join(f"{clip.text}\n" for clip in unique))
    where = (folder / "unique.tsv", folder / "unique.wrd", "--model", arguments.model)
    run("align", *where, output=folder / "alone.json")
    answers = [json.loads(line) for line in (folder / "alone.json").read_text().splitlines()]
    starts = {
        clip: [word["start_seconds"] for word in answer["words"]]
        for clip, answer in zip(unique, answers, strict=True)
    }
    wanted = [
        edge / RATE + start
        for clip, edge in zip(joined.clips, joined.edges, strict=False)
        for start in starts[clip]
    ]
    found = [word["start_seconds"] for word in long.answer["words"]]
    apart = 1000 * np.abs(np.array(found) - np.array(wanted))
    return {
        "align_seconds": long.seconds,
        "align_peak_mib": long.peak_mib,
        "aligned_words": len(found),
        "start_difference_ms_median": float(np.median(apart)),
        "start_difference_ms_mean": float(apart.mean()),
        "start_difference_ms_95": float(np.quantile(apart, 0.95)),
        "start_difference_ms_max": float(apart.max()),
        "starts_within_40_ms": float((apart <= 40).mean()),
    }


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--model", type=Path, help="fine-tuned with CTC")
    options.add_argument("--data", type=Path, help="folder of manifests and .ltr labels")
    options.add_argument("--subsets", nargs="+", default=["valid", "train"])
    options.add_argument("--hours", type=float, default=2.0)
    options.add_argument("--short-recordings", type=int, default=10)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--dry", action="store_true", help="write no result file")
    arguments = options.parse_args()
    if arguments.model is None or arguments.data is None:
        print("left out: it takes a trained model and its corpus (--model, --data)")
        return
    clips = clips_of(arguments.data, arguments.subsets)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        joined = join(clips, arguments.hours * 3600, folder / "long.flac", arguments.seed)
        found: dict[str, object] = {
            "audio_seconds": joined.edges[-1] / RATE,
            "utterances": len(joined.clips),
            **transcribe_long(arguments, joined, folder),
            **align_long(arguments, joined, folder),
            **transcribe_short(arguments, clips_of(arguments.data, arguments.subsets[:1]), folder),
            "own_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    settings = {key: str(value) for key, value in vars(arguments).items() if key != "dry"}
    content = {"job": "long recordings", **settings, **facts(), "results": found}
    print(json.dumps(content, indent=1))
    if not arguments.dry:
        keep(content, "long")


if __name__ == "__main__":
    main()
