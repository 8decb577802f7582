"""fairseq's Adam on torch's fused kernels, and the scaling and clipping of gradients before it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim.adamw import adamw

from auricle.errors import UserError

_FUSED_DEVICES = frozenset({"cpu", "cuda"})
_STATE_KEYS = ("step", "exp_avg", "exp_avg_sq")


def copied(whole: Tensor, like: Tensor) -> Tensor:
    """A copy of a tensor on another's device."""
    return whole.to(like.device, copy=True)


class Adam(torch.optim.Optimizer):
    """Adam with decoupled weight decay, as fairseq computes it.

    For a parameter p with gradient g at its own step t: p -= lr * weight_decay * p, then
    p -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps). It differs from torch's AdamW in where
    `eps` stands (added before the bias correction), and starts t of each parameter at its first update *with
    a gradient*: weights that were frozen for a while begin with a full bias correction. A parameter without a
    gradient is left alone, weight decay included.

    The learning rate is 0 until the training loop sets it, before each update, with `set_lr`.

    Args:
        params: Parameters, or torch's parameter groups.
        betas: Decay of the two moments.
        eps: Added to the root of the second moment.
        weight_decay: Share of a parameter that is taken away an update, times the learning rate.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": 0.0, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the updates to come."""
        for group in self.param_groups:
            group["lr"] = lr

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Make one update from the gradients; there is no support for a `closure`."""
        for group in self.param_groups:
            alike: dict[tuple[torch.device, int], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.device, self._advance(parameter)].append(parameter)
            for (device, step), parameters in alike.items():
                self._update(parameters, device, step, group)

    def _advance(self, parameter: nn.Parameter) -> int:
        """Count one step of `parameter`, whose moments are made at the first."""
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["step"] += 1
        return int(state["step"])

    def _update(
        self, parameters: list[nn.Parameter], device: torch.device, step: int, group: dict[str, Any]
    ) -> None:
        """Update parameters of one device that share the step count `step` (from 1)."""
        beta1, beta2 = group["betas"]
        states = [self.state[parameter] for parameter in parameters]
        # The kernel counts one up itself, in a tensor of its own for each parameter. It adds eps after the
        # bias correction of the second moment: eps divided by that correction stands where fairseq has it.
        counts = torch.full((len(parameters),), step - 1.0, device=device).unbind()
        adamw(
            list(parameters),
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            list(counts),
            fused=device.type in _FUSED_DEVICES,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"] / (1 - beta2**step) ** 0.5,
            maximize=False,
        )

    def named_state(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        whole: Callable[[Tensor], Tensor] = torch.as_tensor,
    ) -> dict[str, Tensor]:
        """The moments and step counts under flat names, ``PARAMETER.exp_avg`` and so on, not copied.

        Parameters that have made no update yet have none.

        Args:
            named_parameters: The model's.
            whole: Makes whole tensors of those that workers share.
        """
        return {
            f"{name}.{key}": whole(torch.as_tensor(self.state[parameter][key]))
            for name, parameter in named_parameters
            if parameter in self.state
            for key in _STATE_KEYS
        }

    def load_named_state(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        tensors: Mapping[str, Tensor],
        part: Callable[[Tensor, Tensor], Tensor] = copied,
    ) -> None:
        """Take up what `named_state` gave, bit for bit, in place of the present state.

        Args:
            named_parameters: The model's.
            tensors: Whole.
            part: Makes of a whole tensor the part that this worker holds of a parameter, in a copy.

        Raises:
            UserError: The names or shapes are not those of these parameters.
        """
        left = dict(tensors)
        self.state.clear()
        for name, parameter in named_parameters:
            if f"{name}.step" not in left:
                continue
            try:
                step, *moments = (left.pop(f"{name}.{key}") for key in _STATE_KEYS)
            except KeyError as missing:
                raise UserError(f"the optimizer's saved state lacks {missing}: the file is damaged") from None
            if any(moment.shape != parameter.shape for moment in moments):
                raise UserError(f"the optimizer's saved state of {name} has another shape than the model's")
            first, second = (part(moment, parameter) for moment in moments)
            self.state[parameter] = {"step": int(step), "exp_avg": first, "exp_avg_sq": second}
        if left:
            raise UserError(
                f"the optimizer's saved state is of another model: {next(iter(left))} is not in this"
            )


@torch.no_grad()
def scale_and_clip(
    parameters: Iterable[nn.Parameter],
    scale: float | Tensor,
    max_norm: float,
    whole: Callable[[Tensor], Tensor] = torch.as_tensor,
) -> Tensor:
    """Multiply the gradients by `scale`, then clip them, reading them once and writing them once.

    Args:
        parameters: Those without a gradient are passed over.
        scale: 1 / denominator of the update, times what undoes a loss scaling; a tensor is on their device.
        max_norm: Gradients are brought down to this norm, with fairseq's factor max_norm / (norm + 1e-6);
            0 does not clip.
        whole: Makes one norm of those of workers who share the gradients.

    Returns:
        L2 norm of all gradients after scaling and before clipping, a scalar on their device. Where it is not
        finite the gradients are worthless, and the caller should skip the update.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norm = whole(get_total_norm(gradients)) * scale
    factor = (max_norm / (norm + 1e-6)).clamp(max=1) * scale if max_norm > 0 else scale
    torch._foreach_mul_(gradients, factor)
    return norm


def clip_grad_norm(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Clip the gradients as `scale_and_clip` does, without scaling; gives their norm before clipping."""
    return scale_and_clip(parameters, 1.0, max_norm)
