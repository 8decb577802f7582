"""What a person gets wrong, typed as a person types it: one line that names the culprit and the fix.

The list of mistakes is this file's; how each is found out is tested beside its module. After every one of
them the checkpoints that were there are there still, byte for byte.
"""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import auricle
from auricle.cli.main import main
from auricle.train.step import Step
from mistakes import (
    WITHOUT_MODEL,
    Spoil,
    copy,
    cut,
    lay_out,
    nothing,
    remove,
    replace,
    typed,
    write,
    write_table,
)
from sounds import noise

NOTICE = re.compile(r"(auricle: )?(train: |valid: |set aside |left out |\d+ files were |going on from )")
"""What may stand before the complaint: how far the work went, and files that were left out."""


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lay_out()
    return folder


@pytest.fixture(autouse=True)
def here(untouched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, where the command is typed."""
    folder = tmp_path / "here"
    shutil.copytree(untouched, folder)
    monkeypatch.chdir(folder)
    return folder


def saved() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path("runs/tuned/checkpoints").rglob("*") if path.is_file()}


def complaint(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command line is answered with, and nothing of what was saved is lost."""
    before = saved()
    capsys.readouterr()
    assert main(typed(words)) == 2
    *notices, line = capsys.readouterr().err.splitlines()
    assert line.startswith("auricle: ")
    assert all(NOTICE.match(notice) for notice in notices), notices
    assert saved() == before
    return line.removeprefix("auricle: ")


Mistake = tuple[str, Spoil, str, str]
"""Words, what is spoilt before they are typed, and patterns of what has to be said: the culprit, the fix."""

MISTAKES: dict[str, Mistake] = {
    # --- something is missing
    "manifest": ("TUNE", remove("corpus/train.tsv"), "corpus/train.tsv: .*No such file", "check the path"),
    "manifest of a subset": ("EVALUATE recogniser --subset dev", nothing, "corpus/dev.tsv", "check the path"),
    "labels": ("TUNE", remove("corpus/train.ltr"), "corpus/train.ltr: .*No such file", "check the path"),
    "dictionary": ("TUNE", remove("corpus/dict.ltr.txt"), "corpus/dict.ltr.txt: .*No such", "check the path"),
    "data folder": (
        *("train corpse --config-name small_pretrain", nothing),
        *("data=corpse: .*no such", "`auricle manifest"),
    ),
    "no data folder": ("train --config-name small_pretrain", nothing, "task.data open", "add task.data="),
    "audio of train": (
        *("TUNE", replace("corpus/train.tsv", "^.*", "gone")),
        *("train.tsv:1: .* gone", "write there"),
    ),
    "audio of valid": (
        *("TUNE", replace("corpus/valid.tsv", "^.*", "gone")),
        *("valid.tsv:1: .* gone", "write there"),
    ),
    "audio to evaluate": (
        *("EVALUATE recogniser", replace("corpus/valid.tsv", "^.*", "gone")),
        *("valid.tsv:1: .* gone", "auricle manifest"),
    ),
    "audio to list": ("manifest corpse --ext wav", nothing, "corpse: no such folder", "check the path"),
    "w2v_path": ("TUNE --w2v-path encodr", nothing, "encodr does not exist", "there is encoder"),
    "language model of validation": (
        *("TUNE +criterion.wer_args=[no.arpa,corpus/lexicon.txt,2,-1]", nothing),
        *("no.arpa: there is no such language model", "check the path"),
    ),
    "letters of validation's lexicon": (
        "TUNE +criterion.wer_args=[file,lexicon.txt,2,-1]",
        write("lexicon.txt", "eat\te a t |\n"),
        *("lexicon.txt:1: 'e' in the spelling of 'eat' .* which has 'E'", "make the lexicon with"),
    ),
    "model": ("EVALUATE recognizer", nothing, "recognizer does not exist", "there is recogniser"),
    "no model": ("transcribe corpus", nothing, "Missing option '--model'", "auricle transcribe --help"),
    "recipe": ("train corpus --config-name small_cct", nothing, "'small_cct'", "did you mean small_ctc"),
    "recipes": (
        *("train corpus --config-dir no --config-name my", nothing),
        *("--config-dir no", "no such folder"),
    ),
    "no recipe": ("train corpus", nothing, "nothing says which", "--config-name"),
    "run": ("report runs/tuend", nothing, "runs/tuend", "give the run folder"),
    "table": ("LABELS", nothing, "table.tsv: .*No such file", "check the path"),
    # --- a line has another form
    "manifest's columns": (
        *("TUNE", replace("corpus/train.tsv", "(train1.wav\t)", r"\1x\t")),
        *(r"train.tsv:3: .* got 'train1.wav\\tx\\t", "expected 'path<TAB>number of samples'"),
    ),
    "manifest's separator": (
        *("EVALUATE recogniser", replace("corpus/valid.tsv", "wav\t", "wav ")),
        *("valid.tsv:2: .* got 'valid0.wav ", "expected 'path<TAB>number of samples'"),
    ),
    "manifest's root": (
        *("TUNE", replace("corpus/train.tsv", "^.*\n", "")),
        *("train.tsv:1", "has to be the root"),
    ),
    "manifest's entries": ("TUNE", write("corpus/train.tsv", "corpus\n"), "train.ltr has 6", "the same list"),
    "table's columns": (
        *("LABELS", write("table.tsv", "pfad\ttext\ntrain0.wav\tA\n")),
        *("table.tsv:2: none of the columns path.*there are pfad, text", "choose one with --path-column"),
    ),
    "table's rows": (
        *("LABELS", write("table.tsv", "path\ttext\ntrain0.wav\tA\tB\n")),
        *("table.tsv:2: 3 columns, but the header has 2", "a tab or comma inside a transcript"),
    ),
    "table's transcripts": (
        *("LABELS", write("table.tsv", "path\ttext\ntrain0.wav\tA\n")),
        *("no transcript for 5 of 6 utterances, such as train1.wav", "add them"),
    ),
    "dictionary's lines": (
        *("TUNE", replace("corpus/dict.ltr.txt", "E 1", "E")),
        *("dict.ltr.txt:2: .* got 'E'", "expected 'symbol count'"),
    ),
    "dictionary's symbols": (
        *("TUNE", replace("corpus/dict.ltr.txt", "E 1", "T 1")),
        *("dict.ltr.txt: symbol 'T' .* twice", "remove one"),
    ),
    # --- an unknown key, or a value of another kind
    "override": (
        *("TUNE model.mask_prop=0.1", nothing),
        *("'model.mask_prop=0.1'", "did you mean model.mask_prob"),
    ),
    "override's group": ("TUNE +modle.mask_prob=1", nothing, "modle.mask_prob=1'", "mean model.mask_prob"),
    "override's value": (
        *("TUNE model.mask_prob=high", nothing),
        *("got 'high'", "model.mask_prob: expected float"),
    ),
    "flag": ("TUNE --mask-prop 0.1", nothing, "unknown flag --mask-prop", "did you mean --mask-prob"),
    "flag's value": ("TUNE --mask-prob", nothing, "--mask-prob needs a value", "--mask-prob VALUE"),
    "recipe's key": (
        *("MINE", write("my/mine.yaml", WITHOUT_MODEL + "model: {_name: wav2vec2, mask_prop: 0.1}")),
        *("recipe mine.yaml: unknown key model.mask_prop", "did you mean model.mask_prob"),
    ),
    "recipe's model": (
        *("MINE", write("my/mine.yaml", WITHOUT_MODEL)),
        *("which model", "add model._name=wav2vec2"),
    ),
    "recipe's group": (
        *("MINE", write("my/mine.yaml", WITHOUT_MODEL + "modle: {_name: wav2vec2}")),
        *("recipe mine.yaml: unknown group 'modle'", "did you mean model"),
    ),
    "recipe's form": (
        *("MINE", write("my/mine.yaml", "model: [\n")),
        *("my/mine.yaml is not valid YAML", "line 2, column 1"),
    ),
    "option": ("evaluate corpus --gen-subst valid", nothing, "--gen-subst", "did you mean --gen-subset"),
    "verb": ("transcrbe corpus", nothing, "'transcrbe'", "auricle --help"),
    # --- labels and dictionaries that do not go with the rest
    "fewer labels": (
        *("TUNE", replace("corpus/train.ltr", "^.*\n", "")),
        *("corpus/train.ltr has 5 labels but corpus/train.tsv has 6", "make both from the same list"),
    ),
    "more labels": (
        *("EVALUATE recogniser", replace("corpus/valid.ltr", "^", "A |\n")),
        *("corpus/valid.ltr has 7 labels but corpus/valid.tsv has 6", "make both from the same list"),
    ),
    "symbol of a label": (
        *("TUNE", replace("corpus/train.ltr", "^.", "Q")),
        *(r"train0.wav \(corpus/train.tsv:2\) holds 'Q'", "add it to the dictionary"),
    ),
    "case of the labels": (
        *("EVALUATE recogniser", lambda: Path("corpus/valid.ltr").write_text("a e |\n" * 6)),
        *("corpus/valid.ltr: the model's dictionary has none of these", "upper or lower case"),
    ),
    "dictionary of new labels": (
        *("LABELS --output-dir corpus", write_table("Q")),
        *("corpus/dict.ltr.txt lacks Q", "--new-dictionary"),
    ),
    "dictionary of another run": (
        *("TUNE GO_ON", copy("reversed.txt", "corpus/dict.ltr.txt")),
        *(r"dictionary of the labels is not .* \(symbol 5 is I there and E in the model\)", "another run"),
    ),
    "dictionary to start from": (
        *("TUNE --finetune-from-model recogniser", copy("reversed.txt", "corpus/dict.ltr.txt")),
        *("dictionary of the labels is not .*symbol 5 is I there", "make the labels with recogniser's"),
    ),
    "dictionary beside the labels": (
        *("EVALUATE recogniser", copy("smaller.txt", "corpus/dict.ltr.txt")),
        *("corpus/dict.ltr.txt is not the dictionary that the model was fine-tuned", "take this file away"),
    ),
    "dictionary to evaluate": (
        *("EVALUATE recogniser --dictionary reversed.txt", nothing),
        *("reversed.txt is not the dictionary", "evaluate another model"),
    ),
    "dictionary to transcribe": (
        *("TRANSCRIBE recogniser --dictionary reversed.txt", nothing),
        *("reversed.txt is not the dictionary", "leave --dictionary out"),
    ),
    "size of a dictionary": (
        *("TRANSCRIBE without_dictionary --dictionary smaller.txt", nothing),
        *("8 symbols.* 11", "the model was fine-tuned with"),
    ),
    "no dictionary": ("TRANSCRIBE without_dictionary", nothing, "holds no dictionary", "--dictionary"),
    # --- a checkpoint of another kind
    "normalize of w2v_path": (
        *("TUNE --w2v-path normalized", nothing),
        *("task.normalize=false .* does not go with normalized", "add task.normalize=true"),
    ),
    "normalize of a dry run": (
        *("TUNE --w2v-path normalized --dry-run", nothing),
        *("task.normalize=false .* does not go with normalized", "add task.normalize=true"),
    ),
    "normalize to start from": (
        *("TUNE --finetune-from-model normalized", nothing),
        *("task.normalize=false .* does not go with normalized", "add task.normalize=true"),
    ),
    "normalize of another run": (
        *("TUNE GO_ON task.normalize=true", nothing),
        *("runs/tuned/checkpoints/last was trained with task.normalize=false", "choose another run folder"),
    ),
    "layers of another run": (
        *("TUNE GO_ON model.w2v_args.model.encoder_layers=2", nothing),
        *("runs/tuned/checkpoints/last holds another model", "choose another run folder"),
    ),
    "encoder to start from": (
        *("TUNE --finetune-from-model encoder", nothing),
        *("finetune_from_model=encoder was pre-trained only", "model.w2v_path"),
    ),
    "encoder to evaluate": ("EVALUATE encoder", nothing, "pre-trained only", "fine-tune it first"),
    "text as a model": (
        *("TRANSCRIBE corpus/train.ltr", nothing),
        *("train.ltr is not a checkpoint", "choose another"),
    ),
    "audio as w2v_path": (
        *("TUNE --w2v-path corpus/train0.wav", nothing),
        *("corpus/train0.wav is not a checkpoint", "choose another"),
    ),
    "a folder without a model": (
        *("TRANSCRIBE corpus", nothing),
        *("corpus holds no checkpoint", "give a fairseq .pt"),
    ),
    "a foreign checkpoint": (
        *("TRANSCRIBE foreign.pt", nothing),
        *("foreign.pt is not a fairseq", "choose another"),
    ),
    "a truncated file": (
        *("TRANSCRIBE foreign.pt", cut("foreign.pt", 3000)),
        *("foreign.pt is damaged", "copy or down"),
    ),
    "truncated weights": (
        *("TRANSCRIBE recogniser", cut("recogniser/model.safetensors", 1000)),
        *("recogniser/model.safetensors is damaged or cut off", "use another checkpoint"),
    ),
    "a truncated configuration": (
        *("TRANSCRIBE recogniser", cut("recogniser/config.json", 100)),
        *("recogniser/config.json is damaged", "use another checkpoint"),
    ),
    "truncated state of a run": (
        *("TUNE GO_ON", cut("runs/tuned/checkpoints/last/training_state.safetensors", 1000)),
        *("state in runs/tuned/checkpoints/last is damaged", "another checkpoint, which you copy to .*/last"),
    ),
    # --- no audio, or none that can be used
    "no audio to list": ("manifest corpus", nothing, "no .flac file under corpus", "12 .wav.*see --ext"),
    "no audio to transcribe": (
        *("transcribe encoder --model recogniser", nothing),
        *("encoder: no audio found in this folder", ".flac .* .wav"),
    ),
    "only broken audio": (
        *("manifest sounds --ext wav", write("sounds/a.wav", "")),
        *("none of the 1 files under sounds can be used", "see above"),
    ),
    "names of the audio": (
        *("TUNE", replace("corpus/train.tsv", "wav\t", "flac\t")),
        *("no utterance of corpus/train.tsv .*flac: no such file; and 5 more", "mend the files"),
    ),
    "names of the audio to evaluate": (
        *("EVALUATE recogniser", replace("corpus/valid.tsv", "wav\t", "flac\t")),
        *("no utterance of corpus/valid.tsv .*flac: no such file; and 5 more", "mend the files"),
    ),
    "a batch smaller than every clip": (
        *("PRETRAIN dataset.max_tokens=500", nothing),
        *(r"train0.wav: too long: \d+ samples, max_tokens is 500; and 5 more", "change the limit"),
    ),
    "clips shorter than the limit": (
        *("PRETRAIN task.min_sample_size=90000", nothing),
        *(r"train0.wav: too short: \d+ samples, min_sample_size needs 90000; and 5", "change the limit"),
    ),
    "clips shorter than their labels": (
        *("TUNE", replace("corpus/train.tsv", r"\t\d+", r"\t40")),
        *("train0.wav: too short: 40 samples, a label of 5 symbols needs 260; and 5 more", "mend the files"),
    ),
    # --- nowhere to write (not even for root, below a file)
    "run folder": ("TUNE --save-dir file/run", nothing, "cannot write file/run/", "choose another folder"),
    "manifest's folder": (
        *("manifest corpus --ext wav --dest file/x", nothing),
        *("write file/x/", "choose another"),
    ),
    "labels' folder": (
        *("LABELS --output-dir file/x", write_table("A")),
        *("cannot write file/x/", "choose another folder"),
    ),
    "results' folder": (
        *("EVALUATE recogniser --results-path file/x", nothing),
        *("file/x: cannot be", "choose another"),
    ),
    "transcripts' folder": (
        *("TRANSCRIBE recogniser -o file/x", nothing),
        *("file: cannot be made", "choose another"),
    ),
    "page's folder": (
        *("report runs/tuned -o file/x.html", nothing),
        *("cannot write file/x.html", "choose another"),
    ),
    # --- others
    "two data folders": ("TUNE data", nothing, "not corpus and data", "write options as key=value"),
    "device": ("TRANSCRIBE recogniser --device abacus", nothing, "--device abacus", "try --device cpu"),
    "decoder": ("EVALUATE recogniser --w2l-decoder kenlmm", nothing, "'kenlmm'", "viterbi, kenlm"),
    "metric": (
        *("TUNE checkpoint.best_checkpoint_metric=werr", nothing),
        *("best_checkpoint_metric=werr is not among", "cer, loss, uer, wer"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_the_culprit_and_the_fix(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, spoil, culprit, fix = MISTAKES[name]
    spoil()
    line = complaint(words, capsys)
    assert re.search(culprit, line) and re.search(fix, line), line


def test_the_installed_command_answers_alike(capsys: pytest.CaptureFixture[str]) -> None:
    words = [sys.executable, "-W", "error", "-m", "auricle.cli.main", *typed("TRANSCRIBE recognizer")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"auricle: {complaint('TRANSCRIBE recognizer', capsys)}\n"


@pytest.mark.parametrize(
    "words", ["TUNE", "manifest corpus --ext wav --dest new", "TRANSCRIBE recogniser -o new/x"]
)
def test_a_folder_that_may_not_be_written(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root may write everywhere: the refusal is made up."""

    def refuse(path: Path, *args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert re.search(r"(runs|new).*Permission denied.*choose another folder", complaint(words, capsys))


# --- what was done is kept


def test_updates_are_kept_when_validation_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    replace("corpus/valid.tsv", "wav\t", "flac\t")()
    assert "no utterance of corpus/valid.tsv" in complaint("TUNE --save-dir runs/new", capsys)
    assert auricle.load("runs/new/checkpoints/last").num_updates == 2
    assert auricle.load("runs/tuned").num_updates == 2


def test_a_disk_that_fills_up_during_a_save_keeps_the_checkpoint_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "TUNE --save-dir runs/full checkpoint.save_interval_updates=1"
    last, flush = Path("runs/full/checkpoints/last"), os.fsync

    def full(descriptor: int) -> None:
        if last.exists() and last.with_name("last.partial").exists():  # the second save
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        line = complaint(words, capsys)
    assert re.search(r"cannot save .*last: No space left on device; .*kept in .*last; free some space", line)
    assert auricle.load(last).num_updates == 1
    assert main(typed(words)) == 0
    assert "going on from update 1" in capsys.readouterr().err
    assert auricle.load(last).num_updates == 2


@pytest.mark.parametrize("words", ["TRANSCRIBE recogniser -o old/x", "report runs/tuned -o old/x"])
def test_a_disk_that_fills_up_keeps_the_file_before(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write("old/x", "as it was")()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "cannot write old/x: No space left on device; free some space" in complaint(words, capsys)
    assert [path.read_text() for path in Path("old").iterdir()] == ["as it was"]


def test_ctrl_c_saves_the_updates_that_were_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    update = Step.update

    def interrupted(*args: object, **options: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return update(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Step, "update", interrupted)
        assert main(typed("TUNE --save-dir runs/new")) == 130
    said = capsys.readouterr().err.splitlines()
    assert "stopped by SIGINT: saved; the same command goes on from here" in said
    assert auricle.load("runs/new/checkpoints/last").num_updates == 1
    assert main(typed("TUNE --save-dir runs/new")) == 0
    assert auricle.load("runs/new/checkpoints/last").num_updates == 2


def test_ctrl_c_elsewhere_leaves_without_a_word() -> None:
    words = [sys.executable, "-m", "auricle.cli.main", *typed("transcribe - --model recogniser")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as process:  # type: ignore[call-overload]
        process.stdin.write(bytes(2**20))  # more than a pipe holds: it is being read once this is written
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


# --- recordings


def of_nothing(path: Path) -> None:
    path.write_bytes(b"")


def without_samples(path: Path) -> None:
    soundfile.write(path, noise(0), 16000)


def truncated(path: Path) -> None:
    soundfile.write("whole.flac", noise(16000), 16000)
    path.write_bytes(Path("whole.flac").read_bytes()[:9000])


def not_a_number(path: Path) -> None:
    soundfile.write(path, np.where(np.arange(8000) == 100, np.nan, noise(8000)), 16000, subtype="FLOAT")


def text(path: Path) -> None:
    path.write_text("hello\n")


def of_50_samples(path: Path) -> None:
    soundfile.write(path, noise(50), 16000)


def stereo_at_44_khz(path: Path) -> None:
    soundfile.write(path, noise(2 * 44100).reshape(-1, 2), 44100)


def of_8_channels(path: Path) -> None:
    soundfile.write(path, noise(8 * 16000).reshape(-1, 8), 16000)


BROKEN: dict[Callable[[Path], None], str] = {
    of_nothing: "empty file",
    without_samples: "holds no samples",
    truncated: r"corrupt|truncated",
    not_a_number: "not finite",
    text: "not audio",
}
USABLE: dict[Callable[[Path], None], str] = {
    of_50_samples: "50 samples are too short for a single frame: the transcript is empty",
    stereo_at_44_khz: "",  # noticed once a process, which another test may have had
    of_8_channels: "",
}


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
def test_a_broken_recording_is_named_with_the_reason(
    make: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    make(Path("it.wav"))
    line = complaint("transcribe it.wav --model recogniser", capsys)
    assert re.match(rf"it\.wav: .*({BROKEN[make]})", line)


@pytest.mark.parametrize("make", USABLE, ids=lambda make: make.__name__)
def test_an_unusual_recording_is_transcribed(
    make: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    make(Path("it.wav"))
    assert main(typed("transcribe it.wav --model recogniser")) == 0
    out, err = capsys.readouterr()
    assert USABLE[make] in err and bool(out.strip()) == (make is not of_50_samples)


def test_broken_recordings_among_others_are_counted_and_the_others_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Listed by somebody who did not look, with labels: to train on, and to evaluate on."""
    makers = [*BROKEN, *USABLE]
    for subset in ("train", "valid"):
        with open(f"corpus/{subset}.tsv", "a") as manifest, open(f"corpus/{subset}.ltr", "a") as labels:
            for make in makers:
                make(Path("corpus", f"{make.__name__}.wav"))
                manifest.write(f"{make.__name__}.wav\t16000\n")
                labels.write("A E |\n")
    assert main(typed("TUNE --save-dir runs/new --max-update 4")) == 0
    said = capsys.readouterr().err
    assert all(re.search(rf"set aside {make.__name__}\.wav: .*({why})", said) for make, why in BROKEN.items())
    assert "set aside of_50_samples.wav: too short: 50 samples" in said
    state = auricle.load("runs/new/checkpoints/last").model.state_dict()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())
    assert main(typed("EVALUATE recogniser")) == 0
    out, err = capsys.readouterr()
    assert all(re.search(rf"set aside {make.__name__}\.wav: .*({why})", err) for make, why in BROKEN.items())
    assert "(9 utterances, " in out and "5 clips could not be used and count nowhere" in out
