"""Outputs of which only the end of the work told that they cannot be, and options without sense."""

import io
import os
from pathlib import Path

import pytest
import torch

from auricle import pipe
from auricle.cli.align import read_items
from auricle.cli.language_models import Request, make
from auricle.cli.main import main
from auricle.cli.output import check_writable_file
from auricle.cli.transcripts import Sink, format_options
from auricle.decode.cut import CutOptions
from auricle.decode.pipeline import HearOptions
from auricle.decode.transcript import Transcript
from auricle.errors import UserError

FORMAT = format_options(letters=False, alone=True, max_chars=42, max_lines=2, max_cue_seconds=7.0)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="out: is a folder: give the name of a file"):
        Sink(["a.wav"], "txt", tmp_path / "out")
    (tmp_path / "text").write_text("a b\n")
    with pytest.raises(UserError, match="out: is a folder"):
        list(make(Request(texts=(tmp_path / "text",), output=tmp_path / "lm", lexicon=tmp_path / "out")))
    assert not (tmp_path / "lm").exists()
    check_writable_file(tmp_path / "new" / "lm")


def test_devices_are_not_replaced_by_files() -> None:
    with pytest.raises(UserError, match=f"{os.devnull}: is no regular file"):
        check_writable_file(Path(os.devnull))


def test_what_was_written_before_is_not_emptied_by_a_recording_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("of yesterday\n")
    sink = Sink(["a.wav"], "txt", tmp_path / "out.txt")
    sink.skip()
    sink.close()
    assert (tmp_path / "out.txt").read_text() == "of yesterday\n"
    sink.write("a.wav", Transcript("", []), FORMAT)
    sink.close()
    assert (tmp_path / "out.txt").read_text() == "\n"


def test_two_recordings_of_one_name_are_not_mixed_in_a_ctm(tmp_path: Path) -> None:
    names = ["one/x.wav", "two/x.flac", "two/y.wav"]
    with pytest.raises(UserError, match="x is the name of more than one of the recordings in a ctm"):
        Sink(names, "ctm")
    Sink(names[1:], "ctm")
    Sink(names, "ctm", output_dir=tmp_path)
    Sink(names, "tsv")


def test_standard_input_may_be_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    for words in (["-"], ["-", "--live"]):
        assert main(["transcribe", *words, "--model", str(tmp_path)]) == 2
        assert "standard input is closed" in one_line(capsys)


@pytest.mark.parametrize(
    "head", [b"fLaC", b"OggS", b"ID3\x04", b"FORM", b"\x1aE\xdf\xa3", b"\0\0\0\x1cftypisom"]
)
def test_packed_sound_in_a_pipe_is_not_taken_for_noise(head: bytes) -> None:
    with pytest.raises(UserError, match=r"standard input: is .*: send WAV or raw"):
        list(pipe.blocks(io.BytesIO(head + bytes(1000)), 16000, 0.5))
    assert sum(map(len, pipe.blocks(io.BytesIO(b"\x01\x00" * 500), 16000, 0.5))) == 500


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 0.0])
def test_times_without_an_end_are_a_mistake(seconds: float) -> None:
    with pytest.raises(UserError, match="batches of"):
        HearOptions(batch_seconds=seconds)
    with pytest.raises(UserError, match="pieces of"):
        CutOptions(chunk_seconds=seconds, overlap_seconds=0.0)


def test_options_for_text_do_nothing_to_a_model(tmp_path: Path) -> None:
    request = Request(model=tmp_path / "a.arpa", output=tmp_path / "b.arpa", order=2, prune="0 1")
    with pytest.raises(UserError, match="--order, --prune: for models estimated from text"):
        list(make(request))


def test_a_vocabulary_of_nothing_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a b\n")
    (tmp_path / "words").write_text("\n")
    request = Request(texts=(tmp_path / "text",), output=tmp_path / "lm", vocabulary=tmp_path / "words")
    with pytest.raises(UserError, match="words: no words: a vocabulary has one a line"):
        list(make(request))
    assert not (tmp_path / "lm").exists()


def test_pronunciations_of_no_word_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a b\n")
    (tmp_path / "sounds").write_text("c K\n")
    files = {"lexicon": tmp_path / "lexicon", "pronunciations": tmp_path / "sounds"}
    with pytest.raises(UserError, match=r"can be written with .*sounds"):
        list(make(Request(texts=(tmp_path / "text",), **files)))


def test_a_manifest_of_nothing_cannot_be_aligned(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(f"{tmp_path}\n")
    (tmp_path / "a.ltr").write_text("")
    with pytest.raises(UserError, match=r"a\.tsv lists no utterance"):
        read_items(str(tmp_path / "a.tsv"), tmp_path / "a.ltr")


def test_nothing_said_is_nothing_to_tune_on(tmp_path: Path) -> None:
    from auricle.cli.evaluation import Options
    from auricle.cli.tuning import hear
    from auricle.decode.saved import Clip, SavedEmissions, save_emissions
    from auricle.dictionary import Dictionary

    (tmp_path / "valid.tsv").write_text(f"{tmp_path}\na.wav\t400\n")
    (tmp_path / "valid.ltr").write_text("\n")
    kept = ("m", "valid", Dictionary(["|", "A"]), (Clip(0, "a.wav", 1.0),), (torch.zeros(1, 6),))
    save_emissions(tmp_path / "kept", SavedEmissions(*kept))
    with pytest.raises(UserError, match="nothing is said in it"):
        hear(Options(tmp_path, subset="valid", emissions=tmp_path / "kept"))
