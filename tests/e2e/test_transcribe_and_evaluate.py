"""The installed command on real speech, with checkpoints as they lie on a disk: ours and fairseq's."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import auricle
from auricle.cli.main import main
from auricle.convert.own import write_model
from auricle.dictionary import words_to_letters
from auricle.manifest import Entry, write_manifest
from golden import golden_cases
from recognisers import tiny_recogniser

AUDIO = Path(auricle.__file__).parent / "demo" / "audio" / "en"
CLIPS = sorted(AUDIO.glob("*.opus"))[:4]
FAIRSEQ = [
    file
    for case in golden_cases(where=lambda meta: "nopad.viterbi_tokens" in meta["scalars"])
    for file in sorted(case.glob("checkpoint*.pt"))
]
if not CLIPS:
    pytest.skip(f"no speech in {AUDIO}", allow_module_level=True)


def run(*words: object, code: int = 0, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-W", "error", "-m", "auricle.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False, **options)
    assert done.returncode == code, done.stderr.decode()
    return done


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    loaded = tiny_recogniser(normalize=True)
    write_model(folder, loaded.model, loaded.config, loaded.dictionary, {})
    return folder


@pytest.fixture
def data(checkpoint: Path, tmp_path: Path) -> Path:
    """A subset labelled with what the model itself says: the error rates have to be 0."""
    entries = [Entry(clip.name, soundfile.info(clip).frames, 0) for clip in CLIPS]
    write_manifest(tmp_path / "valid.tsv", AUDIO, entries)
    labels = [words_to_letters(transcript.text) for transcript in auricle.transcribe(CLIPS, checkpoint)]
    (tmp_path / "valid.ltr").write_text("".join(f"{label}\n" for label in labels))
    return tmp_path


def test_files_and_a_folder(checkpoint: Path) -> None:
    wanted = auricle.transcribe(CLIPS, checkpoint)
    lines = run("transcribe", *CLIPS, "--model", checkpoint).stdout.decode().splitlines()
    assert lines == [f"{clip}\t{one.text}" for clip, one in zip(CLIPS, wanted, strict=True)]
    assert all(one.text for one in wanted)


def test_standard_input_as_json(checkpoint: Path) -> None:
    (wanted,) = auricle.transcribe([CLIPS[0]], checkpoint)
    with open(CLIPS[0], "rb") as audio:
        done = run("transcribe", "-", "--model", checkpoint, "--format", "json", stdin=audio)
    answer = json.loads(done.stdout)
    assert answer["text"] == wanted.text
    assert [word["end_seconds"] for word in answer["words"]] == [word.end_seconds for word in wanted.words]


def test_evaluate_agrees_with_transcribe(checkpoint: Path, data: Path) -> None:
    options = ("--model", checkpoint, "--gen-subset", "valid", "--results-path", data / "results")
    run("evaluate", data, *options, "--max-tokens", 100_000)
    summary = json.loads((data / "results" / "summary.json").read_text())
    assert (summary["wer"], summary["cer"], summary["num_utterances"]) == (0, 0, len(CLIPS))
    seconds = sum(soundfile.info(clip).duration for clip in CLIPS)
    assert summary["audio_seconds"] == pytest.approx(seconds, abs=0.01)
    words = (data / "results" / f"hypo.word-{checkpoint.name}-valid.txt").read_text()
    assert re.fullmatch(r"(.+ \(None-\d\)\n){4}", words)


@pytest.mark.parametrize("model", FAIRSEQ, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_fairseqs_checkpoints_transcribe(model: Path) -> None:
    dictionary = model.parent / "dict.ltr.txt"
    loaded = auricle.load(model, dictionary=dictionary)
    together = auricle.transcribe(CLIPS[:2], loaded, batch_seconds=60)
    alone = [auricle.transcribe([clip], loaded)[0] for clip in CLIPS[:2]]
    assert [one.text for one in together] == [one.text for one in alone]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("transcribe missing.flac --model MODEL", "missing.flac"),
        ("transcribe . --model MODEL", "no audio found"),
        ("transcribe CLIP --model missing", "missing does not exist"),
        ("transcribe CLIP --model CLIP", "is not a checkpoint"),
        ("transcribe CLIP", "--model"),
        ("evaluate . --model MODEL", "test.tsv"),
    ],
)
def test_a_users_mistake_takes_one_line(
    words: str,
    said: str,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"MODEL": str(checkpoint), "CLIP": str(CLIPS[0])}
    assert main([names.get(word, word) for word in words.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("auricle: ") and error.count("\n") == 1 and said in error


@pytest.mark.parametrize("verb", ["evaluate", "infer", "transcribe"])
def test_help_is_complete_without_torch(verb: str) -> None:
    code = (
        "import sys; from auricle.cli.main import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    )
    words = [sys.executable, "-c", code, verb, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "--model" in done.stdout
