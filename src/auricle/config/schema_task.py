"""The keys of the groups `task`, `criterion`, `optimizer` and `lr_scheduler`, one dataclass a variant."""

from dataclasses import dataclass
from typing import Any, Literal

from auricle.config.fields import inert, inert_link, inert_mapping, key, linked, required


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioKeys:
    """What is read: the keys that both tasks have."""

    data: str = required("Folder of manifests (train.tsv), labels (train.ltr) and dictionary (dict.ltr.txt).")
    labels: str | None = key(None, "Suffix of label files and dictionary: ltr, phn, ...")
    multi_corpus_keys: str | None = key(
        None,
        "Names of corpora that are mixed: their adapters' order; subsets are then written NAME:MANIFEST.",
    )
    multi_corpus_sampling_weights: str | None = key(
        None, "Their shares in an epoch, such as 1,3; null takes all of each once."
    )
    binarized_dataset: bool = inert(False, "Manifests in a binary format.")
    sample_rate: int = key(16000, "In Hz; audio at another rate is resampled.")
    normalize: bool = key(False, "Bring every utterance to zero mean and unit variance.")
    enable_padding: bool = key(
        False, "Pad a batch of unlabelled clips instead of cropping it to the shortest."
    )
    max_sample_size: int | None = key(None, "Unlabelled clips are cropped to this many samples.")
    min_sample_size: int | None = key(None, "Clips of fewer samples are left out.")
    speed_perturbation: float = key(
        0.0,
        "Training hears every utterance up to this share faster or slower, drawn anew each epoch. "
        "Batches grow by as much beyond dataset.max_tokens.",
    )
    num_batch_buckets: int = inert(0, "Sizes that batches are padded to on a TPU.")
    tpu: bool = inert_link("common.tpu", "Batches of fixed shapes.")
    text_compression_level: str = inert("none", "How labels are held in memory.")
    rebuild_batches: bool = inert(True, "Make batches anew when training resumes.")
    precompute_mask_config: dict[str, Any] | None = inert(
        None, "Masks drawn by data workers; ours always are."
    )
    post_save_script: str | None = inert(None, "Program run after each save.")
    subsample: float = inert(1.0, "Share of the training set that is used.")
    seed: int = linked("common.seed", "Seed of the order of utterances and of crops.")
    precompute_mask_indices: bool = inert(False, "Older word for precompute_mask_config.")
    inferred_w2v_config: dict[str, Any] | None = inert(
        None, "Masks of older TPU recipes; the model's own keys decide."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingKeys(AudioKeys):
    """`audio_pretraining`: audio without labels."""

    _name: Literal["audio_pretraining"] = "audio_pretraining"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuningKeys(AudioKeys):
    """`audio_finetuning`: audio with labels."""

    _name: Literal["audio_finetuning"] = "audio_finetuning"
    eval_wer: bool = inert(False, "Word error rate of models that generate text; CTC always reports it.")
    eval_wer_config: dict[str, Any] = inert_mapping("Search options of that.")
    eval_wer_tokenizer: Any = inert(None, "Tokeniser of that.")
    eval_wer_post_process: str = inert("letter", "Units of that.")
    eval_bleu: bool = inert(False, "BLEU of translations while training.")
    eval_bleu_detok: str | None = inert(None, "Its detokeniser.")
    eval_bleu_detok_args: str = inert("{}", "Arguments of the detokeniser.")
    eval_tokenized_bleu: bool = inert(False, "Compute BLEU on tokens.")
    eval_bleu_remove_bpe: str | None = inert(None, "Units that are joined before BLEU.")
    eval_bleu_args: str = inert("{}", "Search options of BLEU.")
    eval_bleu_print_samples: bool = inert(False, "Print translations.")
    autoregressive: bool = key(False, "Labels are predicted from those before; wav2vec_seq2seq needs it.")
    target_dictionary: str | None = key(None, "Dictionary used in place of the data folder's.")


TaskKeys = PretrainingKeys | FinetuningKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastiveKeys:
    """`wav2vec`: the contrastive objective and its penalties."""

    _name: Literal["wav2vec"] = "wav2vec"
    infonce: bool = key(False, "Classify the true target among distractors; off: a binary decision on each.")
    loss_weights: tuple[float, ...] | None = key(
        None, "Weights of the penalties: diversity, size of the features."
    )
    log_keys: tuple[str, ...] = inert((), "What to log; all is logged.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CTCLossKeys:
    """`ctc`: connectionist temporal classification."""

    _name: Literal["ctc"] = "ctc"
    zero_infinity: bool = key(False, "Count labels that cannot fit the audio as zero loss, not as infinite.")
    sentence_avg: bool = linked("optimization.sentence_avg", "Normalise by utterances instead of by labels.")
    post_process: str = inert("letter", "How units become words for the word error rate.")
    wer_kenlm_model: str | None = key(None, "Language model of the word error rate while training.")
    wer_lexicon: str | None = key(None, "Its lexicon.")
    wer_lm_weight: float = key(2.0, "Its weight.")
    wer_word_score: float = key(-1.0, "Score added for each word.")
    wer_sil_weight: float = key(0.0, "Score added for each silence.")
    wer_args: tuple[str, str, float, float] | None = key(
        None, "The same four in one: model, lexicon, weight, word score."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSmoothedKeys:
    """`label_smoothed_cross_entropy`: one label after the other."""

    _name: Literal["label_smoothed_cross_entropy"] = "label_smoothed_cross_entropy"
    label_smoothing: float = key(0.0, "Share of a label's probability that all others have instead.")
    report_accuracy: bool = inert(False, "Log the accuracy; it always is.")
    ignore_prefix_size: int = inert(0, "Labels at the start that are not predicted, in translation.")
    sentence_avg: bool = linked("optimization.sentence_avg", "Normalise by utterances instead of by labels.")


CriterionKeys = ContrastiveKeys | CTCLossKeys | LabelSmoothedKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamKeys:
    """`adam`: Adam with decoupled weight decay, as fairseq computes it."""

    _name: Literal["adam"] = "adam"
    adam_betas: tuple[float, float] = key((0.9, 0.999), "Decay of the two running means.")
    adam_eps: float = key(1e-8, "Added to the root of the second mean.")
    weight_decay: float = key(0.0, "Share of a weight taken off in an update, times the learning rate.")
    use_old_adam: bool = inert(False, "Choice between two implementations of the same arithmetic.")
    fp16_adam_stats: bool = inert(False, "Running means in half precision.")
    tpu: bool = inert_link("common.tpu", "Implementation for TPUs.")
    lr: tuple[float, ...] = linked("optimization.lr", "Learning rate.")


OptimizerKeys = AdamKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class PolynomialKeys:
    """`polynomial_decay`: warm-up, then a power of what remains."""

    _name: Literal["polynomial_decay"] = "polynomial_decay"
    warmup_updates: int = key(0, "Updates in which the rate rises from 0.")
    force_anneal: int | None = inert(
        None, "Epoch from which the rate falls, whatever the list of rates says."
    )
    end_learning_rate: float = key(0.0, "Rate at the end.")
    power: float = key(1.0, "Exponent; 1 is a straight line.")
    total_num_update: float = linked("optimization.max_update", "Updates after which the end is reached.")
    lr: tuple[float, ...] = linked("optimization.lr", "Highest rate.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TriStageKeys:
    """`tri_stage`: linear warm-up, hold, exponential decay."""

    _name: Literal["tri_stage"] = "tri_stage"
    warmup_steps: int = key(0, "Updates of warm-up.")
    hold_steps: int = key(0, "Updates at the highest rate.")
    decay_steps: int = key(0, "Updates of decay.")
    phase_ratio: tuple[float, float, float] | None = key(None, "The three as shares of max_update.")
    init_lr_scale: float = key(0.01, "Rate at the start, as a share of the highest.")
    final_lr_scale: float = key(0.01, "Rate at the end, as a share of the highest.")
    max_update: float = linked("optimization.max_update", "Updates that phase_ratio divides.")
    lr: tuple[float, ...] = linked("optimization.lr", "Highest rate.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineKeys:
    """`cosine`: warm-up, then half a cosine, repeated."""

    _name: Literal["cosine"] = "cosine"
    warmup_updates: int = key(0, "Updates in which the rate rises to its highest.")
    warmup_init_lr: float = key(-1.0, "Rate at the start; negative: min_lr.")
    lr: tuple[float, ...] = linked("optimization.lr", "Highest rate.")
    min_lr: float = key(0.0, "Lowest rate.")
    t_mult: float = key(1.0, "Each period is this many times as long as the one before.")
    lr_period_updates: float = key(-1.0, "Updates of the first period; negative: all after the warm-up.")
    lr_shrink: float = key(0.1, "Factor on the rates after each period.")
    max_update: int = linked("optimization.max_update", "Updates of the whole run.")


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseSqrtKeys:
    """`inverse_sqrt`: warm-up, then one over the root of the number of updates."""

    _name: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_updates: int = key(4000, "Updates in which the rate rises to its highest.")
    warmup_init_lr: float = key(-1.0, "Rate at the start; negative: 0.")
    lr: tuple[float, ...] = linked("optimization.lr", "Highest rate.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedKeys:
    """`fixed`: one rate, after an optional warm-up."""

    _name: Literal["fixed"] = "fixed"
    force_anneal: int | None = inert(None, "Epoch from which the rate shrinks.")
    lr_shrink: float = inert(0.1, "Factor an epoch from there.")
    warmup_updates: int = key(0, "Updates in which the rate rises from 0.")
    lr: tuple[float, ...] = linked("optimization.lr", "Rate.")


SchedulerKeys = PolynomialKeys | TriStageKeys | CosineKeys | InverseSqrtKeys | FixedKeys
