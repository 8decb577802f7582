"""`auricle convert` as it is typed."""

from pathlib import Path

import pytest

import forged
from auricle.cli.main import main
from auricle.convert.load import load
from auricle.dictionary import Dictionary


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return forged.save(forged.ctc_checkpoint(), tmp_path / "source.pt")


def without_dictionary(path: Path) -> Path:
    content = forged.ctc_checkpoint()
    content["task_state"] = {}
    return forged.save(content, path)


def test_all_the_way_round(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [(source, "own", "auricle"), ("own", "hf", "huggingface"), ("hf", "back.pt", "fairseq")]
    for start, end, to in steps:
        assert main(["convert", str(tmp_path / start), str(tmp_path / end), "--to", to]) == 0
        out, err = capsys.readouterr()
        assert out == f"{tmp_path / end}: largest difference on a test signal 0\n"
        assert ("blank_weight" in err) == (to == "huggingface")
    assert load(tmp_path / "back.pt").config == load(source).config


def test_a_dictionary_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, words = without_dictionary(tmp_path / "x.pt"), tmp_path / "dict.ltr.txt"
    Dictionary(forged.SYMBOLS).save(words)
    for to in ("fairseq", "huggingface", "auricle"):
        for given in (["--dictionary", str(words)], []):
            target = tmp_path / f"{to}{len(given)}"
            assert main(["convert", str(source), str(target), "--to", to, *given]) == 0
            told = "no dictionary" in capsys.readouterr().err
            assert told == (not given and to != "auricle")
            assert load(target).dictionary == (Dictionary(forged.SYMBOLS) if given else None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.pt", "x", "--to", "auricle"], "does not exist"),
        (["source.pt", "source.pt", "--to", "fairseq", "--force"], "is, or holds, what is converted"),
        (["source.pt", "x", "--to", "keras"], "keras"),
        (["source.pt", "x"], "--to"),
        (
            ["source.pt", "x", "--to", "auricle", "--dictionary", "short.txt"],
            "the dictionary given has 5 symbols",
        ),
    ],
)
def test_mistakes(
    source: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Dictionary(["a"]).save(tmp_path / "short.txt")
    assert main(["convert", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["short.txt", "source.pt"]


def test_force(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["convert", str(source), str(tmp_path / "x"), "--to", "huggingface"]
    assert main(arguments) == 0 and main(arguments) == 2
    assert "replace it with --force" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0


def test_neither_fairseq_nor_transformers_is_imported(source: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from auricle.cli.main import main;"
        "code = main(['convert', sys.argv[1], sys.argv[2], '--to', 'huggingface'])"
        " or main(['convert', sys.argv[2], sys.argv[3], '--to', 'fairseq']);"
        "assert not {'fairseq', 'transformers', 'omegaconf'} & sys.modules.keys(); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, source, tmp_path / "x", tmp_path / "x.pt"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
