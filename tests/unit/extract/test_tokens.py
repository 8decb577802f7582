import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from auricle.convert.loaded import Loaded
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.extract import tokens
from auricle.extract.clips import Clip, clips_in
from auricle.extract.stream import Extracted, extract
from auricle.extract.tokens import Written, dictionary_of, line_of, write_tokens
from sounds import corpus
from wav2vec_models import LAYOUTS, model_of


def vq(name: str = "gumbel", seed: int = 3) -> Loaded:
    model = model_of(LAYOUTS[name], seed)
    return Loaded(model, None, model.config, 0, Path("vq.pt"))


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    corpus(tmp_path / "in", [1800, 4000, 50, 1200, 3000])
    return clips_in(str(tmp_path / "in"), ["wav"])


def test_a_token_is_the_codes_of_a_frame() -> None:
    assert line_of(np.array([[12, 305], [7, 7]])) == "12-305 7-7"
    assert line_of(np.array([[3], [1]])) == "3 1"
    assert line_of(np.zeros((0, 2), np.int64)) == ""


def test_lines_are_in_order_and_empty_where_nothing_can_be_heard(
    clips: list[Clip], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target, steps = tmp_path / "out" / "train.src", []
    with caplog.at_level(logging.WARNING):
        written = write_tokens(target, clips, vq(), max_tokens=6000, on_progress=steps.append)
    assert written == Written(5, 1) and sum(steps) == 5
    assert "2.wav: too short: 50 samples" in caplog.text and "its line is empty" in caplog.text
    lines = target.read_text().split("\n")
    frames = [len(line.split()) for line in lines]
    assert frames == [*(vq().model.num_frames(size) for size in (1800, 4000, 50, 1200, 3000)), 0]  # type: ignore[operator]
    for clip, line in zip(clips, lines, strict=False):
        if not line:
            continue
        write_tokens(tmp_path / "alone" / clip.key, [clip], vq(), max_tokens=1)
        assert (tmp_path / "alone" / clip.key).read_text() == f"{line}\n"


@pytest.mark.parametrize("rubbish", ["", "1-2 3", "1-2 3-4\n" * 4 + "5"])
def test_an_interrupted_file_is_gone_on_with(
    rubbish: str, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, whole = tmp_path / "train.src", tmp_path / "whole"
    write_tokens(whole, clips, vq(), max_tokens=6000)

    def interrupted(given: list[Clip], *args: object, **options: object) -> Iterator[Extracted]:
        for number, result in enumerate(extract(given, *args, **options)):  # type: ignore[arg-type]
            if number == 3:
                raise KeyboardInterrupt
            yield result

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tokens, "extract", interrupted)
        write_tokens(target, clips, vq(), max_tokens=6000)
    assert not target.exists()
    partial = tmp_path / "train.src.partial"
    assert partial.read_text() == "".join(whole.read_text().splitlines(keepends=True)[:3])
    if rubbish.count("\n") == 0:
        with open(partial, "a") as stream:
            stream.write(rubbish)
    steps: list[int] = []
    write_tokens(target, clips, vq(), max_tokens=6000, on_progress=steps.append)
    assert steps == [3, 1, 1] and target.read_text() == whole.read_text() and not partial.exists()


def test_half_a_file_of_another_model_is_begun_anew(clips: list[Clip], tmp_path: Path) -> None:
    target, other = tmp_path / "train.src", vq(seed=4)
    write_tokens(target, clips, vq(), max_tokens=6000)
    target.rename(tmp_path / "train.src.partial")
    write_tokens(target, clips, other, max_tokens=6000)
    write_tokens(tmp_path / "expected", clips, other, max_tokens=6000)
    assert target.read_text() == (tmp_path / "expected").read_text()


def test_a_whole_file_is_kept_and_one_made_otherwise_is_refused(clips: list[Clip], tmp_path: Path) -> None:
    target = tmp_path / "train.src"
    write_tokens(target, clips, vq(), max_tokens=6000)
    before = target.stat().st_mtime_ns
    assert write_tokens(target, clips, vq(), max_tokens=100) == Written(5, 1)
    assert target.stat().st_mtime_ns == before
    for given, model, size, reason in [
        (clips, vq(seed=4), None, "weights was"),
        (clips[1:], vq(), None, "recordings was"),
        (clips, vq(), 2000, "max_size was None, now 2000"),
    ]:
        with pytest.raises(UserError, match=rf"train\.src is there, made otherwise \({reason}"):
            write_tokens(target, given, model, max_tokens=100, max_size=size)
    tokens.record_of(target).unlink()
    with pytest.raises(UserError, match="nothing says what it was made with"):
        write_tokens(target, clips, vq(), max_tokens=100)


def test_the_record_says_what_the_file_is_made_with(clips: list[Clip], tmp_path: Path) -> None:
    write_tokens(tmp_path / "train.src", clips, vq(), max_tokens=100, max_size=2000)
    record = json.loads((tmp_path / "train.src.json").read_text())
    assert record["model"] == "vq.pt" and record["max_size"] == 2000 and record["format_version"] == 1


def test_the_dictionary_is_that_of_fairseq_s_preprocessing(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1-1 2-2 2-2\n\n")
    second.write_text("0-9 1-1 2-2\n")
    dictionary = dictionary_of([first, second])
    assert len(dictionary) == 8 and dictionary.symbols[4:] == ["2-2", "1-1", "0-9", "madeupword0000"]
    dictionary.save(tmp_path / "dict.txt")
    assert (tmp_path / "dict.txt").read_text() == "2-2 3\n1-1 2\n0-9 1\nmadeupword0000 0\n"
    assert Dictionary.load(tmp_path / "dict.txt") == dictionary


def test_nothing_but_empty_lines_is_a_mistake(clips: list[Clip], tmp_path: Path) -> None:
    target = tmp_path / "train.src"
    with pytest.raises(UserError, match=r"none of the 1 recordings of .*train\.src can be used"):
        write_tokens(target, clips[2:3], vq(), max_tokens=6000)
    assert not target.exists() and (tmp_path / "train.src.partial").read_bytes() == b""
