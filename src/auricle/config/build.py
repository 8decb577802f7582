"""From a recipe to the objects of a run: data, schedule, optimizer, loop (the model: `build_model.py`)."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from auricle.config.build_model import initial_model
from auricle.config.build_schedule import schedule
from auricle.config.build_text import text_dictionary, text_loader, text_objective
from auricle.config.corpora import corpus_names, parts_of, weights_of
from auricle.config.load import recipe_yaml
from auricle.config.schema import Recipe
from auricle.config.schema_model import CTCKeys, FineTuningKeys, Seq2SeqKeys
from auricle.config.schema_task import ContrastiveKeys, CTCLossKeys, LabelSmoothedKeys
from auricle.config.schema_text import TextKeys
from auricle.config.word_decoder import word_decoder
from auricle.data.corpora import SeveralCorpora
from auricle.data.dataset import SpeechDataset
from auricle.data.loader import BatchLoader
from auricle.data.text import unknowns
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.manifest import read_labels, read_manifest
from auricle.models.build import Model
from auricle.models.config import Wav2Vec2Config
from auricle.models.cost import cost_of
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec import Wav2Vec
from auricle.models.wav2vec2 import Wav2Vec2, Wav2Vec2Pretraining
from auricle.train.compiled import compile_parts
from auricle.train.draws import Draws, SeededDraws
from auricle.train.engine import Engine, open_engine
from auricle.train.loop import LoopOptions, Trainer
from auricle.train.machine import cap_threads, matmul_flops
from auricle.train.objective import CTCObjective, Objective, PredictionObjective, PretrainingObjective
from auricle.train.optim import Adam
from auricle.train.seq2seq import Seq2SeqObjective
from auricle.train.step import DTYPES, LossScale, Precision, Step
from auricle.train.watch import watcher_of

_log = logging.getLogger(__name__)

_NAMED = 5
"""Set-aside utterances named on the terminal; the rest stands in the run folder."""


def build_run(recipe: Recipe, *, draws: Draws | None = None, engine: Engine | None = None) -> Trainer:
    """Everything a run needs, ready to `run()`.

    Args:
        recipe: What to do.
        draws: Where masks, distractors and noise come from; by default, drawn from `common.seed`.
        engine: The workers that do it together; by default, those that the environment speaks of.

    Raises:
        UserError: the recipe asks for what is not there or does not fit together.
    """
    workers = recipe.distributed_training
    engine = engine or open_engine(
        cpu=recipe.common.cpu,
        sharded=workers.ddp_backend == "fully_sharded",
        find_unused=workers.find_unused_parameters,
    )
    folder = Path(recipe.checkpoint.save_dir).expanduser()
    with engine.watched(), engine.together():
        dictionary = _dictionary(recipe)
        torch.manual_seed(recipe.common.seed)
        cap_threads(engine.device, recipe.dataset.num_workers)
        model = initial_model(recipe, dictionary).to(engine.device)
        train = _loader(recipe, model, dictionary, recipe.dataset.train_subset, train=True)
        valid = {
            name: _loader(recipe, model, dictionary, name, train=False) for name in _valid_subsets(recipe)
        }
        for subset, loader in {recipe.dataset.train_subset: train, **valid}.items():
            if engine.first:
                _report_set_aside(folder, subset, loader)
    if recipe.common.compile:
        compile_parts(model)
    engine.distribute(model)
    batches = _batches_of_update(recipe, engine)
    with engine.watched(), engine.together():
        precision = _precision(recipe, engine.device)
        objective = _objective(recipe, model, dictionary, draws or SeededDraws(recipe.common.seed))
        return Trainer(
            folder=folder,
            model=model,
            dictionary=dictionary,
            step=_step(recipe, model, objective, precision, engine, batches[0]),
            schedule=schedule(recipe),
            train=train,
            valid=valid,
            options=_loop_options(recipe, batches),
            recipe=recipe_yaml(recipe),
            watcher=watcher_of(model.config, _device_seconds(model, engine.device, precision)),
        )


# --- the data


def _dictionary(recipe: Recipe) -> Dictionary | None:
    """Of the text, or of the labels; None where there is neither."""
    if isinstance(recipe.task, TextKeys):
        return text_dictionary(recipe)
    return read_dictionary(recipe) if isinstance(recipe.model, FineTuningKeys) else None


def read_dictionary(recipe: Recipe) -> Dictionary:
    """The dictionary of a fine-tuning recipe's labels.

    Raises:
        UserError: the recipe names no labels, or the dictionary is missing.
    """
    task = recipe.task
    assert not isinstance(task, TextKeys)
    if task.labels is None:
        raise UserError("task.labels is not set: give the suffix of the label files, such as task.labels=ltr")
    own = getattr(task, "target_dictionary", None)
    return Dictionary.load(Path(own).expanduser() if own else _data(recipe) / f"dict.{task.labels}.txt")


def _data(recipe: Recipe) -> Path:
    folder = Path(recipe.task.data).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"task.data={recipe.task.data}: there is no such folder; make it with `auricle manifest`"
        )
    return folder


def _valid_subsets(recipe: Recipe) -> list[str]:
    if recipe.dataset.disable_validation:
        return []
    return [name.strip() for name in recipe.dataset.valid_subset.split(",")]


def _loader(
    recipe: Recipe, model: Model, dictionary: Dictionary | None, subset: str, *, train: bool
) -> BatchLoader[Any]:
    task, data = recipe.task, recipe.dataset
    if isinstance(task, TextKeys):
        assert dictionary is not None
        return text_loader(recipe, model, dictionary, subset, train=train)
    parts = [
        (number, _dataset(recipe, model, dictionary, name, train=train))
        for number, name in parts_of(task, subset)
    ]
    weights = weights_of(task, parts) if train else None
    return BatchLoader(
        SeveralCorpora(parts, weights) if corpus_names(task) else parts[0][1],
        max_tokens=data.max_tokens if train else data.max_tokens_valid,
        batch_size=data.batch_size if train else data.batch_size_valid,
        required_batch_size_multiple=data.required_batch_size_multiple,
        seed=task.seed,
        num_workers=data.num_workers,
        pad=task.enable_padding or dictionary is not None,
        shuffle=train,
        drop_remainder=data.drop_remainder and train,
    )


def _dataset(
    recipe: Recipe, model: Model, dictionary: Dictionary | None, name: str, *, train: bool
) -> SpeechDataset:
    """The utterances of one manifest."""
    task, folder = recipe.task, _data(recipe)
    assert not isinstance(task, TextKeys)
    manifest = read_manifest(folder / f"{name}.tsv")
    encoder = model.encoder if isinstance(model, Wav2Vec2CTC | Wav2Vec2Seq2Seq) else model
    assert isinstance(encoder, Wav2Vec | Wav2Vec2)
    return SpeechDataset(
        manifest,
        labels=read_labels(folder / f"{name}.{task.labels}", manifest) if dictionary else None,
        dictionary=dictionary,
        sample_rate=task.sample_rate,
        normalize=task.normalize,
        min_sample_size=task.min_sample_size,
        max_sample_size=task.max_sample_size,
        num_frames=encoder.num_frames,
        labels_need_frames=isinstance(model, Wav2Vec2CTC),
        speed_perturbation=task.speed_perturbation if train else 0.0,
    )


def _report_set_aside(folder: Path, subset: str, loader: BatchLoader[Any]) -> None:
    """Names what is left out of a subset: the first few on the terminal, all in the run folder."""
    if not loader.set_aside:
        return
    listing = folder / f"set_aside.{subset.replace(':', '-')}.tsv"
    atomic_write_text(listing, "".join(f"{item.name}\t{item.reason}\n" for item in loader.set_aside))
    for item in loader.set_aside[:_NAMED]:
        _log.info("set aside %s: %s", item.name, item.reason)
    _log.info("%s: %d utterances set aside, listed in %s", subset, len(loader.set_aside), listing)


# --- optimisation


def _step(
    recipe: Recipe,
    model: Model,
    objective: Objective,
    precision: Precision,
    engine: Engine,
    num_batches: int,
) -> Step:
    common, keys = recipe.common, recipe.optimizer
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise UserError("model.freeze_regex leaves nothing to train: choose a pattern that matches less")
    window = common.amp_scale_window if common.amp else common.fp16_scale_window
    return Step(
        model,
        objective,
        Adam(trained, keys.adam_betas, keys.adam_eps, keys.weight_decay),
        seed=common.seed,
        precision=precision,
        clip_norm=recipe.optimization.clip_norm,
        loss_scale=LossScale(
            value=common.amp_init_scale if common.amp else common.fp16_init_scale,
            window=window or max(1, 2**14 // num_batches),  # fairseq's default
            smallest=common.min_loss_scale,
        ),
        engine=engine,
        stand_in=unknowns() if isinstance(recipe.task, TextKeys) else None,
    )


def _objective(recipe: Recipe, model: Model, dictionary: Dictionary | None, draws: Draws) -> Objective:
    keys = recipe.criterion
    if isinstance(recipe.task, TextKeys):
        assert dictionary is not None
        return text_objective(recipe, model, dictionary)
    if isinstance(keys, CTCLossKeys):
        assert isinstance(model, Wav2Vec2CTC) and isinstance(recipe.model, CTCKeys) and dictionary is not None
        return CTCObjective(
            model,
            draws,
            dictionary,
            zero_infinity=keys.zero_infinity,
            sentence_avg=keys.sentence_avg,
            freeze_updates=recipe.model.freeze_finetune_updates,
            word_decoder=word_decoder(recipe, dictionary),
        )
    if isinstance(keys, LabelSmoothedKeys):
        assert isinstance(model, Wav2Vec2Seq2Seq) and isinstance(recipe.model, Seq2SeqKeys)
        assert dictionary is not None
        return Seq2SeqObjective(
            model,
            draws,
            dictionary,
            label_smoothing=keys.label_smoothing,
            sentence_avg=keys.sentence_avg,
            freeze_updates=recipe.model.freeze_finetune_updates,
        )
    if isinstance(model, Wav2Vec):
        assert isinstance(keys, ContrastiveKeys)
        return PredictionObjective(model, draws, _weight_of_quantizer(keys, model))
    assert isinstance(model, Wav2Vec2Pretraining) and isinstance(keys, ContrastiveKeys)
    return PretrainingObjective(model, draws, _loss_weights(keys, model.config))


def _weight_of_quantizer(keys: ContrastiveKeys, model: Wav2Vec) -> tuple[float, ...]:
    weights = keys.loss_weights or ()
    if len(weights) > 1:
        raise UserError(f"criterion.loss_weights={list(weights)}: the model has one penalty at most")
    return weights if model.vector_quantizer is not None else ()


def _device_seconds(
    model: Model, device: torch.device, precision: Precision
) -> Callable[[int, int], float] | None:
    """What a batch of (rows, samples) would take the device at the speed of a matrix product."""
    cost = cost_of(model.config)
    if cost is None:
        return None
    # on a CPU float32 products are the fastest there are; 16 bits often are not
    speed = matmul_flops(device, torch.float32 if device.type == "cpu" else DTYPES[precision], 0.1)
    return lambda rows, samples: cost.training_flops(rows, samples) / speed


def _loss_weights(keys: ContrastiveKeys, config: Wav2Vec2Config) -> tuple[float, ...]:
    if not keys.infonce:
        raise UserError("wav2vec2 is trained with criterion.infonce=true: set it")
    weights, num_penalties = keys.loss_weights or (), 2 if config.quantizer or config.input_quantizer else 1
    if len(weights) == 1:
        return weights * num_penalties  # one weight stands for all, as in fairseq
    if weights and len(weights) != num_penalties:
        raise UserError(
            f"criterion.loss_weights has {len(weights)} weights, the model {num_penalties} penalties: "
            "give one for each (diversity where it quantises, then size of the features)"
        )
    return weights


def _precision(recipe: Recipe, device: torch.device) -> Precision:
    common = recipe.common
    if common.bf16 or common.memory_efficient_bf16:
        return "bf16"
    if not (common.fp16 or common.memory_efficient_fp16 or common.amp):
        return "float32"
    if device.type == "cpu":
        _log.info("float16 is for accelerators: training in float32 (common.bf16=true may be faster)")
        return "float32"
    return "fp16"


def device_of(recipe: Recipe) -> torch.device:
    """Where a recipe trains on this machine, where one process does it."""
    return torch.device("cuda" if torch.cuda.is_available() and not recipe.common.cpu else "cpu")


def _batches_of_update(recipe: Recipe, engine: Engine) -> tuple[int, ...]:
    """Micro-batches of an update, by epoch: one of each worker that is asked for, `update_freq` times."""
    if recipe.common.tpu and engine.first:
        _log.info("common.tpu=true: this version trains on %s", engine.device.type)
    asked, here = max(1, recipe.distributed_training.distributed_world_size), engine.num_workers
    batches = tuple(asked * count for count in recipe.optimization.update_freq)
    if asked > here:
        what = f"simulating {asked} workers" + (f" with {here}" if here > 1 else "")
        _log.info(
            "%s by accumulating gradients (for %s: distributed_training.distributed_world_size=%d)",
            what,
            "one" if here == 1 else "no more",
            here,
        )
    if here > max(batches):
        _log.info(
            "an update is made of %d batches: %d workers have nothing to do (to have larger updates: "
            "distributed_training.distributed_world_size=%d)",
            max(batches),
            here - max(batches),
            here,
        )
    return batches


# --- the loop


def _loop_options(recipe: Recipe, batches_of_update: tuple[int, ...]) -> LoopOptions:
    optimization, data, checkpoint = recipe.optimization, recipe.dataset, recipe.checkpoint
    return LoopOptions(
        max_update=optimization.max_update,
        max_epoch=optimization.max_epoch,
        stop_time_hours=optimization.stop_time_hours,
        stop_min_lr=optimization.stop_min_lr,
        update_freq=batches_of_update,
        log_interval=recipe.common.log_interval,
        disable_validation=data.disable_validation,
        validate_interval=data.validate_interval,
        validate_interval_updates=data.validate_interval_updates,
        validate_after_updates=data.validate_after_updates,
        save_interval=checkpoint.save_interval,
        save_interval_updates=checkpoint.save_interval_updates,
        keep_interval_updates=checkpoint.keep_interval_updates,
        no_save=checkpoint.no_save,
        best_metric=checkpoint.best_checkpoint_metric,
        maximize_best=checkpoint.maximize_best_checkpoint_metric,
        patience=checkpoint.patience,
    )
