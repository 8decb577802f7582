"""Learning rates and Adam steps as fairseq recorded them, for every case that holds such a record."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from auricle.train.optim import Adam
from auricle.train.schedule import Cosine, Fixed, InverseSqrt, PolynomialDecay, Schedule, TriStage
from golden import Meta, golden_cases, load_case, read_meta, scalar

Options = dict[str, Any]


def recorded_schedules(case: Path) -> list[str]:
    """The case's scalars that describe a schedule whose rates are among its arrays."""
    meta = read_meta(case)
    return [
        name
        for name, entry in meta.get("scalars", {}).items()
        if isinstance(entry, dict) and "scheduler" in entry and f"{name}.lr" in meta["arrays"]
    ]


def has_adam_steps(meta: Meta) -> bool:
    return {"adam.grads", "adam.params"} <= meta.get("arrays", {}).keys()


def is_trajectory(meta: Meta) -> bool:
    return "updates" in meta.get("scalars", {}) and "lr_scheduler" in meta.get("config", {})


def schedule(name: str, lr: float, max_update: float, options: Options) -> Schedule:
    """The schedule that fairseq's `name` stands for, its options under fairseq's words or left out."""
    warmup = int(options.get("warmup_updates") or 0)
    match name:
        case "fixed":
            return Fixed(lr, warmup)
        case "polynomial_decay":
            end, power = options.get("end_learning_rate", 0.0), options.get("power", 1.0)
            return PolynomialDecay(lr, options.get("total_num_update", max_update), warmup, end, power)
        case "tri_stage":
            scales = options.get("init_lr_scale", 0.01), options.get("final_lr_scale", 0.01)
            if options.get("phase_ratio"):
                return TriStage.from_phase_ratio(lr, max_update, options["phase_ratio"], *scales)
            return TriStage(
                lr, *(options[f"{phase}_steps"] for phase in ("warmup", "hold", "decay")), *scales
            )
        case "cosine":
            period = options.get("lr_period_updates", -1)
            return Cosine(
                lr,
                period if period > 0 else max_update - warmup,
                warmup,
                options["warmup_init_lr"] if options.get("warmup_init_lr", -1) >= 0 else None,
                options.get("min_lr", 0.0),
                options.get("t_mult", 1.0),
                options.get("lr_shrink", 0.1),
            )
        case "inverse_sqrt":
            initial = options.get("warmup_init_lr", -1)
            return InverseSqrt(lr, warmup or 4000, max(initial, 0.0))
    raise NotImplementedError(f"no schedule for {name}")


@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case in golden_cases() for name in recorded_schedules(case)]
)
def test_rates_are_those_recorded(case: Path, name: str) -> None:
    meta, arrays = load_case(case)
    entry = meta["scalars"][name]
    rate = schedule(entry["scheduler"], entry["lr"][0], entry["max_update"], entry["options"])
    got = torch.tensor([rate(int(k)) for k in arrays[f"{name}.k"]], dtype=torch.float64)
    torch.testing.assert_close(got, arrays[f"{name}.lr"].double(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("case", golden_cases(where=is_trajectory))
def test_rates_of_whole_runs_are_those_recorded(case: Path) -> None:
    meta = read_meta(case)
    options = meta["config"]["lr_scheduler"]
    max_update = meta["config"]["optimization"]["max_update"]
    rate = schedule(options["_name"], options["lr"][0], max_update, options)
    updates = scalar(meta, "updates")
    got = [rate(update["num_updates_before"]) for update in updates]
    assert got == pytest.approx([update["lr_used"] for update in updates], rel=1e-9, abs=0)


@pytest.mark.parametrize("case", golden_cases(where=has_adam_steps))
def test_adam_steps_are_those_recorded(case: Path) -> None:
    meta, arrays = load_case(case)
    # The options of these steps are in the description, in words such as "betas (0.9,0.98), eps 0.01".
    words = meta["arrays"]["adam.params"]["desc"]
    number = r"([\d.e+-]*\d)"
    first_rate = float(re.search(rf"lr {number}/\(i\+1\)", words)[1])
    beta1, beta2 = map(float, re.search(rf"betas \({number}, ?{number}\)", words).groups())
    eps, weight_decay = (float(re.search(f"{word} {number}", words)[1]) for word in ("eps", "weight_decay"))
    parameter = torch.nn.Parameter(arrays["adam.params"][0].clone())
    adam = Adam([parameter], (beta1, beta2), eps, weight_decay)
    for i, (gradient, after) in enumerate(zip(arrays["adam.grads"], arrays["adam.params"][1:], strict=True)):
        parameter.grad = gradient.clone()
        adam.set_lr(first_rate / (i + 1))
        adam.step()
        torch.testing.assert_close(parameter.data, after, rtol=1e-6, atol=2e-7)
