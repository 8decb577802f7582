import math
import shlex
from pathlib import Path

import pytest

from auricle.cli.infer_words import read_words
from auricle.errors import UserError


def test_the_old_command_line_leaves_only_its_folder():
    words = read_words(shlex.split("D --task audio_finetuning --criterion ctc --fp16 --seed=3"))
    assert words == {"data": Path("D")}


def test_hydra_keys_become_options():
    words = read_words(
        shlex.split(
            "--config-dir conf --config-name infer task=audio_finetuning task.data=/d task.labels=ltr "
            "decoding.type=viterbi dataset.gen_subset=dev_clean dataset.max_tokens=1100000 "
            "common_eval.path='/c/checkpoint best.pt' +decoding.results_path=\"R\" decoding.beam=1500 "
            "decoding.lmpath=/lm.bin decoding.lexicon=null decoding.lmweight=1.74 decoding.unkweight=-inf "
            "decoding.unique_wer_file=True distributed_training.distributed_world_size=8"
        )
    )
    assert words == {
        "data": Path("/d"),
        "labels": "ltr",
        "decoder": "viterbi",
        "subset": "dev_clean",
        "max_tokens": 1_100_000,
        "model": Path("/c/checkpoint best.pt"),
        "results_path": Path("R"),
        "beam": 1500,
        "lm_model": Path("/lm.bin"),
        "lm_weight": 1.74,
        "unk_weight": -math.inf,
    }


def test_cpu_is_a_device():
    assert read_words(["--cpu"]) == {"device": "cpu"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("decoding.lmweight=heavy", "takes a number, not 'heavy'"),
        ("--lm-wieght", r"unknown option --lm-wieght: did you mean --lm-weight\?"),
        ("--gen-subsets", r"did you mean --gen-subset\?"),
        ("decoding.typ=viterbi", r"unknown key decoding.typ: did you mean decoding.type\?"),
        ("xyzzy=1", "unknown key xyzzy: see auricle evaluate --help"),
        ("dataset.max_tokens=many", "takes a whole number, not 'many'"),
    ],
)
def test_mistakes_are_named(word, message):
    with pytest.raises(UserError, match=message):
        read_words([word])


def test_two_folders_are_one_too_many():
    with pytest.raises(UserError, match="'E' is a word too many: the data folder is D"):
        read_words(["D", "E"])
