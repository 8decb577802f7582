"""The keys of the groups that have one variant: how a run is made, not what is trained."""

import os
from dataclasses import dataclass
from typing import Literal

from auricle.config.fields import inert, inert_link, key, linked, measured


def _num_gpus() -> int:
    """GPUs that this process sees; 1 on a machine without."""
    import torch  # torch takes seconds to import, and a listing of the keys should not

    return max(1, torch.cuda.device_count())


def _num_workers() -> int:
    """Workers of this run, where torchrun or a scheduler has started some; otherwise one for each GPU."""
    started = os.environ.get("WORLD_SIZE", "")
    return max(1, int(started)) if started.isdecimal() else _num_gpus()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonKeys:
    """Logging, seed and number format."""

    no_progress_bar: bool = inert(False, "A bar is shown on a terminal only, plain lines elsewhere.")
    log_interval: int = key(100, "Updates between two lines of the log.")
    log_format: Literal["none", "simple", "json", "tqdm"] | None = inert(
        None,
        "Progress on the terminal: json and simple give plain lines, tqdm a bar; log.jsonl comes anyway.",
    )
    log_file: str | None = inert(None, "Second log file; ours is log.jsonl in the run folder.")
    aim_repo: str | None = inert(None, "Log server.")
    aim_run_hash: str | None = inert(None, "Run on that server.")
    tensorboard_logdir: str | None = inert(
        None, "Folder of TensorBoard; events go to the run folder's tensorboard/."
    )
    wandb_project: str | None = inert(None, "Project on a log server.")
    azureml_logging: bool | None = inert(False, "Log server.")
    seed: int = key(1, "Seed of weights, order, crops, masks, distractors and dropout.")
    cpu: bool = key(False, "Train on the CPU even where there is an accelerator.")
    tpu: bool = key(False, "Train on a TPU.")
    compile: bool = key(
        False, "Compile convolutions and layers with torch.compile: minutes at first, faster then (ours)."
    )
    bf16: bool = key(False, "Train in bfloat16.")
    memory_efficient_bf16: bool = key(False, "Another word for bf16.")
    fp16: bool = key(False, "Train in float16 with loss scaling, where the device has it.")
    memory_efficient_fp16: bool = key(False, "Another word for fp16.")
    fp16_no_flatten_grads: bool = inert(False, "Layout of gradients in memory.")
    fp16_init_scale: int = key(128, "First loss scale.")
    fp16_scale_window: int | None = key(None, "Updates without overflow after which the scale doubles.")
    fp16_scale_tolerance: float = inert(0.0, "Share of overflows that leave the scale as it is.")
    on_cpu_convert_precision: bool = inert(False, "Where batches are converted.")
    min_loss_scale: float = key(0.0001, "Training stops when the loss scale falls below this.")
    threshold_loss_scale: float | None = inert(None, "The loss scale never falls below this.")
    amp: bool = key(False, "Another word for fp16.")
    amp_batch_retries: int = inert(2, "Times that a batch is tried again after an overflow.")
    amp_init_scale: int = key(128, "First loss scale, with amp.")
    amp_scale_window: int | None = key(
        None, "Updates without overflow after which the scale doubles, with amp."
    )
    user_dir: str | None = inert(None, "Folder of Python plug-ins; none are loaded.")
    empty_cache_freq: int = inert(0, "Updates between two releases of cached GPU memory.")
    all_gather_list_size: int = inert(16384, "Bytes workers exchange for logging.")
    model_parallel_size: int = inert(1, "GPUs that share one model.")
    quantization_config_path: str | None = inert(None, "Weight quantisation.")
    profile: bool = inert(False, "Record a trace of a few updates.")
    reset_logging: bool = inert(False, "Set up logging anew.")
    suppress_crashes: bool = inert(False, "Return from a crash in a hyper-parameter search.")
    use_plasma_view: bool = inert(False, "Share the data set between processes.")
    plasma_path: str | None = inert("/tmp/plasma", "Where that server listens.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetKeys:
    """Batches, subsets and validation."""

    num_workers: int = key(1, "Processes that read audio; 0 reads it in the training process.")
    skip_invalid_size_inputs_valid_test: bool = inert(
        False, "Leave out items of a wrong size; here they are always set aside, named and counted."
    )
    max_tokens: int | None = key(None, "Samples in a batch, padding included.")
    batch_size: int | None = key(None, "Utterances in a batch.")
    required_batch_size_multiple: int = key(
        8, "A batch has a multiple of this many utterances, or fewer than it."
    )
    required_seq_len_multiple: int = inert(1, "Length that a batch is padded to a multiple of.")
    dataset_impl: str | None = inert(None, "File format of text.")
    data_buffer_size: int = inert(10, "Batches read ahead.")
    train_subset: str = key("train", "Manifest to train on, without .tsv.")
    valid_subset: str = key("valid", "Manifests to validate on, separated by commas.")
    combine_valid_subsets: bool | None = inert(None, "Join several validation sets.")
    ignore_unused_valid_subsets: bool | None = inert(False, "Do not warn of manifests left aside.")
    validate_interval: int = key(1, "Epochs between two validations.")
    validate_interval_updates: int = key(0, "Updates between two validations; 0: go by epochs.")
    validate_after_updates: int = key(0, "No validation before this many updates.")
    fixed_validation_seed: int | None = inert(None, "Validation always draws the same masks and distractors.")
    disable_validation: bool = key(False, "Never validate.")
    max_tokens_valid: int | None = linked("dataset.max_tokens", "Samples in a batch of validation.")
    batch_size_valid: int | None = linked("dataset.batch_size", "Utterances in a batch of validation.")
    max_valid_steps: int | None = inert(None, "Batches a validation stops after.")
    curriculum: int = inert(0, "First epochs in which batches come in order of length, not shuffled.")
    gen_subset: str = inert("test", "Manifest of evaluation; see `auricle evaluate --subset`.")
    num_shards: int = inert(1, "Parts of the data; the engine sets it.")
    shard_id: int = inert(0, "Part of this worker; the engine sets it.")
    grouped_shuffling: bool = inert(False, "Shuffle groups of batches, one batch a worker.")
    update_epoch_batch_itr: bool = inert_link("dataset.grouped_shuffling", "Make batches anew each epoch.")
    update_ordered_indices_seed: bool = inert(False, "Another order of ties each epoch.")
    drop_remainder: bool = key(
        False, "Drop a last batch smaller than required_batch_size_multiple, as fairseq does unasked (ours)."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedKeys:
    """Workers."""

    distributed_world_size: int = measured(
        _num_workers, "Workers; those that are not there are simulated by accumulating gradients."
    )
    distributed_num_procs: int | None = measured(_num_gpus, "Processes on this machine.", inert=True)
    distributed_rank: int | None = inert(0, "Number of this worker.")
    distributed_backend: str = inert("nccl", "Library of communication.")
    distributed_init_method: str | None = inert(None, "How workers find each other.")
    distributed_port: int = inert(-1, "Port they use.")
    device_id: int = measured(
        lambda: int(os.environ.get("LOCAL_RANK", "0")), "GPU of this process.", inert=True
    )
    distributed_no_spawn: bool = inert(False, "Do not start processes.")
    ddp_backend: str = key(
        "pytorch_ddp", "fully_sharded: workers share out weights and optimizer; else each has them all."
    )
    ddp_comm_hook: str = inert("none", "Compression of gradients.")
    bucket_cap_mb: int = inert(25, "Size of an exchange.")
    fix_batches_to_gpus: bool = inert(False, "Keep batches on their worker.")
    find_unused_parameters: bool = key(
        False, "Look for parameters without gradient also in models not known to leave any out."
    )
    gradient_as_bucket_view: bool = inert(False, "Layout of gradients in memory.")
    fast_stat_sync: bool = inert(False, "Exchange sums of statistics only.")
    heartbeat_timeout: int = inert(-1, "Seconds after which a silent worker ends the run.")
    broadcast_buffers: bool = inert(False, "Copy buffers to all workers.")
    slowmo_momentum: float | None = inert(None, "Momentum of an outer optimiser.")
    slowmo_base_algorithm: str = inert("localsgd", "Its inner algorithm.")
    localsgd_frequency: int = inert(3, "Updates between two averages.")
    nprocs_per_node: int = measured(_num_gpus, "Processes a machine.", inert=True)
    pipeline_model_parallel: bool = inert(False, "Split layers over GPUs.")
    pipeline_balance: str | None = inert(None, "Layers a GPU.")
    pipeline_devices: str | None = inert(None, "GPUs of the parts.")
    pipeline_chunks: int | None = inert(0, "Parts of a batch.")
    pipeline_encoder_balance: str | None = inert(None, "Layers a GPU, encoder.")
    pipeline_encoder_devices: str | None = inert(None, "GPUs of the encoder.")
    pipeline_decoder_balance: str | None = inert(None, "Layers a GPU, decoder.")
    pipeline_decoder_devices: str | None = inert(None, "GPUs of the decoder.")
    pipeline_checkpoint: str = inert("never", "When activations are recomputed.")
    zero_sharding: str = inert("none", "Share optimiser state between workers.")
    fp16: bool = inert_link("common.fp16", "Half precision.")
    memory_efficient_fp16: bool = inert_link("common.memory_efficient_fp16", "Half precision.")
    tpu: bool = inert_link("common.tpu", "TPU.")
    no_reshard_after_forward: bool = inert(False, "Sharded training: keep gathered weights.")
    fp32_reduce_scatter: bool = inert(False, "Sharded training: exchange in float32.")
    cpu_offload: bool = inert(False, "Sharded training: weights in host memory.")
    use_sharded_state: bool = inert(False, "Sharded training: a checkpoint a worker.")
    not_fsdp_flatten_parameters: bool = inert(False, "Sharded training: layout of weights.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationKeys:
    """When training stops, and what an update is."""

    max_epoch: int = key(0, "Epochs after which training stops; 0: no limit.")
    max_update: int = key(0, "Updates after which training stops; 0: no limit.")
    stop_time_hours: float = key(0.0, "Hours after which training stops, earlier parts of the run included.")
    clip_norm: float = key(0.0, "Gradients are scaled down to this norm; 0: as they are.")
    sentence_avg: bool = key(False, "Normalise by utterances instead of by labels.")
    update_freq: tuple[int, ...] = key((1,), "Batches whose gradients make one update, for each epoch.")
    lr: tuple[float, ...] = key((0.25,), "Learning rate.")
    stop_min_lr: float = key(-1.0, "Training stops when the rate falls to this.")
    use_bmuf: bool = inert(False, "Block-wise averaging of workers.")
    skip_remainder_batch: bool | None = inert(
        False, "Leave out the last update of an epoch if it lacks batches."
    )
    debug_param_names: bool = inert(False, "Names of parameters in the optimiser.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointKeys:
    """What is kept of a run, and what it starts from."""

    save_dir: str = key("checkpoints", "Run folder; where it is not given, runs/NAME-OF-RECIPE.")
    restore_file: str = inert(
        "checkpoint_last.pt", "A run always continues from the last checkpoint of its folder."
    )
    continue_once: str | None = inert(None, "Checkpoint to continue from, the first time.")
    finetune_from_model: str | None = key(None, "Checkpoint whose weights training starts from.")
    reset_dataloader: bool = inert(False, "Do not restore the position in the data.")
    reset_lr_scheduler: bool = inert(False, "Do not restore the scheduler; ours has no state.")
    reset_meters: bool = inert(False, "Do not restore the best value so far.")
    reset_optimizer: bool = inert(False, "Do not restore the optimiser.")
    optimizer_overrides: str = inert(
        "{}", "Optimiser options changed on restoring; the recipe's always hold."
    )
    save_interval: int = key(1, "Epochs between two checkpoints.")
    save_interval_updates: int = key(0, "Updates between two checkpoints; 0: go by epochs.")
    keep_interval_updates: int = key(-1, "Checkpoints of that kind that are kept; -1: all.")
    keep_interval_updates_pattern: int = inert(-1, "Checkpoints at multiples of this are kept for good.")
    keep_last_epochs: int = inert(-1, "Checkpoints of epochs that are kept; -1: all.")
    keep_best_checkpoints: int = inert(-1, "Best checkpoints that are kept.")
    no_save: bool = key(False, "Write no checkpoints.")
    no_epoch_checkpoints: bool = inert(
        False, "None of single epochs are kept, only last, best and those of updates."
    )
    no_last_checkpoints: bool = inert(False, "Write no last checkpoint.")
    no_save_optimizer_state: bool = inert(False, "Leave the optimiser's state out of checkpoints.")
    best_checkpoint_metric: str = key("loss", "Value of validation that decides which is best.")
    maximize_best_checkpoint_metric: bool = key(False, "Larger is better.")
    patience: int = key(-1, "Validations without a better value after which training stops; -1: never.")
    checkpoint_suffix: str = inert("", "End of file names.")
    checkpoint_shard_count: int = inert(1, "Files a checkpoint.")
    load_checkpoint_on_all_dp_ranks: bool = inert(False, "Every worker reads the checkpoint.")
    write_checkpoints_asynchronously: bool = inert(False, "Write in the background.")
    model_parallel_size: int = inert_link("common.model_parallel_size", "GPUs that share one model.")
