"""Networks that were opened to run only: what they say when more is asked of them.

Their weights may be laid out for the processor and no longer there to be read, so that the answers of whoever
copied, converted or trained them would be wrong.
"""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from auricle.errors import UserError


class RunOnly(nn.Module):
    """A network that can be told to do nothing from then on but run, where it is and as it is."""

    runs_only = False

    def run_only(self) -> None:
        """From here on, refuses to be trained, saved, copied, moved or changed."""
        if not self.runs_only:
            self.runs_only = True
            self.requires_grad_(False)
            self.register_state_dict_pre_hook(_refuse)  # type: ignore[no-untyped-call]
            self.register_load_state_dict_pre_hook(_refuse)  # type: ignore[no-untyped-call]

    def check_whole(self) -> None:
        """For whoever reads the weights.

        Raises:
            UserError: It runs only.
        """
        if self.runs_only:
            _refuse()

    def check_runs(self, x: Tensor) -> None:
        """For the start of each forward pass.

        Raises:
            UserError: It runs only, and somebody wants a gradient or, on a CPU, traces it.
        """
        if not self.runs_only:
            return
        traced = x.device.type == "cpu" and torch.compiler.is_compiling()
        given = (x, *self.parameters()) if torch.is_grad_enabled() else ()
        if traced or any(each.requires_grad for each in given):
            _refuse()

    def __getstate__(self) -> object:
        """For pickle and copy.

        Raises:
            UserError: It runs only.
        """
        self.check_whole()
        return super().__getstate__()  # type: ignore[no-untyped-call]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What `to` and its like do to each parameter: nothing if it runs only, or else they are refused."""
        if not self.runs_only:
            return super()._apply(fn, recurse)  # type: ignore[no-any-return,no-untyped-call]
        for dtype, device in {(each.dtype, each.device) for each in self.parameters() if not each.is_meta}:
            changed = fn(torch.empty(0, dtype=dtype, device=device))
            if (changed.dtype, changed.device) != (dtype, device):
                _refuse()
        return self


def _refuse(*_: Any) -> None:
    raise UserError(
        "this model was opened to run (precision=...) and does nothing else: to train, save, copy, convert "
        "or compile it, open it without a precision; to run it elsewhere, open it with map_location=DEVICE"
    )
