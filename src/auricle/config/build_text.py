"""From a recipe to the parts of a run on text: dictionary, samples, network, objective."""

import logging
from pathlib import Path

from auricle.config.load import as_mapping
from auricle.config.schema import Recipe
from auricle.config.schema_text import (
    AdaptiveLossKeys,
    CrossEntropyKeys,
    LanguageModelingKeys,
    MaskedLMKeys,
    RobertaKeys,
    TextKeys,
    TransformerLMKeys,
)
from auricle.convert.text_config import language_model_config_from_fairseq, roberta_config_from_fairseq
from auricle.data.loader import BatchLoader
from auricle.data.text import Cut, TextBatch, TextDataset
from auricle.dictionary import MASK, Dictionary
from auricle.errors import UserError
from auricle.models.build import Model
from auricle.models.config import LanguageModelConfig, RobertaConfig
from auricle.models.language_model import TransformerLM
from auricle.models.roberta import Roberta
from auricle.textfile import iterate_lines
from auricle.train.text import LanguageModelObjective, MaskedLMObjective
from auricle.train.text_draws import SymbolDraws, SymbolMaskConfig

_log = logging.getLogger(__name__)

_PLAIN_SUFFIXES = ("src", "txt")
"""Of texts whose dictionary is dict.txt; looked for in this order."""


def text_dictionary(recipe: Recipe) -> Dictionary:
    """The dictionary of a recipe's texts; where the folder has none, the symbols of the training text.

    Raises:
        UserError: there is no training text, or the dictionary cannot be read.
    """
    task = recipe.task
    assert isinstance(task, TextKeys)
    plain = task.suffix is None or task.suffix in _PLAIN_SUFFIXES
    path = Path(task.data).expanduser() / ("dict.txt" if plain else f"dict.{task.suffix}.txt")
    if path.exists():
        dictionary = Dictionary.load(path)
    else:
        text = text_path(task, recipe.dataset.train_subset)
        dictionary = Dictionary.from_labels(iterate_lines(text)).padded()
        _log.info("there is no %s: %d symbols were collected from %s", path, len(dictionary), text.name)
    masked = isinstance(task, MaskedLMKeys) and MASK not in dictionary
    return dictionary.extended([MASK]) if masked else dictionary


def text_path(task: TextKeys, subset: str) -> Path:
    """The file of a subset: `SUBSET.src` or `SUBSET.txt`, or the one with `task.suffix`.

    Raises:
        UserError: there is none, or there are both.
    """
    folder = Path(task.data).expanduser()
    if not folder.is_dir():
        raise UserError(f"task.data={task.data}: there is no such folder")
    suffixes = _PLAIN_SUFFIXES if task.suffix is None else (task.suffix,)
    found = [path for path in (folder / f"{subset}.{suffix}" for suffix in suffixes) if path.exists()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{folder} has both {subset}.src and {subset}.txt: choose with task.suffix=src or txt"
        )
    wanted = " or ".join(f"{subset}.{suffix}" for suffix in suffixes)
    binary = (folder / f"{subset}.bin").exists()
    advice = (
        "fairseq's binary data are not read: put the text there that they were made from"
        if binary
        else "make codes with `auricle tokenize`, or put a text there, a sentence a line; task.suffix=ltr "
        "takes label files"
    )
    raise UserError(f"{folder} has no {wanted}: {advice}")


def text_loader(
    recipe: Recipe, model: Model, dictionary: Dictionary, subset: str, *, train: bool
) -> BatchLoader[TextBatch]:
    """The batches of a subset, read in this process: the text is in memory."""
    data = recipe.dataset
    assert isinstance(recipe.task, TextKeys)
    path = text_path(recipe.task, subset)
    dataset = TextDataset(path, dictionary, _cut(recipe.task, model, subset))
    if dataset.num_unknown:
        share = 100 * dataset.num_unknown / dataset.num_symbols
        _log.info("%s: %d symbols (%.2g%%) are not in the dictionary", path, dataset.num_unknown, share)
    return BatchLoader(
        dataset,
        max_tokens=data.max_tokens if train else data.max_tokens_valid,
        batch_size=data.batch_size if train else data.batch_size_valid,
        required_batch_size_multiple=data.required_batch_size_multiple,
        seed=recipe.task.seed,
        pad=True,
        shuffle=train,
        drop_remainder=data.drop_remainder and train,
    )


def _cut(task: TextKeys, model: Model, subset: str) -> Cut:
    shortened = [name.strip() for name in task.shorten_data_split_list.split(",") if name.strip()]
    shorten = task.shorten_method if not shortened or subset in shortened else "none"
    if isinstance(model, Roberta):
        bos, longest = Dictionary.bos_index, model.config.max_positions
        return Cut(task.sample_break_mode, task.tokens_per_sample, bos, True, shorten, longest)
    assert isinstance(model, TransformerLM)
    decoder = model.config.decoder
    return Cut(
        task.sample_break_mode,
        task.tokens_per_sample,
        first=Dictionary.bos_index if model.config.add_bos_token else None,
        shorten=shorten,
        longest=decoder.max_positions if decoder.positions == "learned" else None,
    )


def text_model_config(recipe: Recipe, num_symbols: int) -> RobertaConfig | LanguageModelConfig:
    """The model that a recipe describes.

    Raises:
        UserError: keys do not fit together, or ask for what this version cannot do.
    """
    keys = recipe.model
    _check(recipe)
    if isinstance(keys, RobertaKeys):
        return roberta_config_from_fairseq(
            as_mapping(keys), num_symbols, keys.max_positions, keys.layernorm_embedding
        )
    assert isinstance(keys, TransformerLMKeys)
    config = language_model_config_from_fairseq(as_mapping(keys), num_symbols)
    if isinstance(recipe.criterion, AdaptiveLossKeys) and not config.softmax_cutoffs:
        raise UserError(
            "the criterion adaptive_loss needs bands of symbols: set model.adaptive_softmax_cutoff, or "
            "criterion=cross_entropy"
        )
    return config


def text_objective(
    recipe: Recipe, model: Model, dictionary: Dictionary
) -> MaskedLMObjective | LanguageModelObjective:
    """What a run on text minimises."""
    task, criterion = recipe.task, recipe.criterion
    if isinstance(model, Roberta):
        assert isinstance(task, MaskedLMKeys)
        return MaskedLMObjective(model, SymbolDraws(_masking(task), dictionary, task.seed))
    assert isinstance(model, TransformerLM) and isinstance(criterion, CrossEntropyKeys | AdaptiveLossKeys)
    return LanguageModelObjective(model, criterion.sentence_avg)


def _masking(task: MaskedLMKeys) -> SymbolMaskConfig:
    return SymbolMaskConfig(
        prob=task.mask_prob,
        leave_unmasked_prob=task.leave_unmasked_prob,
        random_token_prob=task.random_token_prob,
        freq_weighted=task.freq_weighted_replacement,
        length=task.mask_multiple_length,
        stdev=task.mask_stdev,
    )


def _check(recipe: Recipe) -> None:
    task = recipe.task
    assert isinstance(task, TextKeys)
    if task.tokens_per_sample < 2:
        raise UserError(f"task.tokens_per_sample: expected 2 or more, got {task.tokens_per_sample}")
    if isinstance(task, LanguageModelingKeys) and task.output_dictionary_size >= 0:
        raise UserError("task.output_dictionary_size: this version predicts every symbol: leave it at -1")
    if isinstance(task, MaskedLMKeys):
        _check_masking(task)


def _check_masking(task: MaskedLMKeys) -> None:
    for name in ("mask_whole_words", "skip_masking"):
        if getattr(task, name):
            raise UserError(f"task.{name}: this version masks symbols by themselves: leave it false")
    if not 0.0 < task.mask_prob <= 1.0:
        raise UserError(f"task.mask_prob: expected a share above 0 and up to 1, got {task.mask_prob:g}")
    if task.mask_multiple_length < 1 or task.mask_stdev < 0:
        raise UserError("task.mask_multiple_length must be 1 or more, and task.mask_stdev 0 or more")
    shares = (task.leave_unmasked_prob, task.random_token_prob)
    if min(shares) < 0 or sum(shares) > 1:
        raise UserError(
            "task.leave_unmasked_prob and task.random_token_prob are shares of the masked symbols: they must "
            f"add up to 1 at most, not {sum(shares):g}"
        )
