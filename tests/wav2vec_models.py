"""wav2vec 1.0 and vq-wav2vec models so small that they take no time, one of each kind there is."""

from dataclasses import replace

import torch

from auricle.models.build import build_model
from auricle.models.wav2vec import Wav2Vec
from auricle.models.wav2vec_config import AggregatorConfig, CodebooksConfig, Wav2VecConfig

PLAIN = Wav2VecConfig(
    conv_layers=((8, 10, 5), (8, 8, 4), (8, 4, 2), (8, 1, 1)),
    aggregator=AggregatorConfig(conv_layers=((8, 2, 1), (12, 3, 1))),
    prediction_steps=3,
    num_negatives=4,
)
LAYOUTS = {
    "plain": PLAIN,
    "every option": replace(
        PLAIN,
        skip_connections=True,
        log_compression=False,
        norm_affine=False,
        activation="gelu",
        aggregator=AggregatorConfig(
            conv_layers=((12, 3, 1), (8, 4, 1)), conv_bias=False, zero_pad=True, skip_connections=True
        ),
        project_features="new",
        cross_sample_negatives=2,
        offset=1,
        infonce=True,
    ),
    "same projection": replace(
        PLAIN,
        aggregator=AggregatorConfig(conv_layers=((8, 2, 1),), skip_connections=False),
        project_features="same",
        balanced_classes=True,
    ),
    "recurrent": replace(PLAIN, aggregator=AggregatorConfig("gru", gru_dim=10)),
    "gumbel": replace(PLAIN, infonce=True, quantizer=CodebooksConfig("gumbel", 2, 6, depth=2)),
    "gumbel, one codebook": replace(
        PLAIN, quantizer=CodebooksConfig("gumbel", 4, 5, combine_groups=True, temperature=(2.0, 0.5, 0.9))
    ),
    "k-means": replace(PLAIN, quantizer=CodebooksConfig("kmeans", 2, 6)),
    "k-means, one codebook": replace(
        PLAIN, infonce=True, quantizer=CodebooksConfig("kmeans", 4, 5, combine_groups=True, gamma=0.5)
    ),
}


def model_of(config: Wav2VecConfig, seed: int = 3) -> Wav2Vec:
    """In evaluation mode, with norms that do something and codes of several kinds."""
    torch.manual_seed(seed)
    model = build_model(config)
    assert isinstance(model, Wav2Vec)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            parameter.data.normal_(0.0, 0.3)
        elif name == "vector_quantizer.embedding":
            parameter.data.normal_()
    return model.eval()
