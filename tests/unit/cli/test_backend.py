"""Backends and precisions as the commands offer them."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from auricle.cli.backend import open_model
from auricle.cli.bench_run import operations, operations_of_batch
from auricle.cli.main import main
from auricle.convert.own import write_model
from auricle.decode.backend import for_inference, precision_of
from auricle.errors import UserError
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from recognisers import tiny_config, tiny_recogniser, write_speech
from text_models import SEQ2SEQ

RECOGNISER = tiny_recogniser()


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write_model(folder, RECOGNISER.model, RECOGNISER.config, RECOGNISER.dictionary, {"num_updates": 3})
    return folder


def test_bf16_is_the_encoders(checkpoint):
    loaded = open_model(checkpoint, "cpu", None, "bf16")
    assert precision_of(loaded.model) == "bf16"
    exact = ("layer_norm", "post_extract_proj")  # what the layers add to, and what leads there
    for name, parameter in loaded.model.encoder.named_parameters():
        wanted = torch.float32 if any(part in name for part in exact) else torch.bfloat16
        assert parameter.dtype == wanted, name
    assert loaded.model.proj.weight.dtype == torch.float32
    assert precision_of(open_model(checkpoint, "cpu").model) == "float32"


@pytest.mark.parametrize(
    "encoder",
    [{}, {"pre_norm": True}, {"pos_conv_depth": 2}, {"layer_type": "conformer"}],
    ids=str,
)
def test_bf16_is_near_float32(encoder):
    config = tiny_config()
    inner = replace(config.encoder.encoder, **encoder)
    config = replace(config, encoder=replace(config.encoder, encoder=inner))
    torch.manual_seed(0)
    model = Wav2Vec2CTC(config).eval()
    waveforms, lengths = torch.randn(2, 8000), torch.tensor([8000, 5000])
    with torch.inference_mode():
        expected = model(waveforms, lengths).logits
        found = for_inference(model, "bf16")(waveforms, lengths).logits
    assert found.dtype == torch.float32 and model.encoder.mask_emb.dtype == torch.bfloat16
    frames = model.encoder.num_frames(lengths).tolist()
    for ours, exact, count in zip(found, expected, frames, strict=True):
        assert (ours - exact)[:count].abs().max() < 0.05 * exact[:count].abs().max()


@pytest.mark.parametrize(
    "front_end", [{}, {"conv_bias": True}, {"conv_norm": "layer", "conv_bias": True}], ids=str
)
@pytest.mark.parametrize("encoder", [{}, {"pos_conv_depth": 2}, {"layer_type": "conformer"}], ids=str)
def test_what_is_laid_out_gives_what_it_gave(front_end, encoder):
    config = tiny_config()
    inner = replace(config.encoder.encoder, **encoder)
    config = replace(config, encoder=replace(config.encoder, encoder=inner, **front_end))
    torch.manual_seed(0)
    model = Wav2Vec2CTC(config).eval()
    waveforms, lengths = torch.randn(2, 8000), torch.tensor([8000, 5000])
    with torch.inference_mode():
        expected = model(waveforms, lengths).logits
        for _ in range(2):  # the second time there is nothing left to do
            found = for_inference(model)(waveforms, lengths).logits
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert all(not parameter.requires_grad for parameter in model.parameters())
    alone = for_inference(model)(waveforms[1:, :5000]).logits[0]
    torch.testing.assert_close(alone, expected[1, : len(alone)], rtol=1e-4, atol=1e-4)


def test_what_is_laid_out_takes_no_memory_twice():
    model = Wav2Vec2CTC(tiny_config()).eval()
    before = {name: value.shape for name, value in model.named_parameters()}
    laid_out = dict(for_inference(model).named_parameters())
    assert {name: value.shape for name, value in laid_out.items()} == before
    emptied = {name for name, value in laid_out.items() if value.is_meta}
    assert "encoder.encoder.layers.0.fc1.weight" in emptied
    assert "encoder.encoder.pos_conv.0.weight_v" in emptied
    assert "encoder.feature_extractor.conv_layers.1.0.weight" in emptied
    assert not model.proj.weight.is_meta


@pytest.mark.parametrize(("layer_type", "counts_padding"), [("transformer", False), ("conformer", True)])
def test_bench_counts_padding_where_it_is_computed_on(layer_type, counts_padding):
    config = tiny_config()
    inner = replace(config.encoder.encoder, layer_type=layer_type)
    model = Wav2Vec2CTC(replace(config, encoder=replace(config.encoder, encoder=inner)))
    waveforms, lengths = torch.zeros(2, 8000), torch.tensor([8000, 5000])
    second = 8000 if counts_padding else 5000
    expected = operations(model, 1, 8000) + operations(model, 1, second)
    assert operations_of_batch(model, waveforms, lengths) == expected


def test_torch_has_no_int8(checkpoint):
    with pytest.raises(UserError, match="--backend onnxruntime"):
        open_model(checkpoint, "cpu", None, "int8")


def test_bf16_transcribes(checkpoint, tmp_path, capsys):
    clip = write_speech(tmp_path / "a.wav", 0.5)
    assert main(["transcribe", str(clip), "--model", str(checkpoint), "--precision", "bf16"]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.slow
def test_a_checkpoint_is_exported_on_the_way(checkpoint, tmp_path, capsys):
    pytest.importorskip("onnxscript")
    clip = write_speech(tmp_path / "a.wav", 0.7)
    exported = tmp_path / "a.onnx"
    assert main(["export", str(checkpoint), str(exported)]) == 0
    assert "float32; against the checkpoint" in capsys.readouterr().out
    texts = []
    for words in ([checkpoint], [exported], [checkpoint, "--backend", "onnxruntime"]):
        assert main(["transcribe", str(clip), "--device", "cpu", "--model", *map(str, words)]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] == texts[2] != ""
    assert main(["transcribe", str(clip), "--model", str(exported), "--backend", "torch"]) == 2
    assert "--backend onnxruntime or openvino" in capsys.readouterr().err


def test_what_a_backend_lacks_is_said_before_a_checkpoint_is_exported(checkpoint, monkeypatch):
    def export(*words, **options):
        raise AssertionError("a minute's work for nothing")

    monkeypatch.setattr("auricle.cli.export.export_checkpoint", export)
    with pytest.raises(UserError, match="onnxruntime computes nothing in bf16"):
        open_model(checkpoint, "cpu", "onnxruntime", "bf16")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"pip install 'auricle\[openvino\]'"):
        open_model(checkpoint, "cpu", "openvino")


def test_a_model_that_cannot_be_exported_is_one_line(tmp_path, monkeypatch, capsys):
    writer = replace(RECOGNISER, model=Wav2Vec2Seq2Seq(SEQ2SEQ), config=SEQ2SEQ)
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: writer)
    assert main(["export", "writer", str(tmp_path / "a.onnx")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "only CTC recognisers and wav2vec 2.0 encoders can be exported" in said[0]


def test_export_wants_an_ending(checkpoint, tmp_path, capsys):
    assert main(["export", str(checkpoint), str(tmp_path / "a.pt")]) == 2
    assert ".onnx" in capsys.readouterr().err


def test_bench_times_every_stage(checkpoint, tmp_path, capsys):
    clips = [str(write_speech(tmp_path / f"{n}.wav", 0.4 + n, sample_rate=8000)) for n in range(2)]
    numbers = tmp_path / "numbers.json"
    words = ["--model", str(checkpoint), "--rounds", "1", "--device", "cpu", "--json", str(numbers)]
    assert main(["bench", *clips, *words]) == 0
    table = capsys.readouterr().out
    found = json.loads(numbers.read_text())
    assert list(found["stages"]) == ["read", "resample", "model", "front end", "encoder", "head", "decode"]
    assert all(name in table for name in found["stages"])
    assert found["audio_seconds"] == pytest.approx(1.8, abs=0.01)
    assert found["operations"] > 0 and 0 < found["share_of_peak"] < 1
    assert found["audio_seconds_per_second"] > 0


def test_bench_needs_a_model_for_other_backends(capsys):
    assert main(["bench", "--backend", "openvino"]) == 2
    assert "--model" in capsys.readouterr().err
