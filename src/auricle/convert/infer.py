"""An encoder's options read off its weights, for files that do not hold them.

fairseq writes the options of the pre-trained encoder into CTC models, and forgets to in `wav2vec_seq2seq`
models: it opens the file at their `w2v_path` instead, but a path that an untrusted file names is not
opened here. What shapes cannot tell (strides, attention heads, where the norms stand) is taken to be as in
every published model, and said so in a warning.
"""

import logging
from collections.abc import Mapping
from typing import Any

from auricle.convert.storages import StoredTensor
from auricle.errors import UserError

Weights = Mapping[str, StoredTensor]

_STRIDES = {10: 5, 8: 4}
"""Of convolutions by their kernel; all others have 2, or 1 where they see one frame."""

_HEAD_WIDTH = 64

logger = logging.getLogger(__name__)


def encoder_options(weights: Weights, prefix: str) -> dict[str, Any]:
    """The words of fairseq for the wav2vec 2.0 encoder whose weights have names that begin with `prefix`.

    Raises:
        UserError: There is no such encoder among them.
    """
    shapes = {n.removeprefix(prefix): w.shape for n, w in weights.items() if n.startswith(prefix)}
    try:
        words = _convolutions(shapes) | _layers(shapes)
    except (KeyError, ValueError, ZeroDivisionError):
        raise UserError("it does not say what its encoder is (w2v_args), nor do its weights") from None
    logger.warning(
        "the checkpoint does not say what its encoder is: built as published models of its shapes are,"
        " with %d attention heads and layer_norm_first=%s",
        words["encoder_attention_heads"],
        words["layer_norm_first"],
    )
    return words


def _convolutions(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    layers: list[tuple[int, int, int]] = []
    while (name := f"feature_extractor.conv_layers.{len(layers)}.0.weight") in shapes:
        channels, _, kernel = shapes[name]
        layers.append((channels, kernel, _STRIDES.get(kernel, min(kernel, 2))))
    norm_everywhere = "feature_extractor.conv_layers.0.2.1.weight" in shapes
    return {
        "conv_feature_layers": layers,
        "conv_bias": "feature_extractor.conv_layers.0.0.bias" in shapes,
        "extractor_mode": "layer_norm" if norm_everywhere else "default",
        # Base: one group norm, and norms after the blocks; Large: norms everywhere, and before the blocks.
        "layer_norm_first": norm_everywhere,
    }


def _layers(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    count = 0
    while f"encoder.layers.{count}.fc1.weight" in shapes:
        count += 1
    ffn_dim, dim = shapes["encoder.layers.0.fc1.weight"]
    _, group_width, kernel = shapes["encoder.pos_conv.0.weight_v"]
    groups = dim // group_width
    return {
        "encoder_layers": count,
        "encoder_embed_dim": dim,
        "encoder_ffn_embed_dim": ffn_dim,
        # Below the width of one published head, nothing but the groups says into how many a width is cut.
        "encoder_attention_heads": dim // _HEAD_WIDTH or groups,
        "conv_pos": kernel,
        "conv_pos_groups": groups,
        # Pre-training heads are not built: none are named.
        "quantize_targets": False,
    }
