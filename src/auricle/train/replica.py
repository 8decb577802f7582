"""A model with its loss as one module, as torch's wrappers for several workers want it."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from auricle.losses import Loss
from auricle.models.config import (
    CTCConfig,
    LanguageModelConfig,
    RobertaConfig,
    Seq2SeqConfig,
    Wav2Vec2Config,
)
from auricle.train.objective import Objective


class LossOf(nn.Module):
    """A model and its loss as one module, which gives torch a plain tensor to begin the backward pass at.

    Attributes:
        made: The loss of the last call.
    """

    made: Loss

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, loss: Callable[[], Loss]) -> Tensor:
        """The total of what `loss` gives."""
        self.made = loss()
        return self.made.total


def no_loss() -> Loss:
    """Of nothing, for a call that is to set a module up."""
    return Loss(torch.zeros(()), torch.zeros(()), {}, {})


class Replica(DistributedDataParallel):
    """Torch's wrapper for workers that each hold the whole model; the weights of the first are everybody's.

    Args:
        module: The model with its loss.
        find_unused: Look, in every update, for weights that have no gradient in any worker, and leave them
            without one. Otherwise every weight must have one.
    """

    module: LossOf

    def __init__(self, module: LossOf, *, find_unused: bool) -> None:
        if find_unused:
            # Torch warns where it finds none, as in the many updates in which LayerDrop drops nothing.
            module.register_parameter("never_used", nn.Parameter(next(module.parameters()).new_zeros(1)))
        with warnings.catch_warnings():
            # The word that is to replace `broadcast_buffers` is not known to older versions.
            warnings.simplefilter("ignore", FutureWarning)
            super().__init__(
                module,
                find_unused_parameters=find_unused,
                broadcast_buffers=False,
                gradient_as_bucket_view=True,
            )


def may_leave_weights_out(objective: Objective) -> bool:
    """Whether an update may give some weights no gradient at all, which differs from one of 0.

    LayerDrop and frozen encoders do, and so do weights that a model has and never uses, and what depends on
    the batch: of an adaptive softmax, only the bands have a gradient whose symbols come up.
    """
    config = getattr(objective.model, "config", None)
    if getattr(objective, "freeze_updates", 0) > 0:
        return True
    if isinstance(config, Seq2SeqConfig):
        return config.decoder.layerdrop > 0 or _encoder_may(config.encoder)
    if isinstance(config, CTCConfig):
        return _encoder_may(config.encoder)
    if isinstance(config, Wav2Vec2Config):
        return _encoder_may(config)
    if isinstance(config, RobertaConfig):
        return config.layerdrop > 0
    if isinstance(config, LanguageModelConfig):
        return config.decoder.layerdrop > 0 or bool(config.input_cutoffs or config.softmax_cutoffs)
    return True


def _encoder_may(config: Wav2Vec2Config) -> bool:
    encoder = config.encoder
    never = (
        config.feature_grad_mult <= 0,  # frozen convolutions
        config.time_mask.prob <= 0,  # the vector in place of masked frames
        not encoder.has_position_conv,  # fairseq's checkpoints have it all the same
    )
    return encoder.layerdrop > 0 or any(never)
