import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.convert.loaded import Loaded
from auricle.errors import UserError
from auricle.extract import embeddings
from auricle.extract.clips import Clip, clips_in
from auricle.extract.embeddings import Counts, EmbeddingWriter
from auricle.extract.models import Choice
from auricle.extract.record import fingerprint
from auricle.extract.store import FORMATS, FormatName
from auricle.extract.stream import Extracted, extract
from recognisers import tiny_recogniser
from sounds import corpus

MODEL = tiny_recogniser()


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    corpus(tmp_path / "in", [900, 1500, 50, 1200])
    (tmp_path / "in" / "junk.wav").write_text("junk")
    return clips_in(str(tmp_path / "in"), ["wav"])


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("name", FORMATS)
def test_what_cannot_be_used_is_left_out_and_named(
    name: FormatName, clips: list[Clip], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[int] = []
    writer = EmbeddingWriter(MODEL, Choice(), name)
    with caplog.at_level(logging.WARNING):
        counts = writer.write(tmp_path / "out", clips, max_tokens=2000, on_progress=steps.append)
    assert counts == Counts(written=3, set_aside=2) and sum(steps) == 5
    assert "set aside" in caplog.text and "2.wav: too short: 50 samples, one frame needs 60" in caplog.text
    assert "junk.wav: Format not recognised" in caplog.text

    before = everything(tmp_path / "out")
    again = writer.write(tmp_path / "out", clips, max_tokens=2000)
    assert again == Counts(kept=3, set_aside=2) and everything(tmp_path / "out") == before


@pytest.mark.parametrize("name", FORMATS)
def test_an_interrupted_run_goes_on(
    name: FormatName, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **options: object) -> Iterator[Extracted]:
        usable = 0
        for result in extract(*args, **options):  # type: ignore[arg-type]
            if usable == 2:
                raise KeyboardInterrupt
            usable += result.values is not None
            yield result

    writer = EmbeddingWriter(MODEL, Choice(), name)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(embeddings, "extract", interrupted)
        writer.write(tmp_path / "out", clips, max_tokens=2000)
    assert writer.write(tmp_path / "out", clips, max_tokens=2000) == Counts(1, 2, 2)


def test_embeddings_of_two_kinds_are_not_mixed(clips: list[Clip], tmp_path: Path) -> None:
    EmbeddingWriter(MODEL, Choice(layer=0), "npy").write(tmp_path / "out", clips, max_tokens=2000)
    for model, choice, name, reason in [
        (MODEL, Choice(), "npy", "layer was 0, now None"),
        (MODEL, Choice(layer_weights=(2.0,)), "npy", "layer was 0"),
        (MODEL, Choice(layer=0), "safetensors", "format was npy, now safetensors"),
        (tiny_recogniser(seed=1), Choice(layer=0), "npy", "weights was"),
    ]:
        writer = EmbeddingWriter(model, choice, name)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=rf"made otherwise \({reason}.*choose another folder"):
            writer.write(tmp_path / "out", clips, max_tokens=2000)


def test_embeddings_of_unknown_origin_are_not_taken_for_ours(clips: list[Clip], tmp_path: Path) -> None:
    writer = EmbeddingWriter(MODEL, Choice(layer_weights=(1.0,)), "npy")
    writer.write(tmp_path / "out", clips, max_tokens=2000)
    record = tmp_path / "out" / embeddings.RECORD
    text = record.read_text()
    record.unlink()
    with pytest.raises(UserError, match=r"made otherwise \(there is no featurize\.json\)"):
        writer.write(tmp_path / "out", clips, max_tokens=2000)
    for damaged in ("{", "[]"):
        record.write_text(damaged)
        with pytest.raises(UserError, match="remove it together with what it describes"):
            writer.write(tmp_path / "out", clips, max_tokens=2000)
    record.write_text(text)
    assert writer.write(tmp_path / "out", clips, max_tokens=2000).kept == 3


def test_a_fingerprint_is_of_the_weights_alone() -> None:
    same, other = tiny_recogniser(), tiny_recogniser(seed=5)
    assert fingerprint(same.model) == fingerprint(MODEL.model) != fingerprint(other.model)
    half = Loaded(same.model.to(torch.bfloat16), None, same.config, 0, Path())
    assert fingerprint(half.model) != fingerprint(MODEL.model)


def test_batches_change_nothing(clips: list[Clip], tmp_path: Path) -> None:
    writer = EmbeddingWriter(MODEL, Choice(), "npy")
    writer.write(tmp_path / "together", clips, max_tokens=100_000)
    writer.write(tmp_path / "alone", clips, max_tokens=1)
    for path in (tmp_path / "alone").glob("*.npy"):
        np.testing.assert_allclose(np.load(tmp_path / "together" / path.name), np.load(path), atol=1e-5)
