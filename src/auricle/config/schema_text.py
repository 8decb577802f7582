"""The keys of models of text: of the groups `task`, `criterion` and `model`, in fairseq's words.

fairseq's architectures that are a model with other defaults are variants here: `model._name=roberta_large`.
"""

from dataclasses import dataclass
from typing import Literal

from auricle.config.fields import inert, inert_link, key, linked, required
from auricle.data.text import BreakMode, Shorten


@dataclass(frozen=True, slots=True, kw_only=True)
class TextKeys:
    """What is read: the keys that both tasks have."""

    data: str = required("Folder of texts (train.src or train.txt, valid.*) and their dictionary, dict.txt.")
    suffix: str | None = key(
        None, "Suffix of the texts, such as ltr; null: src, or txt. The dictionary: dict.SUFFIX.txt (ours)."
    )
    sample_break_mode: BreakMode = key(
        "none", "What a sample is: tokens_per_sample symbols, as many whole lines, or (eos) one line."
    )
    tokens_per_sample: int = key(1024, "Symbols of a sample.")
    shorten_method: Shorten = key(
        "none", "What becomes of a line that is longer: it stays, its beginning is taken, or any part."
    )
    shorten_data_split_list: str = key("", "Subsets that this holds for, separated by commas; empty: all.")
    seed: int = linked("common.seed", "Seed of the order of samples, of their parts and of masks.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedLMKeys(TextKeys):
    """`masked_lm`: text whose symbols are masked."""

    _name: Literal["masked_lm"] = "masked_lm"
    mask_prob: float = key(0.15, "Share of symbols masked if no spans overlapped.")
    leave_unmasked_prob: float = key(0.1, "Share of the masked ones that are shown as they are.")
    random_token_prob: float = key(0.1, "Share of the masked ones that are shown as another symbol.")
    freq_weighted_replacement: bool = key(False, "Choose that other symbol by its count in dict.txt.")
    mask_multiple_length: int = key(1, "Symbols a masked span covers.")
    mask_stdev: float = key(0.0, "Deviation of that number, where each span's is drawn; 0: all alike.")
    mask_whole_words: bool = key(False, "Mask all pieces of a word; this version cannot.")
    skip_masking: bool = key(False, "Mask nothing; this version cannot.")
    include_target_tokens: bool = inert(False, "Give other models the whole text.")
    include_index: bool = inert(True, "Give other models the samples' numbers.")
    d2v2_multi: bool = inert(False, "Masks of data2vec 2.0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModelingKeys(TextKeys):
    """`language_modeling`: text whose next symbol is predicted."""

    _name: Literal["language_modeling"] = "language_modeling"
    add_bos_token: bool = key(False, "Begin every sample with <s>, not with what stands before it.")
    max_target_positions: int | None = key(
        None, "Longest sample, for learnt positions; null: tokens_per_sample."
    )
    output_dictionary_size: int = key(-1, "Predict only so many symbols; this version predicts all (-1).")
    self_target: bool = inert(False, "Predict the symbol itself, in other models.")
    future_target: bool = inert(False, "Predict the next symbol, as is always done.")
    past_target: bool = inert(False, "Predict the symbol before, in other models.")
    pad_to_fixed_length: bool = inert(False, "Pad all samples alike, on a TPU.")
    pad_to_fixed_bsz: bool = inert(False, "Pad batches to one size, on a TPU.")
    batch_size: int | None = inert_link("dataset.batch_size", "Samples in a batch.")
    batch_size_valid: int | None = inert_link("dataset.batch_size_valid", "Samples in one of validation.")
    dataset_impl: str | None = inert_link("dataset.dataset_impl", "File format of text.")
    data_buffer_size: int = inert_link("dataset.data_buffer_size", "Batches read ahead.")
    tpu: bool = inert_link("common.tpu", "TPU.")
    use_plasma_view: bool = inert_link("common.use_plasma_view", "Share the data between processes.")
    plasma_path: str | None = inert_link("common.plasma_path", "Where that server listens.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedLMLossKeys:
    """`masked_lm`: cross-entropy of the masked symbols."""

    _name: Literal["masked_lm"] = "masked_lm"
    tpu: bool = inert_link("common.tpu", "Masks of a fixed size.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropyKeys:
    """`cross_entropy`: negative log-likelihood of the text."""

    _name: Literal["cross_entropy"] = "cross_entropy"
    sentence_avg: bool = linked("optimization.sentence_avg", "Normalise by samples instead of by symbols.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveLossKeys:
    """`adaptive_loss`: the same, of a model with an adaptive softmax."""

    _name: Literal["adaptive_loss"] = "adaptive_loss"
    sentence_avg: bool = linked("optimization.sentence_avg", "Normalise by samples instead of by symbols.")
    ddp_backend: str = inert_link("distributed_training.ddp_backend", "How workers exchange gradients.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RobertaKeys:
    """`roberta`: guesses masked symbols, such as codes of speech (`roberta_base` is the same)."""

    _name: Literal["roberta"] = "roberta"
    encoder_layers: int = key(12, "Layers.")
    encoder_embed_dim: int = key(768, "Width.")
    encoder_ffn_embed_dim: int = key(3072, "Width of the feed-forward blocks.")
    encoder_attention_heads: int = key(12, "Attention heads a layer.")
    activation_fn: str = key("gelu", "Activation of the feed-forward blocks.")
    dropout: float = key(0.1, "Dropout after embeddings, attention and feed-forward blocks.")
    attention_dropout: float = key(0.1, "Dropout on attention weights.")
    activation_dropout: float = key(0.0, "Dropout inside the feed-forward blocks.")
    encoder_layerdrop: float = key(0.0, "Chance of leaving out a layer in an update.")
    encoder_normalize_before: bool = key(False, "Normalise before each block rather than after.")
    layernorm_embedding: bool = key(True, "Normalise what enters the first layer.")
    no_scale_embedding: bool = key(True, "Do not multiply embeddings by the root of their width.")
    encoder_learned_pos: bool = key(True, "A learnt table of positions; there is no other.")
    untie_weights_roberta: bool = key(False, "Give the output layer weights of its own.")
    max_positions: int = linked("task.tokens_per_sample", "Longest sample.")
    pooler_activation_fn: str = inert("tanh", "Of heads that sort sentences.")
    pooler_dropout: float = inert(0.0, "Of heads that sort sentences.")
    spectral_norm_classification_head: bool = inert(False, "Of heads that sort sentences.")
    load_checkpoint_heads: bool = inert(False, "Of heads that sort sentences.")
    encoder_layers_to_keep: str | None = inert(None, "Layers that are kept when a model is shrunk.")
    quant_noise_pq: float = inert(0.0, "Weight quantisation.")
    quant_noise_pq_block_size: int = inert(8, "Weight quantisation.")
    quant_noise_scalar: float = inert(0.0, "Weight quantisation.")
    min_params_to_wrap: int = inert(100_000_000, "Smallest layer that sharded training wraps.")
    mha_reg_scale_factor: float = inert(0.0, "Pruning of attention heads.")
    ffn_reg_scale_factor: float = inert(0.0, "Pruning of feed-forward blocks.")
    mha_heads_to_keep: int = inert(-1, "Pruning of attention heads.")
    ffn_blocks_to_remove: int = inert(-1, "Pruning of feed-forward blocks.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RobertaBaseKeys(RobertaKeys):
    """`roberta_base`: another name of `roberta`."""

    _name: Literal["roberta_base"] = "roberta_base"  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class RobertaLargeKeys(RobertaKeys):
    """`roberta_large`: `roberta` with more and wider layers."""

    _name: Literal["roberta_large"] = "roberta_large"  # type: ignore[assignment]
    encoder_layers: int = key(24, "Layers.")
    encoder_embed_dim: int = key(1024, "Width.")
    encoder_ffn_embed_dim: int = key(4096, "Width of the feed-forward blocks.")
    encoder_attention_heads: int = key(16, "Attention heads a layer.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerLMKeys:
    """`transformer_lm`: a language model over words or letters."""

    _name: Literal["transformer_lm"] = "transformer_lm"
    activation_fn: str = key("relu", "Activation of the feed-forward blocks.")
    dropout: float = key(0.1, "Dropout after embeddings, attention and feed-forward blocks.")
    attention_dropout: float = key(0.0, "Dropout on attention weights.")
    activation_dropout: float = key(0.0, "Dropout inside the feed-forward blocks.")
    relu_dropout: float = inert(0.0, "Older word for activation_dropout.")
    decoder_embed_dim: int = key(512, "Width.")
    decoder_input_dim: int = linked("model.decoder_embed_dim", "Width of embeddings.")
    decoder_output_dim: int = linked("model.decoder_embed_dim", "Width of what the output layer sees.")
    decoder_ffn_embed_dim: int = key(2048, "Width of the feed-forward blocks.")
    decoder_layers: int = key(6, "Layers.")
    decoder_attention_heads: int = key(8, "Attention heads a layer.")
    decoder_normalize_before: bool = key(False, "Normalise before each block rather than after.")
    no_decoder_final_norm: bool = key(False, "No norm after the last layer, with decoder_normalize_before.")
    decoder_learned_pos: bool = key(False, "Learn positions rather than compute them from sines.")
    no_token_positional_embeddings: bool = key(False, "No positions.")
    layernorm_embedding: bool = key(False, "Normalise what enters the first layer.")
    no_scale_embedding: bool = key(False, "Do not multiply embeddings by the root of their width.")
    decoder_layerdrop: float = key(0.0, "Chance of leaving out a layer in an update.")
    share_decoder_input_output_embed: bool = key(False, "Let the output layer be the table of embeddings.")
    adaptive_softmax_cutoff: str | None = key(
        None, 'Where each band of rarer symbols begins in the output, such as "20000,60000".'
    )
    adaptive_softmax_factor: float = key(4.0, "How many times narrower each band is than the one before.")
    adaptive_softmax_dropout: float = key(0.0, "Dropout on the narrowed vectors of the bands.")
    adaptive_input: bool = key(False, "Cut the embeddings into bands as well.")
    adaptive_input_cutoff: str | None = key(None, "Where each of their bands begins.")
    adaptive_input_factor: float = key(4.0, "How many times narrower each is.")
    tie_adaptive_weights: bool = key(False, "Let the output's bands be those of the embeddings.")
    tie_adaptive_proj: bool = key(False, "And its narrowings their widenings, transposed.")
    add_bos_token: bool = linked("task.add_bos_token", "Samples begin with <s>.")
    tokens_per_sample: int = linked("task.tokens_per_sample", "Symbols of a sample.")
    max_target_positions: int | None = linked("task.max_target_positions", "Longest sample.")
    character_embeddings: bool = key(False, "Embeddings made of letters; this version cannot.")
    character_filters: str = inert(
        "[(1, 64), (2, 128), (3, 192), (4, 256), (5, 256), (6, 256), (7, 256)]", "Of such embeddings."
    )
    character_embedding_dim: int = inert(4, "Of such embeddings.")
    char_embedder_highway_layers: int = inert(2, "Of such embeddings.")
    base_layers: int = key(0, "Layers of experts; this version builds none.")
    base_sublayers: int = inert(1, "Of such layers.")
    base_shuffle: int = inert(1, "Of such layers.")
    scale_fc: bool = key(False, "Further norms; this version builds none.")
    scale_attn: bool = key(False, "Further norms; this version builds none.")
    scale_heads: bool = key(False, "Further norms; this version builds none.")
    scale_resids: bool = key(False, "Further norms; this version builds none.")
    checkpoint_activations: bool = inert(False, "Recompute activations in the backward pass.")
    offload_activations: bool = inert(False, "Keep activations in host memory.")
    decoder_layers_to_keep: str | None = inert(None, "Layers that are kept when a model is shrunk.")
    decoder_xformers_att_config: str | None = inert(None, "Another implementation of attention.")
    quant_noise_pq: float = inert(0.0, "Weight quantisation.")
    quant_noise_pq_block_size: int = inert(8, "Weight quantisation.")
    quant_noise_scalar: float = inert(0.0, "Weight quantisation.")
    min_params_to_wrap: int = inert(100_000_000, "Smallest layer that sharded training wraps.")
    tpu: bool = inert_link("common.tpu", "TPU.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerLMBigKeys(TransformerLMKeys):
    """`transformer_lm_big`: `transformer_lm` with more and wider layers, normalised before each block."""

    _name: Literal["transformer_lm_big"] = "transformer_lm_big"  # type: ignore[assignment]
    decoder_layers: int = key(12, "Layers.")
    decoder_embed_dim: int = key(1024, "Width.")
    decoder_ffn_embed_dim: int = key(4096, "Width of the feed-forward blocks.")
    decoder_attention_heads: int = key(16, "Attention heads a layer.")
    decoder_normalize_before: bool = key(True, "Normalise before each block rather than after.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerLMGbwKeys(TransformerLMBigKeys):
    """`transformer_lm_gbw`: the model of the Billion Word benchmark (Baevski and Auli 2019)."""

    _name: Literal["transformer_lm_gbw"] = "transformer_lm_gbw"  # type: ignore[assignment]
    decoder_embed_dim: int = key(512, "Width.")
    attention_dropout: float = key(0.1, "Dropout on attention weights.")
    no_decoder_final_norm: bool = key(True, "No norm after the last layer, with decoder_normalize_before.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerLMWiki103Keys(TransformerLMBigKeys):
    """`transformer_lm_wiki103`: the model of WikiText-103, all adaptive (Baevski and Auli 2019)."""

    _name: Literal["transformer_lm_wiki103"] = "transformer_lm_wiki103"  # type: ignore[assignment]
    decoder_layers: int = key(16, "Layers.")
    decoder_attention_heads: int = key(8, "Attention heads a layer.")
    dropout: float = key(0.3, "Dropout after embeddings, attention and feed-forward blocks.")
    attention_dropout: float = key(0.1, "Dropout on attention weights.")
    activation_dropout: float = key(0.1, "Dropout inside the feed-forward blocks.")
    no_decoder_final_norm: bool = key(True, "No norm after the last layer, with decoder_normalize_before.")
    adaptive_input: bool = key(True, "Cut the embeddings into bands as well.")
    adaptive_input_cutoff: str | None = key("20000,60000", "Where each of their bands begins.")
    adaptive_softmax_cutoff: str | None = key(
        "20000,60000", "Where each band of rarer symbols begins in the output."
    )
    adaptive_softmax_dropout: float = key(0.2, "Dropout on the narrowed vectors of the bands.")
    tie_adaptive_weights: bool = key(True, "Let the output's bands be those of the embeddings.")
    tie_adaptive_proj: bool = key(True, "And its narrowings their widenings, transposed.")


TextTaskKeys = MaskedLMKeys | LanguageModelingKeys
TextCriterionKeys = MaskedLMLossKeys | CrossEntropyKeys | AdaptiveLossKeys
TextModelKeys = (
    RobertaKeys
    | RobertaBaseKeys
    | RobertaLargeKeys
    | TransformerLMKeys
    | TransformerLMBigKeys
    | TransformerLMGbwKeys
    | TransformerLMWiki103Keys
)
