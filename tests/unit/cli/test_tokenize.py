import re
from pathlib import Path

import pytest

from auricle.cli.main import main
from auricle.convert.loaded import Loaded
from auricle.dictionary import Dictionary
from recognisers import tiny_recogniser
from sounds import corpus
from wav2vec_models import LAYOUTS, model_of

VQ = Loaded(model_of(LAYOUTS["gumbel"]), None, LAYOUTS["gumbel"], 0, Path("vq.pt"))
SIZES = {"train": [1500, 2600, 40, 3000], "valid": [2000, 1200], "test": [1300]}


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recogniser = tiny_recogniser()
    monkeypatch.setattr(
        "auricle.convert.load.load", lambda path, **options: recogniser if "ctc" in str(path) else VQ
    )
    monkeypatch.chdir(tmp_path)
    for split, sizes in SIZES.items():
        corpus(Path("audio") / split, sizes)
        lines = [f"{split}/{number}.wav\t{size}\n" for number, size in enumerate(sizes)]
        Path("D").mkdir(exist_ok=True)
        Path(f"D/{split}.tsv").write_text("audio\n" + "".join(lines))
        Path(f"D/{split}.ltr").write_text("".join(f"{split} {number} |\n" for number in range(len(sizes))))


def run(words: str) -> int:
    return main(["tokenize", *words.split(), "--device", "cpu"])


FAIRSEQ = "--data-dir D --output-dir O --checkpoint M --split train valid test --extension tsv"


def test_the_command_line_of_fairseq(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FAIRSEQ) == 0
    for split, sizes in SIZES.items():
        lines = Path(f"O/{split}.src").read_text().splitlines()
        assert [len(line.split()) for line in lines] == [VQ.model.num_frames(size) for size in sizes]  # type: ignore[operator]
        assert all(re.fullmatch(r"\d-\d", token) for line in lines for token in line.split())
    dictionary = Dictionary.load("O/dict.txt")
    text = Path("O/train.src").read_text()
    assert len(dictionary) % 8 == 0 and not dictionary.unknown_symbols(text)
    assert dictionary.counts[4] == max(map(text.split().count, dictionary.symbols))
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "O/train.src: 4 recordings, 1 of them empty"
    assert "2.wav: too short: 40 samples" in err


def test_the_other_words_of_fairseq() -> None:
    words = "--data-dir audio --output-dir O --checkpoint M --splits train --extension wav --max-size 1300000"
    assert run(f"{words} --log-format tqdm --data-parallel") == 0
    assert run(FAIRSEQ.replace("O", "P")) == 0
    assert Path("O/train.src").read_text() == Path("P/train.src").read_text()


def test_shards_are_those_of_fairseq() -> None:
    assert run(FAIRSEQ) == 0
    whole = Path("O/train.src").read_text().splitlines()
    Path("D/train.tsv").rename("D/t.tsv")
    Path("D/train.ltr").rename("D/t.ltr")
    for shard in (1, 0):
        assert not Path("S/dict.txt").exists()
        words = f"--data-dir D --output-dir S --model M --split t --labels ltr --shard {shard} --num-shards 2"
        assert run(words) == 0
        assert Path(f"S/t.src.{shard}").read_text().splitlines() == whole[shard::2]
        assert (
            Path(f"S/t.lbl.{shard}").read_text().splitlines()
            == [f"train {number} |" for number in range(4)][shard::2]
        )
    assert Path("S/dict.txt").read_text() == Path("O/dict.txt").read_text()


def test_manifests_by_themselves() -> None:
    assert run("D/train.tsv D/valid.tsv -o O --model M") == 0
    assert {path.name for path in Path("O").iterdir()} == {
        *("train.src", "train.src.json", "valid.src", "valid.src.json", "dict.txt")
    }
    assert run("audio/test -o O --model M") == 0
    assert Path("O/test.src").exists()


@pytest.mark.parametrize("labels", ["ltr", "D/valid.ltr"])
def test_labels_are_copied(labels: str) -> None:
    assert run(f"--data-dir D --output-dir O --model M --split valid --labels {labels}") == 0
    assert Path("O/valid.lbl").read_text() == "valid 0 |\nvalid 1 |\n"


def test_labels_may_stand_beside_the_audio() -> None:
    for number in range(2):
        Path(f"audio/valid/{number}.txt").write_text(f"HELLO {number}\nmore\n")
    assert run("--data-dir D --output-dir O --model M --split valid --labels txt") == 0
    assert Path("O/valid.lbl").read_text() == "HELLO 0\nHELLO 1\n"


def test_the_dictionary_is_that_of_the_training_split(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("D/valid.tsv D/train.tsv -o O --model M") == 0
    train = Dictionary.load("O/dict.txt")
    assert train == Dictionary.from_labels([Path("O/train.src").read_text()]).padded()
    assert run("D/test.tsv -o O --model M") == 0
    assert Dictionary.load("O/dict.txt") == train
    Dictionary(["1-1"]).save("O/dict.txt")
    capsys.readouterr()
    assert run("D/train.tsv -o O --model M") == 0
    assert "O/dict.txt is kept, though train.src has other tokens" in capsys.readouterr().err
    assert len(Dictionary.load("O/dict.txt")) == 5


MISTAKES = {
    "nothing to read": ("-o O --model M", "give manifests, or --data-dir and --split"),
    "split without a folder": ("--split train -o O --model M", "--split needs --data-dir"),
    "folder without a split": ("--data-dir D -o O --model M", "which splits of D"),
    "no such manifest": ("--data-dir D --split dev -o O --model M", r"D/dev\.tsv: cannot be read"),
    "no such folder": ("--data-dir D --split dev --extension wav -o O --model M", "D/dev: no such file"),
    "twice": ("--data-dir D --split train train -o O --model M", "two splits are called train"),
    "labels": ("D/valid.tsv -o O --model M --labels phn", r"0\.phn: cannot be read"),
    "labels of another split": ("D/valid.tsv -o O --model M --labels D/test.ltr", "1 labels for the 2 recor"),
    "a recogniser": ("D/valid.tsv -o O --model ctc", "has no quantizer"),
    "output": ("D/valid.tsv -o D/train.tsv --model M", r"D/train\.tsv: cannot be made"),
    "shard": ("D/valid.tsv -o O --model M --num-shards 2", "--shard and --num-shards go together"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, message = MISTAKES[name]
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.search(message, err.splitlines()[-1]), err
