"""From a recipe to the network that a run starts from.

fairseq's words for a model become ours through the tables of `convert/keys.py`, which checkpoints need too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from auricle.config.build_text import text_model_config
from auricle.config.corpora import corpus_names
from auricle.config.load import as_mapping
from auricle.config.schema import Recipe
from auricle.config.schema_model import FineTuningKeys, Seq2SeqKeys, Wav2Vec2Keys, Wav2VecKeys
from auricle.config.schema_task import AudioKeys
from auricle.config.schema_text import TextKeys
from auricle.convert.fairseq_config import (
    config_from_fairseq,
    ctc_config_from_fairseq,
    wav2vec_config_from_fairseq,
)
from auricle.convert.load import Loaded, load
from auricle.convert.text_config import seq2seq_config_from_fairseq
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.build import Model, build_model
from auricle.models.config import CTCConfig, ModelConfig, Seq2SeqConfig, SpeechConfig, Wav2Vec2Config
from auricle.models.conv import receptive_field
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec2 import Wav2Vec2


def initial_model(recipe: Recipe, dictionary: Dictionary | None) -> Model:
    """The network a run starts from: with a pre-trained encoder, another model's weights, or fresh ones.

    Raises:
        UserError: a checkpoint is missing, of another kind, or was trained on other audio.
    """
    keys = recipe.model
    encoder = pretrained_encoder(recipe)
    config = model_config(recipe, encoder, len(dictionary) if dictionary else 0)
    _check_adapters(recipe, config)
    model = build_model(config)
    if encoder.loaded and isinstance(model, Wav2Vec2CTC | Wav2Vec2Seq2Seq):
        wanted, given = model.encoder.state_dict(), _encoder_weights(encoder.loaded)
        given = _fresh_adapters(wanted, given) | given
        _check_weights(wanted, given, f"model.w2v_path={encoder.loaded.source}")
        model.encoder.load_state_dict({name: given[name] for name in wanted})
    if recipe.checkpoint.finetune_from_model is not None:
        start = _start(recipe, recipe.checkpoint.finetune_from_model, model, dictionary)
        model.load_state_dict({name: start[name] for name in model.state_dict()})
    if isinstance(keys, FineTuningKeys) and keys.freeze_regex is not None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(re.search(keys.freeze_regex, name) is None)
    return model


def _start(
    recipe: Recipe, path: str, model: Model, dictionary: Dictionary | None
) -> Mapping[str, torch.Tensor]:
    """The weights of `checkpoint.finetune_from_model`, sure to mean the same here.

    Raises:
        UserError: it is of another architecture, writes other symbols, or was trained on other audio.
    """
    loaded = load(Path(path).expanduser())
    if isinstance(model, Wav2Vec2CTC | Wav2Vec2Seq2Seq) and isinstance(loaded.model, Wav2Vec2):
        raise UserError(
            f"checkpoint.finetune_from_model={path} was pre-trained only: start from it with model.w2v_path"
        )
    if dictionary is not None and loaded.dictionary is not None:
        advice = f"make the labels with {path}'s, or take only its encoder, with model.w2v_path"
        dictionary.check_same(loaded.dictionary, "the dictionary of the labels", advice)
    start = loaded.model.state_dict()
    _check_weights(model.state_dict(), start, f"checkpoint.finetune_from_model={path}")
    if isinstance(loaded.config, SpeechConfig):
        _check_audio(recipe, loaded.config, path)
    return start


@dataclass(frozen=True, slots=True)
class Pretrained:
    """The encoder that fine-tuning starts from.

    Attributes:
        config: What it was pre-trained with; None where the run pre-trains one itself.
        loaded: The checkpoint whose weights are taken; None for random weights.
    """

    config: Wav2Vec2Config | None = None
    loaded: Loaded | None = None


def pretrained_encoder(recipe: Recipe) -> Pretrained:
    """Opens `model.w2v_path`, or reads the architecture in `model.w2v_args`.

    Raises:
        UserError: the file does not open, or it and the recipe disagree on `normalize`.
    """
    keys = recipe.model
    if not isinstance(keys, FineTuningKeys):
        return Pretrained()
    if keys.w2v_path is None:
        assert keys.w2v_args is not None  # load_recipe has seen to it
        return Pretrained(_pretraining_config(keys.w2v_args.model, recipe))
    loaded = load(Path(keys.w2v_path).expanduser())
    config = loaded.config.encoder if isinstance(loaded.config, CTCConfig | Seq2SeqConfig) else loaded.config
    if not isinstance(config, Wav2Vec2Config):
        raise UserError(f"model.w2v_path={keys.w2v_path} holds no wav2vec 2.0 encoder: choose another")
    _check_audio(recipe, config, keys.w2v_path)
    return Pretrained(config, None if keys.no_pretrained_weights else loaded)


def model_config(recipe: Recipe, encoder: Pretrained, num_labels: int) -> ModelConfig:
    """The model that a recipe describes, in the words of `auricle.models`.

    Raises:
        UserError: no model can be like that, or it would hear too little of each clip to make a frame.
    """
    if isinstance(recipe.task, TextKeys):
        return text_model_config(recipe, num_labels)
    config = _speech_config(recipe, encoder, num_labels)
    heard = config.encoder if isinstance(config, CTCConfig | Seq2SeqConfig) else config
    least, longest = receptive_field(heard.conv_layers), recipe.task.max_sample_size
    if longest is not None and longest < least:
        raise UserError(
            f"task.max_sample_size={longest}: a frame sees {least} samples: give that many or more, or null"
        )
    return config


def _speech_config(recipe: Recipe, encoder: Pretrained, num_labels: int) -> SpeechConfig:
    if isinstance(recipe.model, Wav2Vec2Keys):
        return _pretraining_config(recipe.model, recipe)
    if isinstance(recipe.model, Wav2VecKeys):
        return wav2vec_config_from_fairseq(as_mapping(recipe.model) | _audio(recipe))
    assert encoder.config is not None
    if isinstance(recipe.model, Seq2SeqKeys):
        return seq2seq_config_from_fairseq(as_mapping(recipe.model), encoder.config, num_labels)
    return ctc_config_from_fairseq(as_mapping(recipe.model), encoder.config, num_labels)


def _pretraining_config(keys: Wav2Vec2Keys, recipe: Recipe) -> Wav2Vec2Config:
    return config_from_fairseq(as_mapping(keys) | _audio(recipe))


def _audio(recipe: Recipe) -> dict[str, Any]:
    assert isinstance(recipe.task, AudioKeys)
    return {"normalize": recipe.task.normalize, "sample_rate": recipe.task.sample_rate}


def _encoder_weights(loaded: Loaded) -> dict[str, torch.Tensor]:
    model: torch.nn.Module = loaded.model
    return (model.encoder if isinstance(model, Wav2Vec2CTC | Wav2Vec2Seq2Seq) else model).state_dict()


def _check_adapters(recipe: Recipe, config: ModelConfig) -> None:
    if isinstance(config, CTCConfig | Seq2SeqConfig):
        config = config.encoder
    if not isinstance(config, Wav2Vec2Config) or config.encoder.layer_type != "trf_adp":
        return
    assert isinstance(recipe.task, AudioKeys)
    names, count = corpus_names(recipe.task), config.encoder.num_adapters
    if max(1, len(names)) > count or (count > 1 and not names):
        listed = f"task.multi_corpus_keys={','.join(names)}" if names else "task.multi_corpus_keys is not set"
        raise UserError(
            f"model.adp_num={count}, but {listed}: give each corpus a key and an adapter, as in "
            "\"task.multi_corpus_keys='en,fr'\" \"dataset.train_subset='en:train_en,fr:train_fr'\" "
            "model.adp_num=2"
        )


def _fresh_adapters(
    wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The adapters that fine-tuning adds to an encoder that has none."""
    if any(".adapter_layer." in name for name in given):
        return {}
    return {name: tensor for name, tensor in wanted.items() if ".adapter_layer." in name}


def _check_audio(recipe: Recipe, config: SpeechConfig, path: str) -> None:
    assert isinstance(recipe.task, AudioKeys)
    for word, asked, trained in (
        ("normalize", recipe.task.normalize, config.normalize),
        ("sample_rate", recipe.task.sample_rate, config.sample_rate),
    ):
        if asked != trained:
            raise UserError(
                f"task.{word}={_yaml(asked)} of the recipe does not go with {path}, which was "
                f"trained with {word}={_yaml(trained)}: add task.{word}={_yaml(trained)}, or choose another "
                "checkpoint"
            )


def _check_weights(wanted: Mapping[str, Any], given: Mapping[str, Any], where: str) -> None:
    wrong = [n for n in wanted if n not in given or given[n].shape != wanted[n].shape]
    if wrong:
        raise UserError(f"{where} is of another architecture: it has no {wrong[0]} of the recipe's shape")


def _yaml(value: object) -> str:
    return str(value).lower()
