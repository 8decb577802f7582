"""The course of ``auricle demo``: its steps one after the other, and what it says of them."""

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import typer
from rich.console import Console
from rich.table import Table

from auricle.audio import SAMPLE_RATE
from auricle.cli import demo_steps as steps
from auricle.cli.demo_plan import (
    FINE_TUNING,
    PHASES,
    PRETRAINING,
    RECOGNISERS,
    Phase,
    Plan,
    save,
    take_up,
)
from auricle.cli.device import pick_device
from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.errors import UserError
from auricle.report import write_report
from auricle.report.curves import duration
from auricle.report.run import Run, read_run
from auricle.train.loop import Progress

MAX_THREADS = 4
"""More do not help so small a model, and hurt where a container shows cores that it may not use."""

INTERRUPTED = 130

PAGE = "report.html"

CURVES = (
    ("loss", "loss", 1.0, ""),
    ("accuracy", "accuracy", 100.0, " %"),
    ("code_perplexity", "codes in use", 1.0, ""),
    ("cer", "CER", 1.0, " %"),
)
"""What is said of a training: the log's name, ours, a factor, a unit."""

ABOUT = (
    "Minutes of training on a CPU, with less than twelve minutes of transcripts, do not make a good "
    "recogniser: most words are wrong. What this page shows is the whole road from raw audio to transcripts, "
    "with curves that go the right way: in pre-training the accuracy rises far above chance (1 in 21) while "
    "entries all over the codebooks stay in use; a recogniser's loss falls below the plateau where it writes "
    "blanks only. Both recognisers have one architecture and one recipe, the same transcripts and as many "
    "updates; only their first weights differ. The English speaker of the test is the one of the training."
)


def run(folder: Path, *, quick: bool, seed: int, updates: Sequence[int]) -> None:
    """Make the whole demo, or what is left of it.

    Args:
        folder: The demo's.
        quick: Two minutes rather than ten.
        seed: Of all that is drawn.
        updates: Of pre-training and of fine-tuning; empty where time decides.

    Raises:
        UserError: The folder cannot be used, or was begun with other options.
        typer.Exit: Somebody asked to stop; everything is saved.
    """
    started = time.perf_counter()
    if any(count < 1 for count in updates):
        raise UserError("--updates N M takes two numbers above 0")
    torch.set_num_threads(min(torch.get_num_threads(), MAX_THREADS))
    plan, begun = take_up(folder, Plan(quick, seed, tuple(updates)))
    if begun:
        _say(
            f"{folder} holds a demo already: it goes on, and what is done is not done again. To start anew, "
            f"remove that folder or choose another with --folder."
        )
    _Demo(folder, plan).run()
    _say(f"All of it took {duration(time.perf_counter() - started)}.")


class _Demo:
    """A demo on its way."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan
        self.device = pick_device(None)

    def run(self) -> None:
        _head(1, "Manifests and labels of the bundled speech")
        for name, entries in steps.write_data(self.folder / "data").items():
            minutes = sum(entry.num_samples for entry in entries) / SAMPLE_RATE / 60
            _say(f"{self.folder / 'data' / name}.tsv: {len(entries)} clips, {minutes:.1f} minutes")
        trained = {}
        for number, phase in enumerate(PHASES, start=2):
            _head(number, phase.title)
            trained[phase] = self._train(phase)
        _head(5, "How well they recognise sentences of the test set, which neither has seen")
        self._measure(trained)
        _head(6, "One of its clips, transcribed")
        self._transcribe()
        _head(7, "The page that shows it all")
        self._report()

    def _run_folder(self, phase: Phase) -> Path:
        return self.folder / "runs" / phase.run

    def _train(self, phase: Phase) -> Progress:
        """Train as `auricle train` does with the words shown; to the end, or until somebody asks to stop."""
        if self.plan.num_updates(phase) is None:
            trainer = build_run(load_recipe(phase.recipe, flags=self._words(phase)))
            self.plan = self.plan.measure(phase, trainer)
            save(self.folder, self.plan)
            _say(f"{self.plan.num_updates(phase)} updates fit in {duration(self.plan.seconds(phase))}")
        words = self._words(phase)
        _command("train", "--config-name", phase.recipe, *words)
        recipe = load_recipe(phase.recipe, flags=words)
        trainer = build_run(recipe)
        trainer.run()
        done, limits = trainer.progress, recipe.optimization
        in_time = not limits.stop_time_hours or done.seconds < limits.stop_time_hours * 3600
        if done.num_updates < limits.max_update and in_time:
            raise typer.Exit(INTERRUPTED)  # the trainer has said why, and that it saved
        _say(_change(read_run(self._run_folder(phase))))
        return done

    def _words(self, phase: Phase) -> list[str]:
        words = ["--data", str(self.folder / "data" / phase.data), "--save-dir", str(self._run_folder(phase))]
        words += ["--seed", str(self.plan.seed), *self.plan.limits(phase)]
        if phase is not PRETRAINING:
            words += ["--w2v-path", str(self._run_folder(PRETRAINING)), *phase.flags]
        return words

    def _measure(self, trained: Mapping[Phase, Progress]) -> None:
        table = Table("", "updates", "training", "CTC loss", "CER %", "WER %", title="English test set")
        for column in table.columns[1:]:
            column.justify = "right"
        data = self.folder / "data" / FINE_TUNING.data
        for phase in RECOGNISERS:
            _command("evaluate", data, "--model", self._run_folder(phase), "--gen-subset", "test")
            score = steps.measure_recogniser(self._run_folder(phase), data, self.device)
            done = trained[phase]
            rates = (f"{value:.1f}" for value in (score.loss, score.cer, score.wer))
            table.add_row(phase.run, str(done.num_updates), duration(done.seconds), *rates)
        Console().print(table)
        before = trained[PRETRAINING]
        _say(
            f"fine-tuned began with what {before.num_updates} updates of pre-training had learnt in "
            f"{duration(before.seconds)}. Loss: bits an utterance. To write nothing is 100 % of both errors."
        )

    def _transcribe(self) -> None:
        table = Table("", "text", show_header=False)
        table.add_row("said", steps.reference())
        for phase in RECOGNISERS:
            _command("transcribe", steps.SPEECH / steps.SAMPLE, "--model", self._run_folder(phase))
            table.add_row(phase.run, steps.transcribe_sample(self._run_folder(phase), self.device))
        Console().print(table)

    def _report(self) -> None:
        folders = [self._run_folder(phase) for phase in PHASES]
        _command("report", *folders, "--output", self.folder / PAGE)
        _say(f"{write_report(folders, output=self.folder / PAGE, note=ABOUT)}: open it in a browser")


def _change(run: Run, split: str = "valid") -> str:
    """How the curves of a run went, from its first validation to its last."""
    words = []
    for key, name, factor, unit in CURVES:
        values = [factor * value for value in run.curve(key, split)[1]]
        if values:
            ends = values[:1] + values[1:][-1:]
            words.append(f"{name} " + " -> ".join(f"{value:.3g}{unit}" for value in ends))
    return f"{split}: {', '.join(words)}"


def _head(number: int, title: str) -> None:
    _say(f"\n{number}/7  {title}")


def _command(verb: str, *words: str | Path) -> None:
    """Show the command that does the same."""
    _say(f"$ auricle {verb} {shlex.join(map(str, words))}")


def _say(text: str) -> None:
    print(text, flush=True)
