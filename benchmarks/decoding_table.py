"""Viterbi, n-gram, neural language model and rescoring, for one recogniser on one corpus.

    python benchmarks/split_by_speaker.py AN4 an4
    auricle train an4 --config-name small_ctc optimization.max_update=25000 --save-dir run
    python benchmarks/decoding_table.py an4 run/checkpoints/best an4_decoding

DATA is what `split_by_speaker.py` writes; what DEST holds already is not made again. The language models
are made of the training transcripts alone, the neural ones stopped by a tenth of these. The held-out speakers
are split into two halves: weights are tuned on one and used on the other, in turn, so that each utterance is
decoded once, with weights chosen without its speaker. Intervals are 95 % by bootstrap over speakers;
those of the change against Viterbi are of paired differences. Every line is a public command, printed as it
runs. Times are those of decoding emissions that were kept, all threads, over seconds of audio.
"""

import argparse
import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from side_by_side import facts, keep

from auricle.cli.main import main as auricle
from auricle.dictionary import Dictionary, letters_to_words
from auricle.files import atomic_write_text
from auricle.manifest import read_labels, read_manifest, write_manifest

HALVES = ("half_a", "half_b")
DRAWS = 10_000
SMALL = ("3 layers", ("optimization.max_update=400", "dataset.validate_interval_updates=50"))
LARGE = (
    "6 layers",
    (
        *("model.decoder_layers=6", "model.decoder_embed_dim=512", "model.decoder_ffn_embed_dim=2048"),
        *("model.decoder_attention_heads=8", "dataset.max_tokens=512", "optimization.max_update=200"),
        *(
            "optimization.lr=[0.0005]",
            "lr_scheduler.warmup_updates=50",
            "dataset.validate_interval_updates=50",
        ),
    ),
)
"""Neural language models: their names, and how they differ from the recipe `small_lm`. The second has
the size of fairseq's `transformer_lm`."""


@dataclass(frozen=True)
class Row:
    """A way to decode.

    Attributes:
        name: Of it.
        options: Of `auricle evaluate`.
        tuned: What `auricle tune` looks for: "", the search's weights; "rescore-", those of ranking anew.
        take: The row that was tuned before, whose weights are used too.
    """

    name: str
    options: tuple[str, ...] = ()
    tuned: str | None = None
    take: str | None = None


@dataclass
class Found:
    """What a row gave: words and errors of each speaker, seconds, and the weights used on each half."""

    name: str
    words: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0
    weights: dict[str, list[str]] = field(default_factory=dict)

    @property
    def wer(self) -> float:
        return 100 * sum(self.errors.values()) / sum(self.words.values())


def run(*words: object) -> None:
    """A command, as one would type it."""
    line = [str(word) for word in words]
    print(f"$ auricle {shlex.join(line)}", flush=True)
    if code := auricle(line):
        raise SystemExit(code)


def make_texts(data: Path, dest: Path) -> None:
    """The words of the training transcripts; each tenth sentence stops the neural models."""
    labels = read_labels(data / "train.ltr", read_manifest(data / "train.tsv"))
    lines = [" ".join(letters_to_words(label).split()) for label in labels]
    for name, chosen in (("train", [x for i, x in enumerate(lines) if i % 10]), ("valid", lines[::10])):
        atomic_write_text(dest / f"{name}.txt", "".join(f"{line}\n" for line in chosen))
    Dictionary.from_labels(lines).save(dest / "dict.txt")


def make_halves(data: Path, dest: Path) -> None:
    """The held-out speakers in two halves, every second one in each."""
    manifest = read_manifest(data / "valid.tsv")
    labels = read_labels(data / "valid.ltr", manifest)
    speakers = (data / "valid.spk").read_text(encoding="utf-8").split()
    names = sorted(set(speakers))
    for number, half in enumerate(HALVES):
        rows = [i for i, name in enumerate(speakers) if names.index(name) % 2 == number]
        write_manifest(dest / f"{half}.tsv", manifest.root, [manifest.entries[i] for i in rows])
        atomic_write_text(dest / f"{half}.ltr", "".join(f"{labels[i]}\n" for i in rows))
        atomic_write_text(dest / f"{half}.spk", "".join(f"{speakers[i]}\n" for i in rows))


def prepare(data: Path, model: Path, dest: Path, arpa: Path | None, rows: Sequence[Row]) -> None:
    """Texts, halves, emissions, and the language models of `rows`."""
    text, halves = dest / "text", dest / "halves"
    if not (text / "dict.txt").exists():
        make_texts(data, text)
    if not (halves / f"{HALVES[1]}.spk").exists():
        make_halves(data, halves)
    if not (dest / "ngram.arpa").exists():
        words = ("lm", text / "train.txt", text / "valid.txt", "--order", 3, "--estimator", "own")
        files = ("--lexicon", dest / "lexicon.txt", "--dictionary", data / "dict.ltr.txt")
        run(*words, *files, "--output", dest / "ngram.arpa")
    if arpa is not None and not (dest / "other_lexicon.txt").exists():
        files = ("--lexicon", dest / "other_lexicon.txt", "--dictionary", data / "dict.ltr.txt")
        run("lm", "--model", arpa, *files)
    for name, keys in (SMALL, LARGE):
        folder = neural(dest, name)
        if any(str(folder) in row.options for row in rows) and not (folder / "config.json").exists():
            run("train", text, "--config-name", "small_lm", *keys, "--save-dir", folder.parents[1])
    for half in HALVES:
        if not (dest / f"heard_{half}").exists():
            kept = ("--save-emissions", dest / f"heard_{half}")
            results = ("--results-path", dest / "results" / f"hearing_{half}")
            run("evaluate", halves, "--model", model, "--gen-subset", half, *kept, *results)


def neural(dest: Path, name: str) -> Path:
    """Where a neural model is."""
    return dest / name.replace(" ", "_") / "checkpoints" / "best"


def rows_of(dest: Path, arpa: Path | None) -> list[Row]:
    """All ways to decode."""
    lexicon = ("--lexicon", str(dest / "lexicon.txt"))
    ngram = ("--w2l-decoder", "kenlm", "--lm-model", str(dest / "ngram.arpa"), *lexicon)
    rows = [
        Row("Viterbi"),
        Row("lexicon, no language model", ("--w2l-decoder", "kenlm", *lexicon)),
        Row("lexicon, 3-gram", ngram, ""),
    ]
    first = rows[-1].name
    if find_spec("flashlight"):
        rows.append(Row(f"{first}, flashlight", (*ngram, "--engine", "flashlight"), take=first))
    for name, _ in (SMALL, LARGE):
        fused = ("--w2l-decoder", "fairseqlm", "--lm-model", str(neural(dest, name)), *lexicon)
        rows.append(Row(f"lexicon, Transformer of {name}, fused", fused, ""))
        again = (*ngram, "--rescore-lm", str(neural(dest, name)))
        rows.append(Row(f"{first}, ranked anew by the Transformer of {name}", again, "rescore-", first))
    if arpa is not None:
        other = ("--lm-model", str(arpa), "--lexicon", str(dest / "other_lexicon.txt"))
        name = f"n-gram of other text and its words, {arpa.name}"
        rows.append(Row(name, ("--w2l-decoder", "kenlm", *other), ""))
    return rows


def tuned_weights(row: Row, half: str, dest: Path, before: Sequence[str], rounds: int) -> list[str]:
    """The weights that make the fewest errors on a half, as options."""
    found = dest / "tuned" / f"{row.name.replace(' ', '_')}_{half}.json"
    if not found.exists():
        emissions = ("--emissions", dest / f"heard_{half}", "--gen-subset", half)
        where = ("--lm-weights", 0, 5, "--word-scores", -4, 12, "--rounds", rounds, "--output", found)
        run("tune", dest / "halves", *emissions, *row.options, *before, *where)
    best = json.loads(found.read_text(encoding="utf-8"))
    again = "rescore_" if row.tuned else ""
    names = ("rescore_weight" if row.tuned else "lm_weight", f"{again}word_score")
    flags = [(f"--{name.replace('_', '-')}", f"{best[name]:g}") for name in names]
    return [*before, *(word for pair in flags for word in pair)]


def decode(row: Row, dest: Path, done: dict[str, Found], rounds: int) -> Found:
    """Tunes on one half and decodes the other, in turn."""
    found = Found(row.name)
    for half, other in (HALVES, HALVES[::-1]):
        weights = done[row.take].weights[half] if row.take else []
        if row.tuned is not None:
            weights = tuned_weights(row, other, dest, weights, rounds)
        results = dest / "results" / f"{row.name.replace(' ', '_')}_{half}"
        emissions = ("--emissions", dest / f"heard_{half}", "--gen-subset", half)
        run("evaluate", dest / "halves", *emissions, *row.options, *weights, "--results-path", results)
        summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
        for speaker, own in summary["speakers"].items():
            found.words[speaker] = own["num_words"]
            found.errors[speaker] = round(own["wer"] * own["num_words"] / 100)
        found.audio_seconds += summary["audio_seconds"]
        found.wall_seconds += summary["wall_seconds"]
        found.weights[half] = weights
    return found


def intervals(found: Found, base: Found) -> tuple[list[float], list[float]]:
    """Of the rate, and of its difference to that of `base`: 95 %, speakers drawn again."""
    names = sorted(found.words)
    words = np.array([found.words[name] for name in names], np.float64)
    errors = np.array([found.errors[name] for name in names], np.float64)
    less = errors - [base.errors[name] for name in names]
    draws = np.random.default_rng(1).integers(len(names), size=(DRAWS, len(names)))
    totals = words[draws].sum(1)
    return tuple(
        np.percentile(100 * counts[draws].sum(1) / totals, [2.5, 97.5]).tolist() for counts in (errors, less)
    )


def table(rows: Sequence[Found]) -> str:
    """Markdown."""
    lines = [
        "| decoding | WER % | 95 % | change | 95 % | decoding time, of audio |",
        "|---|---|---|---|---|---|",
    ]
    for one in rows:
        own, change = intervals(one, rows[0])
        delta = f"| {one.wer - rows[0].wer:+.1f} | {change[0]:+.1f} to {change[1]:+.1f}"
        delta = "| |" if one is rows[0] else delta
        share = one.wall_seconds / one.audio_seconds
        lines.append(f"| {one.name} | {one.wer:.1f} | {own[0]:.1f} to {own[1]:.1f} {delta} | {share:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measures all rows and writes the result file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("data", type=Path)
    options.add_argument("model", type=Path)
    options.add_argument("dest", type=Path)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--arpa", type=Path, help="one more n-gram model, of other text, in the same case")
    options.add_argument("--only", nargs="+", metavar="WORD", help="rows whose names hold one of these words")
    options.add_argument("--rounds", type=int, default=6, help="searches of `auricle tune` at most")
    options.add_argument("--dry", action="store_true", help="write no result file")
    arguments = options.parse_args()
    torch.set_num_threads(arguments.threads)
    dest = arguments.dest.resolve()
    arpa = arguments.arpa and arguments.arpa.resolve()
    rows = rows_of(dest, arpa)
    wanted = [row for row in rows if any(word in row.name for word in arguments.only or [""])]
    needed = {rows[0].name, *(row.name for row in wanted), *(row.take for row in wanted)}
    rows = [row for row in rows if row.name in needed]
    prepare(arguments.data.resolve(), arguments.model.resolve(), dest, arpa, rows)
    done: dict[str, Found] = {}
    for row in rows:
        done[row.name] = decode(row, dest, done, arguments.rounds)
    found = list(done.values())
    said = f"{arguments.data.name}: {len(found[0].words)} speakers, {sum(found[0].words.values())} words"
    print(f"\n{said}; {facts()['cpu']}, threads: {arguments.threads}\n\n{table(found)}")
    if not arguments.dry:
        content = {
            "job": said,
            "threads": arguments.threads,
            **facts(),
            "rows": [asdict(one) for one in found],
        }
        keep(content, f"decoding-{arguments.data.name}-{arguments.threads}-threads")


if __name__ == "__main__":
    main()
