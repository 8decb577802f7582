"""The words of fairseq's two `infer.py`, old flags and Hydra keys, as options of `auricle evaluate`.

auricle infer D --task audio_finetuning --nbest 1 --path M --gen-subset test --w2l-decoder viterbi ...
auricle infer task.data=D common_eval.path=M dataset.gen_subset=test decoding.type=viterbi ...
"""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from auricle.errors import UserError

Kind = type[str] | type[int] | type[float] | type[Path]

HYDRA_KEYS: dict[str, tuple[str, Kind]] = {
    "task.data": ("data", Path),
    "task.labels": ("labels", str),
    "common_eval.path": ("model", Path),
    "common_eval.results_path": ("results_path", Path),
    "common_eval.post_process": ("post_process", str),
    "dataset.gen_subset": ("subset", str),
    "dataset.max_tokens": ("max_tokens", int),
    "dataset.batch_size": ("batch_size", int),
    "dataset.num_workers": ("num_workers", int),
    "decoding.results_path": ("results_path", Path),
    "decoding.type": ("decoder", str),
    "decoding.lmpath": ("lm_model", Path),
    "decoding.lexicon": ("lexicon", Path),
    "decoding.lmweight": ("lm_weight", float),
    "decoding.wordscore": ("word_score", float),
    "decoding.silweight": ("sil_weight", float),
    "decoding.unkweight": ("unk_weight", float),
    "decoding.beam": ("beam", int),
    "decoding.beamthreshold": ("beam_threshold", float),
    "decoding.beamsizetoken": ("beam_size_token", int),
    "decoding.nbest": ("nbest", int),
}
"""Hydra keys that are options of ours, and the type of their values."""

NOTHING = ("null", "None", "")
"""Values of keys that are to have their defaults."""

UNUSED_KEYS = frozenset(
    [
        *("task", "criterion", "task.normalize", "common.user_dir", "common.seed", "common.fp16"),
        *("common.cpu", "common_eval.quiet", "decoding.unitlm", "decoding.unique_wer_file"),
        *("dataset.required_batch_size_multiple", "dataset.skip_invalid_size_inputs_valid_test"),
        *("distributed_training.distributed_world_size", "hydra.run.dir", "hydra.sweep.dir"),
    ]
)
"""Hydra keys that say nothing we need to be told: the checkpoint knows the rest."""

UNUSED_FLAGS = {
    "--task": True,
    "--criterion": True,
    "--user-dir": True,
    "--seed": True,
    "--log-format": True,
    "--log-interval": True,
    "--config-dir": True,
    "--config-name": True,
    "--required-batch-size-multiple": True,
    "--quiet": False,
    "--fp16": False,
    "--no-progress-bar": False,
    "--skip-invalid-size-inputs-valid-test": False,
}
"""Flags of the same kind; True where a value follows."""


_OWN_FLAGS = (
    *("--model", "--path", "--checkpoint", "--gen-subset", "--results-path", "--labels", "--dictionary"),
    *("--max-tokens", "--batch-size", "--w2l-decoder", "--post-process", "--num-workers", "--device"),
    *("--lm-model", "--kenlm-model", "--lexicon", "--lm-weight", "--word-score", "--sil-weight"),
    *("--unk-weight", "--beam", "--beam-threshold", "--beam-size-token", "--nbest", "--engine", "--preset"),
)


def read_words(words: Sequence[str]) -> dict[str, Any]:
    """Options of ours, by name, from the words that `auricle evaluate` does not declare itself.

    Raises:
        UserError: A word is unknown (the nearest known one is named), has a value of the wrong type, or
            is a second data folder.
    """
    options: dict[str, Any] = {}
    for name, value in _pairs(words):
        if name in HYDRA_KEYS:
            option, kind = HYDRA_KEYS[name]
            if value not in NOTHING:
                options[option] = _converted(name, value, kind)
        elif name == "--cpu":
            options["device"] = "cpu"
        elif name == "":
            if "data" in options:
                raise UserError(f"{value!r} is a word too many: the data folder is {options['data']} already")
            options["data"] = Path(value)
        elif name not in UNUSED_KEYS and name not in UNUSED_FLAGS:
            raise UserError(f"unknown {_kind(name)} {name}{_nearest(name)}")
    return options


def _converted(name: str, value: str, kind: Kind) -> str | int | float | Path:
    try:
        return kind(value)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise UserError(f"{name} takes a {what}, not {value!r}") from None


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each flag or key with its value; a bare word goes under the empty name."""
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            follows = UNUSED_FLAGS.get(name, False)
            yield name, value if equals or not follows else next(rest, "")
        elif equals:
            yield name.lstrip("+"), value.strip("'\"")
        else:
            yield "", word


def _kind(name: str) -> str:
    return "option" if name.startswith("-") else "key"


def _nearest(name: str) -> str:
    known = [*HYDRA_KEYS, *UNUSED_KEYS, *UNUSED_FLAGS, *_OWN_FLAGS]
    close = get_close_matches(name, [word for word in known if _kind(word) == _kind(name)], n=1)
    return f": did you mean {close[0]}?" if close else ": see auricle evaluate --help"
