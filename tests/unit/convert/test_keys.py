"""The tables speak of fields that exist, and each can be read in both directions."""

import json
from pathlib import Path

import pytest

import forged
from auricle.convert import keys
from auricle.convert.values import path_type
from auricle.models.build import build_model
from auricle.models.config import (
    CTCConfig,
    LanguageModelConfig,
    RobertaConfig,
    Seq2SeqConfig,
    Wav2Vec2Config,
)

WORDS = [
    (keys.PRETRAINING_WORDS, Wav2Vec2Config),
    (keys.FINETUNING_WORDS, Wav2Vec2Config),
    (keys.CTC_WORDS, CTCConfig),
    (keys.SEQ2SEQ_WORDS, Seq2SeqConfig),
    (keys.LANGUAGE_MODEL_WORDS, LanguageModelConfig),
    (keys.ROBERTA_WORDS, RobertaConfig),
]


@pytest.mark.parametrize(("table", "config"), WORDS)
def test_every_path_is_a_field_and_stands_once(table: dict[str, str], config: type) -> None:
    for path in table.values():
        path_type(config, path)
    assert len(set(table.values())) == len(table)


def test_what_finetuning_replaces_are_fields_of_the_encoder() -> None:
    for path in keys.FINETUNING_DEFAULTS:
        path_type(Wav2Vec2Config, path)
    assert {path.split(".")[0] for path in keys.FINETUNING_DEFAULTS} <= {
        path.split(".")[0] for path in keys.FINETUNING_WORDS.values()
    }


def test_each_word_means_the_same_wherever_it_stands() -> None:
    both = keys.PRETRAINING_WORDS.keys() & keys.FINETUNING_WORDS.keys()
    assert all(keys.PRETRAINING_WORDS[word] == keys.FINETUNING_WORDS[word] for word in both)


def test_words_are_those_of_fairseq() -> None:
    facts = Path(__file__).resolve().parents[4] / "shared" / "facts" / "options.json"
    if not facts.is_file():
        pytest.skip(f"no table of fairseq's options at {facts}")
    options = json.loads(facts.read_text())
    ours = {"reference_padding"}
    pretraining = options["wav2vec2"].keys() | options["task.audio_pretraining"].keys()
    assert keys.PRETRAINING_WORDS.keys() - ours <= pretraining
    finetuning = options["wav2vec_ctc_base"].keys() | options["wav2vec_ctc"].keys()
    assert (keys.FINETUNING_WORDS.keys() | keys.CTC_WORDS.keys()) - ours <= finetuning
    seq2seq = options["wav2vec_ctc_base"].keys() | options["wav2vec_seq2seq"].keys()
    assert keys.SEQ2SEQ_WORDS.keys() <= seq2seq


def test_prefixes_cover_the_parameters_of_a_ctc_model() -> None:
    state = build_model(CTCConfig(encoder=forged.ENCODER, num_labels=5)).state_dict()
    assert all(name.startswith(tuple(keys.CTC_STATE_PREFIXES.values())) for name in state)


def test_heads_are_what_pretraining_has_besides_the_encoder() -> None:
    whole = build_model(forged.ENCODER).state_dict()
    encoder = build_model(CTCConfig(encoder=forged.ENCODER, num_labels=5)).encoder.state_dict()
    surplus = whole.keys() - encoder.keys()
    assert surplus and all(name.startswith(keys.PRETRAINING_HEADS) for name in surplus)
    assert not any(name.startswith(keys.PRETRAINING_HEADS) for name in encoder)
