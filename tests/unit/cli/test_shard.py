"""``auricle shard`` from the command line: a corpus that is trained on as the one it was made of."""

import json
from pathlib import Path

import pytest

import sounds
from auricle.cli.main import main
from auricle.manifest import read_manifest
from corpora import TINY_CTC, write_corpus


@pytest.fixture(autouse=True)
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_corpus(Path("corpus"))


def losses(data: str, run: str) -> list[tuple[float, float]]:
    line = ["train", data, "--config-name", "small_ctc", "task.normalize=false", *TINY_CTC, "--save-dir", run]
    assert main(line) == 0
    records = map(json.loads, Path(run, "log.jsonl").read_text().splitlines())
    return [(record["loss"], record.get("wer", 0.0)) for record in records]


def test_a_packed_corpus_trains_as_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shard", "corpus", "--dest", "packed", "--num-shards", "2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(" utterances")[0] for line in said] == [
        "packed/train.tsv: 6",
        "packed/valid.tsv: 6",
    ]
    assert said[0].endswith("copied along: train.ltr, dict.ltr.txt")
    manifest = read_manifest("packed/train.tsv")
    assert manifest.root == Path("packed").resolve()
    assert [entry.num_samples for entry in manifest.entries] == [
        entry.num_samples for entry in read_manifest("corpus/train.tsv").entries
    ]
    assert losses("packed", "a") == losses("corpus", "b")


def test_again_keeps_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["shard", "corpus/train.tsv", "--dest", "packed", "--shard-size", "60k"]
    assert main(line) == 0
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path("packed").glob("*.zip")}
    assert len(before) > 2 and not Path("packed/valid.tsv").exists()
    capsys.readouterr()
    assert main(line) == 0
    assert f"{len(before)} of them there already" in capsys.readouterr().out
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path("packed").glob("*.zip")
    }


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("corpse --dest packed", "corpse: no such folder or manifest"),
        ("corpus --subset dev --dest packed", "corpus/dev.tsv"),
        ("corpus --dest corpus", "corpus/train.tsv is a manifest of other files, which would be lost"),
        ("corpus --dest corpus/train0.wav", "corpus/train0.wav: cannot be made"),
        ("corpus --dest packed --num-shards 2 --shard-size 1G", "exclude each other"),
        ("corpus --dest packed --shard-size big", "--shard-size big: give a number of bytes"),
        ("corpus --dest packed --shard-size 0", "--shard-size 0: give a number of bytes"),
        ("gone.tsv --dest packed", "corpus/gone.wav: no such file, or nothing in it, but gone.tsv lists it"),
        ("empty.tsv --dest packed", "empty.tsv: no utterances"),
        ("labels.tsv --dest packed", "labels.ltr has 2 labels but labels.tsv has 1 utterances"),
    ],
)
def test_mistakes(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("gone.tsv").write_text("corpus\ngone.wav\t5\n")
    Path("empty.tsv").write_text("corpus\n")
    Path("labels.tsv").write_text("corpus\ntrain0.wav\t5\n")
    Path("labels.ltr").write_text("A |\nB |\n")
    assert main(["shard", *words.split()]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert complaint in said
    assert not list(Path("packed").glob("*.tsv"))


def test_another_dictionary_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("packed").mkdir()
    Path("packed/dict.ltr.txt").write_text("| 5\n")
    assert main(["shard", "corpus", "--dest", "packed"]) == 2
    assert "packed/dict.ltr.txt differs from corpus/dict.ltr.txt" in capsys.readouterr().err
    assert [path.name for path in Path("packed").iterdir()] == ["dict.ltr.txt"]


def test_other_audio_of_that_name_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shard", "corpus", "--dest", "packed", "--num-shards", "1"]) == 0
    sounds.corpus(Path("others"), [500, 600])
    Path("train.tsv").write_text("others\n0.wav\t500\n1.wav\t600\n")
    before = Path("packed/train.tsv").read_bytes()
    assert main(["shard", "train.tsv", "--dest", "packed", "--num-shards", "1"]) == 2
    assert "holds other or older audio" in capsys.readouterr().err
    assert Path("packed/train.tsv").read_bytes() == before
