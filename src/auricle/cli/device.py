"""Where a model runs."""

from typing import TYPE_CHECKING

from auricle.errors import UserError

if TYPE_CHECKING:
    import torch


def pick_device(name: str | None) -> "torch.device":
    """The device of that name; without one, the first CUDA device where there is one, else the CPU.

    Raises:
        UserError: There is no such device here.
    """
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {name} cannot be used here ({reason}): try --device cpu") from error
    return device
