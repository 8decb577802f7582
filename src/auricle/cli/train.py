"""``auricle train``: a recipe, with what the command line changes in it, to a run folder."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from auricle.config.schema import Recipe


def command(
    context: typer.Context,
    config_name: Annotated[
        str | None,
        typer.Option(
            "--config-name", help="Recipe to train with, with or without .yaml.", show_default=False
        ),
    ] = None,
    config_dir: Annotated[
        Path | None,
        typer.Option("--config-dir", help="Folder of recipes; without it, those shipped are meant."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check the recipe and model.w2v_path, print the recipe in full on standard output and "
            "what it will cost on standard error, and leave.",
        ),
    ] = False,
    multirun: Annotated[
        bool,
        typer.Option(
            "--multirun",
            "-m",
            help="Take KEY=A,B as several runs, one after the other, in numbered folders of the run folder.",
        ),
    ] = False,
    help_keys: Annotated[
        bool, typer.Option("--help-keys", help="List the keys alone, as they stand below.")
    ] = False,
    list_recipes: Annotated[
        bool, typer.Option("--list-recipes", help="List the recipes shipped with the package.")
    ] = False,
    submit: Annotated[
        str | None,
        typer.Option(
            "--submit", help="Hand the run to a cluster: slurm, or local to try it.", show_default=False
        ),
    ] = None,
    submit_option: Annotated[
        list[str] | None,
        typer.Option(
            "--submit-option",
            help="KEY=VALUE for the job, such as nodes=2, tasks_per_node=8, slurm_partition=gpu.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Pre-trains or fine-tunes a model with a recipe: of speech, of codes or of text.

    auricle train [DATA] --config-name NAME [KEY=VALUE ...] [--some-key VALUE ...]

    DATA is the folder with train.tsv and valid.tsv, and for fine-tuning also
    train.ltr, valid.ltr and dict.ltr.txt; for models of text, train.src or
    train.txt, valid.* and dict.txt. task.data=DATA means the same.

    A recipe is changed in Hydra's words (dataset.max_tokens=640000,
    +optimization.update_freq=[4], ~model.mask_length, lr_scheduler=cosine) or
    by a flag named like a key (--max-tokens 640000). fairseq's flat command
    lines (--arch, --task, --criterion, ...) need no recipe.

    The run folder is runs/NAME, or --save-dir. Training goes on from its last
    checkpoint where there is one; Ctrl-C saves and leaves (exit code 130), and
    so does SIGTERM (143).

    On a machine with several GPUs each gets a process of its own; torchrun
    starts them on several machines (docs/distributed.md).

    auricle train data/ --config-name small_pretrain

    auricle train data/ --config-name small_ctc --w2v-path runs/small_pretrain

    auricle train data/ --config-name small_ctc --multirun optimization.lr=1e-4,3e-4
    """
    from auricle.config.load import load_recipe
    from auricle.config.overrides import Flag, sort_words
    from auricle.config.recipe_files import recipe_names

    if help_keys or list_recipes:
        print(keys() if help_keys else "\n".join(recipe_names()))
        return
    words = sort_words(context.args)
    flags = words.flags if words.data is None else (Flag("data", words.data), *words.flags)
    each = partial(_show, several=multirun) if dry_run else _run
    if submit is not None and not dry_run:
        each = partial(_submit, cluster=submit, options=submit_option or ())
    if multirun:
        from auricle.cli.multirun import run_all

        run_all(config_name, config_dir, words.overrides, flags, each)
        return
    recipe = load_recipe(config_name, config_dir=config_dir, overrides=words.overrides, flags=flags)
    each(recipe)


def keys() -> str:
    """Every key of a recipe, which ``--help`` shows after the options."""
    from auricle.config.describe import key_listing

    return key_listing()


def _run(recipe: "Recipe") -> str:
    from auricle.cli.workers import train

    return train(recipe)


def _submit(recipe: "Recipe", cluster: str, options: Sequence[str]) -> str:
    from auricle.cli.submit import submit

    job = submit(recipe, cluster, options)
    said = f"job {job.job_id}: it says what it does in {job.paths.stderr}"
    print(said, file=sys.stderr)
    return said


def _show(recipe: "Recipe", several: bool) -> str:
    """Writes the recipe on standard output, and nothing else; estimates go to standard error."""
    from auricle.cli.workers import workers_to_start
    from auricle.config.build import device_of
    from auricle.config.build_model import model_config, pretrained_encoder
    from auricle.config.build_schedule import schedule
    from auricle.config.estimate import estimates
    from auricle.config.load import recipe_yaml
    from auricle.config.schema_text import TextKeys

    # the dictionary is not looked at: text has as many symbols as any cut-off may ask for
    num_labels = 1_000_000 if isinstance(recipe.task, TextKeys) else 1
    config = model_config(recipe, pretrained_encoder(recipe), num_labels)
    schedule(recipe)
    sys.stdout.write(("---\n" if several else "") + recipe_yaml(recipe))
    sys.stdout.flush()
    for line in estimates(recipe, config, device_of(recipe), workers_to_start(recipe)):
        print(line, file=sys.stderr)
    return "checked"
