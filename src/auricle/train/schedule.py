"""Learning-rate schedules: the rate as a pure function of the number of updates done.

Each schedule is a frozen value; called with the number of updates done, it gives the learning rate of the
next update, as fairseq's scheduler of that name does (its ``step_update(k)`` sets the rate of update k + 1).
Hence a warm-up that starts from 0 makes a first update with a rate of 0. Nothing is remembered between calls,
so that resuming needs no state.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from auricle.errors import UserError

Schedule = Callable[[int], float]
"""Number of updates done -> learning rate of the next one."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A constant rate `lr` after `warmup_updates` updates of linear warm-up (fairseq: ``fixed``).

    Unlike the other warm-ups this one gives update 1 its share already, and reaches `lr` one update early.
    """

    lr: float
    warmup_updates: int = 0

    def __call__(self, num_updates: int) -> float:
        """Rate of update ``num_updates + 1``."""
        if num_updates < self.warmup_updates:
            return (num_updates + 1) / self.warmup_updates * self.lr
        return self.lr


@dataclass(frozen=True, slots=True)
class PolynomialDecay:
    """Linear warm-up from 0 to `lr`, then a polynomial down to `end_lr` at `total_updates`.

    The schedule of wav2vec 2.0's pre-training (section 4.2; fairseq: ``polynomial_decay``).
    """

    lr: float
    total_updates: float
    warmup_updates: int = 0
    end_lr: float = 0.0
    power: float = 1.0

    def __call__(self, num_updates: int) -> float:
        """Rate of update ``num_updates + 1``."""
        if self.warmup_updates > 0 and num_updates <= self.warmup_updates:
            return num_updates / self.warmup_updates * self.lr
        if num_updates >= self.total_updates:
            return self.end_lr
        left = 1 - (num_updates - self.warmup_updates) / (self.total_updates - self.warmup_updates)
        return self.end_lr + (self.lr - self.end_lr) * math.pow(left, self.power)


@dataclass(frozen=True, slots=True)
class TriStage:
    """Linear warm-up from `init_scale` x `lr`, a plateau at `lr`, exponential decay to `final_scale` x `lr`.

    The schedule of wav2vec 2.0's fine-tuning (section 4.3; fairseq: ``tri_stage``). After the three phases
    the rate stays at its final value.

    Raises:
        UserError: No phase has any updates, or `final_scale` is not above 0 (it decays exponentially).
    """

    lr: float
    warmup_updates: int
    hold_updates: int
    decay_updates: int
    init_scale: float = 0.01
    final_scale: float = 0.01

    def __post_init__(self) -> None:
        if self.warmup_updates + self.hold_updates + self.decay_updates <= 0:
            raise UserError("tri_stage has no updates: set lr_scheduler.phase_ratio or its three step counts")
        if self.final_scale <= 0:
            raise UserError(
                f"tri_stage decays to final_lr_scale {self.final_scale:g}: set it above 0 (fairseq: 0.01)"
            )

    @classmethod
    def from_phase_ratio(
        cls,
        lr: float,
        max_updates: float,
        phase_ratio: Sequence[float],
        init_scale: float = 0.01,
        final_scale: float = 0.01,
    ) -> "TriStage":
        """With the phases as three shares of `max_updates`, each rounded down as fairseq does.

        Raises:
            UserError: Not three shares that sum to 1, or no `max_updates` to share out.
        """
        if len(phase_ratio) != 3 or abs(sum(phase_ratio) - 1) > 1e-6:
            raise UserError(f"lr_scheduler.phase_ratio {list(phase_ratio)}: give three shares that sum to 1")
        if max_updates <= 0:
            raise UserError("lr_scheduler.phase_ratio needs optimization.max_update: set it above 0")
        warmup, hold, decay = (int(max_updates * share) for share in phase_ratio)
        return cls(lr, warmup, hold, decay, init_scale, final_scale)

    def __call__(self, num_updates: int) -> float:
        """Rate of update ``num_updates + 1``."""
        if num_updates < self.warmup_updates:
            initial = self.init_scale * self.lr
            return initial + (self.lr - initial) / self.warmup_updates * num_updates
        decaying = num_updates - self.warmup_updates - self.hold_updates
        if decaying < 0:
            return self.lr
        if decaying > self.decay_updates:
            return self.final_scale * self.lr
        return self.lr * math.pow(self.final_scale, decaying / max(self.decay_updates, 1))


@dataclass(frozen=True, slots=True)
class Cosine:
    """Linear warm-up from `warmup_init_lr` to `lr`, then cosines down to `min_lr` that start again.

    The schedule of wav2vec 1.0 (section 3.2; fairseq: ``cosine``).

    Attributes:
        period_updates: Length of the first cosine.
        warmup_init_lr: Where the warm-up starts; None stands for `min_lr`.
        period_mult: Each cosine is this many times as long as the one before.
        shrink: Both ends of each cosine are this share of those of the one before.
    """

    lr: float
    period_updates: float
    warmup_updates: int = 0
    warmup_init_lr: float | None = None
    min_lr: float = 0.0
    period_mult: float = 1.0
    shrink: float = 0.1

    def __post_init__(self) -> None:
        if self.period_updates <= 0:
            raise UserError(
                "the cosine schedule has no length: set lr_scheduler.lr_period_updates,"
                " or optimization.max_update above the warm-up"
            )

    def __call__(self, num_updates: int) -> float:
        """Rate of update ``num_updates + 1``."""
        if num_updates < self.warmup_updates:
            initial = self.min_lr if self.warmup_init_lr is None else self.warmup_init_lr
            return initial + (self.lr - initial) / self.warmup_updates * num_updates
        cycle, done, period = self._place(num_updates - self.warmup_updates)
        low, high = self.min_lr * self.shrink**cycle, self.lr * self.shrink**cycle
        return low + 0.5 * (high - low) * (1 + math.cos(math.pi * done / period))

    def _place(self, num_updates: int) -> tuple[int, float, float]:
        """Index of the running cosine, the updates done in it and its length."""
        growth = self.period_mult
        if growth == 1:
            cycle = math.floor(num_updates / self.period_updates)
            return cycle, num_updates - cycle * self.period_updates, self.period_updates
        # The lengths are a geometric series: the first i sum up to period * (1 - growth^i) / (1 - growth).
        cycle = math.floor(math.log(1 - num_updates / self.period_updates * (1 - growth), growth))
        start = (1 - growth**cycle) / (1 - growth) * self.period_updates
        return cycle, num_updates - start, growth**cycle * self.period_updates


@dataclass(frozen=True, slots=True)
class InverseSqrt:
    """Linear warm-up from `warmup_init_lr` to `lr`, then `lr` x sqrt(warmup_updates / updates).

    The schedule of "Attention Is All You Need" (section 5.3) up to a factor (fairseq: ``inverse_sqrt``).

    Raises:
        UserError: There is no warm-up, which sets the scale of the decay.
    """

    lr: float
    warmup_updates: int = 4000
    warmup_init_lr: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup_updates < 1:
            raise UserError("inverse_sqrt decays from its warm-up: set lr_scheduler.warmup_updates above 0")

    def __call__(self, num_updates: int) -> float:
        """Rate of update ``num_updates + 1``."""
        if num_updates < self.warmup_updates:
            return self.warmup_init_lr + (self.lr - self.warmup_init_lr) / self.warmup_updates * num_updates
        return self.lr * math.sqrt(self.warmup_updates) / math.sqrt(num_updates)
