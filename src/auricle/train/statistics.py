"""Running statistics of batch norms, as one process would have them that had seen what several saw."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from auricle.train.engine import Engine


class BatchStatistics:
    """Puts together, update by update, what the batch norms of all workers have learnt.

    A micro-batch moves a running value r to keep * r + c. So each worker lets every micro-batch of an update
    start from the same values; where they end tells c, and all c together tell what one process would have
    reached, micro-batch after micro-batch.

    Args:
        model: Whose batch norms are meant.
        engine: The workers.
    """

    def __init__(self, model: nn.Module, engine: Engine) -> None:
        several = engine.num_workers > 1
        self._engine = engine
        self._norms = [m for m in model.modules() if several and isinstance(m, nn.BatchNorm1d)]
        self._seen: list[Tensor] = []

    def begin(self) -> None:
        """Note where an update starts."""
        self._start, self._seen = self._values(), []

    def note(self, counts: bool) -> None:
        """Take down where a micro-batch ended, and whether it counts; the next starts anew."""
        if self._norms:
            self._seen.append(torch.cat([self._values(), torch.full((1,), float(counts)).double()]))
            self._set(self._start)

    def finish(self) -> None:
        """Let all batch norms have seen all micro-batches of the update."""
        if not self._norms:
            return
        keep = torch.cat([torch.full(v.shape, share) for v, share in self._buffers()]).double()
        rows = self._engine.gather_tensor(torch.stack(self._seen)).transpose(0, 1).flatten(0, 1)
        values = self._start
        for row in rows[rows[:, -1] > 0, :-1]:
            values = keep * values + (row - keep * self._start)
        self._set(values)

    def _buffers(self) -> Iterator[tuple[Tensor, float]]:
        """Every running value, [C] or a count [1], and the share of it that a micro-batch keeps."""
        for norm in self._norms:
            assert norm.running_mean is not None and norm.running_var is not None
            assert norm.num_batches_tracked is not None
            share = 1.0 - (norm.momentum or 0.0)
            yield norm.running_mean, share
            yield norm.running_var, share
            yield norm.num_batches_tracked[None], 1.0

    def _values(self) -> Tensor:
        """All of them in a row, float64 on the CPU."""
        return torch.cat([torch.zeros(0).double(), *(value.double().cpu() for value, _ in self._buffers())])

    def _set(self, values: Tensor) -> None:
        for own, _ in self._buffers():
            own.copy_(values[: len(own)])
            values = values[len(own) :]
