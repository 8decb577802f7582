"""Exported files, run by both libraries, against the model; and files that are none."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from auricle.convert import onnx_file
from auricle.convert.loaded import Loaded
from auricle.convert.onnx_file import Difference, export, load_exported
from auricle.decode.backend import OUTPUTS, open_exported, precision_of
from auricle.decode.emissions import emit, pad
from auricle.errors import UserError
from auricle.models.wav2vec2 import Wav2Vec2
from recognisers import RECEPTIVE_FIELD, tiny_config, tiny_recogniser

pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

RECOGNISER = tiny_recogniser()
GENERATOR = torch.Generator().manual_seed(5)
CLIPS = [torch.randn(length, generator=GENERATOR) for length in (RECEPTIVE_FIELD, 700, 2311)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> dict[str, tuple[Path, Difference]]:
    folder = tmp_path_factory.mktemp("exported")
    paths = {name: folder / f"{name}.onnx" for name in ("float32", "int8")}
    found = {
        name: (path, export(RECOGNISER, path, CLIPS, int8=name == "int8")) for name, path in paths.items()
    }
    assert sorted(folder.iterdir()) == sorted(paths.values())
    return found


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_file_hears_what_the_model_hears(exported, backend, precision):
    pytest.importorskip(backend)
    path, difference = exported[precision]
    loaded = load_exported(path, backend)
    assert (loaded.config, loaded.dictionary) == (RECOGNISER.config, RECOGNISER.dictionary)
    assert precision_of(loaded.model) == precision
    limit = 1e-4 if precision == "float32" else 3 * difference.largest
    # Neither the batch sizes nor the lengths of the trace, and one that is too short for a frame.
    for clips in ([torch.randn(3000, generator=GENERATOR)], [*CLIPS, torch.randn(30)], [torch.zeros(30)]):
        ours, theirs = (emit(model, *pad(clips)) for model in (RECOGNISER.model, loaded.model))
        assert ours.lengths.tolist() == theirs.lengths.tolist()
        for a, b, frames in zip(ours.log_probs, theirs.log_probs, ours.lengths.tolist(), strict=True):
            torch.testing.assert_close(a[:frames].exp(), b[:frames].exp(), atol=limit, rtol=0)


def test_padding_changes_nothing(exported):
    model = load_exported(exported["float32"][0], "onnxruntime").model
    together = emit(model, *pad(CLIPS))
    for row, clip in enumerate(CLIPS):
        alone = emit(model, *pad([clip])).log_probs[0]
        torch.testing.assert_close(together.log_probs[row, : len(alone)], alone, atol=1e-4, rtol=0)


def test_the_difference_is_measured(exported):
    assert exported["float32"][1].share < 1e-5
    assert exported["float32"][1].changed == 0.0
    assert exported["int8"][1].largest > 10 * exported["float32"][1].largest


def test_a_wrong_file_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "_write", lambda traced, loaded, path: None)
    monkeypatch.setattr(onnx_file, "open_exported", lambda *_: lambda w, n: _slightly_wrong(w, n))
    with pytest.raises(UserError, match="wrong by"):
        export(RECOGNISER, tmp_path / "a.onnx", CLIPS)
    assert not list(tmp_path.iterdir())


def _slightly_wrong(waveforms, lengths):
    with torch.inference_mode():
        output = RECOGNISER.model(waveforms, lengths)
    return output.logits * 1.01, output.lengths


@pytest.mark.slow
def test_a_bare_encoder_gives_its_context(tmp_path):
    config = replace(tiny_config().encoder, quantizer=None)
    torch.manual_seed(0)
    model = Wav2Vec2(config).eval()
    assert export(Loaded(model, None, config, 0, Path("bare")), tmp_path / "a.onnx", CLIPS).share < 1e-5
    context, frames = open_exported(tmp_path / "a.onnx", "onnxruntime", "float32")(*pad(CLIPS))
    with torch.inference_mode():
        expected = model.extract_features(*pad(CLIPS))
    assert frames.tolist() == expected.lengths.tolist()
    torch.testing.assert_close(context[2], expected.context[2], atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="writes no letters"):
        load_exported(tmp_path / "a.onnx", "onnxruntime")
    assert OUTPUTS[0] == "logits"


def test_precisions_that_a_file_does_not_have(exported):
    with pytest.raises(UserError, match=r"is in float32: .* with --int8"):
        load_exported(exported["float32"][0], "onnxruntime", "int8")
    with pytest.raises(UserError, match=r"is in int8: .* without --int8"):
        load_exported(exported["int8"][0], "onnxruntime", "float32")
    with pytest.raises(UserError, match="nothing in bf16"):
        load_exported(exported["float32"][0], "onnxruntime", "bf16")


def test_files_that_are_none(tmp_path, exported):
    whole = exported["float32"][0].read_bytes()
    for name, content in {
        "empty": b"",
        "noise": b"\xff\x00noise" * 50,
        "cut": whole[: len(whole) // 2],
    }.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(UserError, match=str(path)):
            load_exported(path, "onnxruntime")


def test_an_exported_model_knows_no_masks(exported):
    model = load_exported(exported["float32"][0], "onnxruntime").model
    with pytest.raises(UserError, match="span_mask"):
        model(torch.zeros(1, 700), span_mask=torch.zeros(1, 10))
