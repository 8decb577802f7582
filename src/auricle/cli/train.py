"""``auricle train``: a recipe, with what the command line changes in it, to a run folder."""

import sys
from pathlib import Path
from typing import Annotated

import typer


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
            "--dry-run", help="Check the recipe and model.w2v_path, print the recipe in full, and leave."
        ),
    ] = False,
    help_keys: Annotated[
        bool, typer.Option("--help-keys", help="List every key with its type, default and meaning.")
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
    """Pre-trains or fine-tunes a model with a recipe.

    auricle train [DATA] --config-name NAME [KEY=VALUE ...] [--some-key VALUE ...]

    DATA is the folder with train.tsv and valid.tsv, and for fine-tuning also
    train.ltr, valid.ltr and dict.ltr.txt; task.data=DATA means the same.

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
    """
    from auricle.config.load import load_recipe, recipe_names, recipe_yaml
    from auricle.config.overrides import Flag, sort_words

    if help_keys or list_recipes:
        from auricle.config.describe import key_listing

        print(key_listing() if help_keys else "\n".join(recipe_names()))
        return
    words = sort_words(context.args)
    flags = words.flags if words.data is None else (Flag("data", words.data), *words.flags)
    recipe = load_recipe(config_name, config_dir=config_dir, overrides=words.overrides, flags=flags)
    if dry_run:
        from auricle.config.build import schedule
        from auricle.config.build_model import model_config, pretrained_encoder

        model_config(recipe, pretrained_encoder(recipe), num_labels=1)
        schedule(recipe)
        sys.stdout.write(recipe_yaml(recipe))
        return
    if submit is not None:
        from auricle.cli.submit import submit as hand_over

        job = hand_over(recipe, submit, submit_option or ())
        print(f"job {job.job_id}: it says what it does in {job.paths.stderr}", file=sys.stderr)
        return
    from auricle.cli.workers import train

    raise typer.Exit(train(recipe))
