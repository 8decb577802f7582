"""``auricle train --multirun``: the runs of a sweep, one after the other."""

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from auricle.config.load import load_recipe
from auricle.config.overrides import Flag
from auricle.config.sweep import runs_of, swept
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.config.schema import Recipe


def run_all(
    config_name: str | None,
    config_dir: Path | None,
    overrides: Sequence[str],
    flags: Sequence[Flag],
    run: Callable[["Recipe"], str],
) -> None:
    """Make every run of a sweep, in the folders 0, 1, ... of the run folder, and say how each went.

    A run that fails does not keep the others from theirs; after one that somebody asked to stop, no other
    is begun.

    Args:
        config_name: Of the recipe.
        config_dir: Where it is.
        overrides: Those with several values make the sweep.
        flags: Likewise.
        run: Makes one run, and gives the reason why it ended.

    Raises:
        UserError: Some of the runs failed.
        typer.Exit: Somebody asked to stop.
    """
    runs = runs_of(overrides, flags)
    varied = swept(overrides, flags)
    lines, failed, stopped = [], 0, None
    for number, (chosen, chosen_flags) in enumerate(runs):
        what = " ".join(
            [chosen[i] for i in varied[0]] + [f"{chosen_flags[i]} {chosen_flags[i].value}" for i in varied[1]]
        )
        name = f"run {number} of {len(runs)}{f' ({what})' if what else ''}"
        _say(f"{name} begins")
        try:
            ended, ok = _one(config_name, config_dir, chosen, chosen_flags, run, number)
        except typer.Exit as exit:
            stopped = exit
            lines.append(f"{name}: stopped with exit code {exit.exit_code}; the same command goes on")
            break
        failed += not ok
        lines.append(f"{name}: {ended}")
    for line in lines:
        _say(line)
    if stopped:
        raise stopped
    if failed:
        raise UserError(f"{failed} of {len(runs)} runs failed: the lines above say why")


def _one(
    config_name: str | None,
    config_dir: Path | None,
    overrides: Sequence[str],
    flags: Sequence[Flag],
    run: Callable[["Recipe"], str],
    number: int,
) -> tuple[str, bool]:
    """How a run ended, and whether it ended well."""
    try:
        recipe = load_recipe(config_name, config_dir=config_dir, overrides=overrides, flags=flags)
        folder = f"{recipe.checkpoint.save_dir}/{number}"
        recipe = replace(recipe, checkpoint=replace(recipe.checkpoint, save_dir=folder))
        return f"{run(recipe)}; {folder}", True
    except UserError as error:
        return f"failed: {error}", False
    except typer.Exit:  # a runtime error too, but no fault
        raise
    except Exception as error:  # a fault of ours, or of the machine (out of memory): the next run may do
        traceback.print_exc()
        return f"failed: {type(error).__name__}: {error}", False


def _say(line: str) -> None:
    print(f"auricle: {' '.join(line.split())}", file=sys.stderr, flush=True)
