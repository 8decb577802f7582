"""What ``auricle demo`` trains, for how long, and how a second start knows what the first one had begun."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, count
from pathlib import Path

from auricle.cli.output import check_writable
from auricle.data.collate import Batch
from auricle.errors import UserError
from auricle.files import atomic_write_text
from auricle.train.loop import Trainer

PLAN = "demo.json"

WARM_UP_UPDATES, MEASURED_UPDATES = 3, 8
MEASURED_SHARE = 0.04
"""After the warm-up, speed is measured for this share of a training's time, and for some updates at least."""
TRAINING_SHARE = 0.93
"""Of a training's time; the rest is for validation and checkpoints."""
TOLERANCE = 1.1
"""Where the machine gets slower than it was measured, the clock ends a training after so much of its time."""
FEWEST_UPDATES = 20
LOG_LINES = 40


@dataclass(frozen=True, slots=True)
class Phase:
    """One of the three trainings.

    Attributes:
        run: Its run folder, under `runs`.
        title: What it does.
        recipe: One of those shipped.
        data: Its manifests, under `data`.
        seconds: How long it takes on any machine, in full and with --quick.
        flags: What it changes in the recipe.
    """

    run: str
    title: str
    recipe: str
    data: str
    seconds: tuple[float, float]
    flags: tuple[str, ...] = ()


PRETRAINING = Phase(
    run="pretrained",
    title="Pre-training on unlabelled speech in five languages",
    recipe="demo_pretrain",
    data="speech",
    seconds=(230.0, 35.0),
)
FINE_TUNING = Phase(
    run="fine-tuned",
    title="Fine-tuning on transcribed English",
    recipe="demo_ctc",
    data="english",
    seconds=(115.0, 20.0),
)
FROM_SCRATCH = replace(
    FINE_TUNING,
    run="from-scratch",
    title="The same from random weights, on the same transcripts",
    flags=("--no-pretrained-weights",),
)
RECOGNISERS = (FINE_TUNING, FROM_SCRATCH)
PHASES = (PRETRAINING, *RECOGNISERS)


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a demo, and what its measurements made of them.

    Attributes:
        quick: Two minutes rather than ten.
        seed: Of all that is drawn.
        updates: Asked for: of pre-training, of fine-tuning. Empty where time decides.
        measured: By recipe, the updates that fit in the time: one count for both recognisers.
    """

    quick: bool
    seed: int
    updates: tuple[int, ...]
    measured: Mapping[str, int] = field(default_factory=dict)

    def num_updates(self, phase: Phase) -> int | None:
        """Updates of a training; None where they have to be measured first."""
        if self.updates:
            return self.updates[0 if phase is PRETRAINING else 1]
        return self.measured.get(phase.recipe)

    def limits(self, phase: Phase) -> list[str]:
        """When a training ends and how often it reports, in the flags of `auricle train`."""
        num_updates = self.num_updates(phase)
        if num_updates is None:
            return []
        interval = max(1, num_updates // LOG_LINES)
        flags = ["--max-update", str(num_updates), "--log-interval", str(interval)]
        if not self.updates:
            flags += ["--stop-time-hours", f"{TOLERANCE * self.seconds(phase) / 3600:.4f}"]
        return flags

    def seconds(self, phase: Phase) -> float:
        """What a training takes where time decides."""
        return phase.seconds[self.quick]

    def measure(self, phase: Phase, trainer: Trainer) -> "Plan":
        """The plan with as many updates for this training as fit in its time, this measurement included."""
        seconds, started = self.seconds(phase), time.perf_counter()
        per_update = seconds_per_update(trainer, MEASURED_SHARE * seconds)
        left = seconds - (time.perf_counter() - started)
        fitting = int(TRAINING_SHARE * left / per_update)
        return replace(self, measured={**self.measured, phase.recipe: max(fitting, FEWEST_UPDATES)})


def seconds_per_update(trainer: Trainer, at_least: float) -> float:
    """Time of an update, reading included; the trainer is used up by it."""
    started = 0.0
    for done, batch in enumerate(_batches(trainer)):
        if done == WARM_UP_UPDATES:
            started = time.perf_counter()
        trainer.step.update([batch], 1, done, lr=0.0)
        elapsed, measured = time.perf_counter() - started, done + 1 - WARM_UP_UPDATES
        if measured >= MEASURED_UPDATES and elapsed >= at_least:
            return elapsed / measured
    raise AssertionError("epochs go on for ever")


def _batches(trainer: Trainer) -> Iterator[Batch]:
    return chain.from_iterable(trainer.train.epoch(epoch) for epoch in count(1))


def take_up(folder: Path, plan: Plan) -> tuple[Plan, bool]:
    """The plan that a folder holds, or the given one for a new folder.

    Returns:
        The plan, and whether the demo was begun before.

    Raises:
        UserError: The folder holds something else, or a demo with other options, or cannot be written.
    """
    check_writable(folder)
    path = folder / PLAN
    if not path.exists():
        if any(folder.iterdir()):
            raise UserError(f"{folder} is not empty and holds no demo: choose another with --folder")
        save(folder, plan)
        return plan, False
    begun = _read(path)
    if replace(begun, measured={}) != plan:
        raise UserError(
            f"{folder} holds a demo that was begun with {_options(begun)}: say the same to go on with it; "
            "to start anew, remove the folder or choose another with --folder"
        )
    return begun, True


def save(folder: Path, plan: Plan) -> None:
    """Note a plan in the demo's folder."""
    atomic_write_text(folder / PLAN, json.dumps(asdict(plan), indent=2) + "\n")


def _read(path: Path) -> Plan:
    try:
        values = json.loads(path.read_bytes())
        measured = {str(recipe): int(updates) for recipe, updates in values["measured"].items()}
        return Plan(bool(values["quick"]), int(values["seed"]), tuple(map(int, values["updates"])), measured)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{path} is damaged: remove {path.parent}, or choose another folder with --folder"
        ) from None


def _options(plan: Plan) -> str:
    words = [*(["--quick"] if plan.quick else []), f"--seed {plan.seed}"]
    if plan.updates:
        words.append("--updates " + " ".join(map(str, plan.updates)))
    return " ".join(words)
