"""Random models of transformers, tiny, saved into folders as it saves them."""

import random
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

HEADS = ("ForPreTraining", "ForCTC", "Model")
LAYOUTS = ("base", "large", "rotary", "relative", "none")
NUM_LABELS = 11


def their_config(layout: str, seed: int, **more: Any) -> Any:
    """A random configuration: "base", "large", or a Conformer by its positions."""
    rng = random.Random(f"{layout}{seed}")
    heads, groups = rng.choice([2, 3, 4]), rng.choice([1, 2])
    rest = rng.randint(1, 4)
    layer_norm = layout == "large" or (layout != "base" and rng.random() < 0.5)
    channels = rng.choice([5, 7])  # no encoder is as wide
    words: dict[str, Any] = {
        "vocab_size": NUM_LABELS,
        "hidden_size": heads * groups * rng.choice([2, 4]),
        "num_hidden_layers": rng.randint(1, 3),
        "num_attention_heads": heads,
        "intermediate_size": rng.choice([20, 24]),
        "hidden_act": rng.choice(["gelu", "relu", "swish"]),
        "feat_extract_norm": "layer" if layer_norm else "group",
        "conv_bias": layer_norm,
        "conv_dim": (channels,) * (1 + rest),
        "conv_kernel": (10, *(rng.choice([2, 3]) for _ in range(rest))),
        "conv_stride": (5, *(2 for _ in range(rest))),
        "num_conv_pos_embeddings": rng.choice([4, 5]),
        "num_conv_pos_embedding_groups": groups,
        "codevector_dim": rng.choice([4, 8]),
        "proj_codevector_dim": rng.choice([5, 6]),
        "num_codevectors_per_group": rng.choice([3, 5]),
        "num_codevector_groups": 2,
        "mask_time_prob": rng.choice([0.0, 0.05, 0.3]),
        "mask_feature_prob": rng.choice([0.0, 0.1]),
        "apply_spec_augment": rng.random() < 0.7,
        **more,
    }
    if layout in ("base", "large"):
        return transformers.Wav2Vec2Config(do_stable_layer_norm=layout == "large", **words)
    positions = None if layout == "none" else layout
    return transformers.Wav2Vec2ConformerConfig(
        position_embeddings_type=positions, conv_depthwise_kernel_size=rng.choice([3, 5]), **words
    )


def their_class(layout: str, head: str) -> Any:
    family = "Wav2Vec2" if layout in ("base", "large") else "Wav2Vec2Conformer"
    return getattr(transformers, family + head)


def build(layout: str, head: str, seed: int, **more: Any) -> Any:
    """A model with no weight at its initial value, nor any statistic of a batch norm."""
    torch.manual_seed(seed)
    model = their_class(layout, head)(their_config(layout, seed, **more))
    randomise(model)
    return model.eval()


def randomise(model: nn.Module) -> None:
    for parameter in model.parameters():
        scale = 0.3 if parameter.dim() < 2 else parameter[0].numel() ** -0.5
        parameter.data.normal_(1.0 if parameter.dim() == 1 else 0.0, scale)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0.0, 0.5)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def read_back(model_class: Any, folder: Path) -> Any:
    """What transformers makes of a folder, none of whose weights is missing or left over."""
    model, info = model_class.from_pretrained(folder, output_loading_info=True)
    assert {name: list(found) for name, found in info.items() if found} == {}
    return model.eval()


def assert_same_state(expected: Any, found: Any) -> None:
    theirs, ours = expected.state_dict(), found.state_dict()
    assert theirs.keys() == ours.keys()
    assert [name for name in theirs if not torch.equal(theirs[name], ours[name])] == []


@torch.no_grad()
def answers(model: Any, waveforms: Tensor) -> Tensor:
    """Of any head: logits, predictions, or features."""
    out = model(waveforms)
    for name in ("logits", "projected_states", "last_hidden_state"):
        if name in out:
            found: Tensor = out[name]
            return found
    raise AssertionError(out.keys())
