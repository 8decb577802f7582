"""A model that was opened to run runs however it is called, and refuses what would be wrong."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from auricle.convert.fairseq_write import write_fairseq
from auricle.convert.huggingface_write import write_huggingface
from auricle.convert.onnx_file import export
from auricle.convert.own import write_model
from auricle.decode.backend import for_inference
from auricle.errors import UserError
from auricle.models.ctc import Wav2Vec2CTC
from recognisers import tiny_config, tiny_recogniser

WAVEFORMS = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([8000, 5000])


def recogniser(precision: str = "float32", **options: object) -> Wav2Vec2CTC:
    return for_inference(tiny_recogniser(**options).model.eval(), precision)


def with_gradients_of_weights(model: Wav2Vec2CTC) -> None:
    model.requires_grad_(True)
    model(WAVEFORMS, LENGTHS)


MISUSES: dict[str, Callable[[Wav2Vec2CTC], Any]] = {
    "copy": copy.deepcopy,
    "pickle": pickle.dumps,
    "torch.save": lambda model: torch.save(model, io.BytesIO()),
    "state_dict": lambda model: model.state_dict(),
    "load_state_dict": lambda model: model.load_state_dict(Wav2Vec2CTC(tiny_config()).state_dict()),
    "double": lambda model: model.double(),
    "half": lambda model: model.half(),
    "to meta": lambda model: model.to("meta"),
    "encoder.to": lambda model: model.encoder.to(torch.float64),
    "gradients of weights": with_gradients_of_weights,
    "gradient of waveforms": lambda model: model(WAVEFORMS.clone().requires_grad_(), LENGTHS),
    "export": lambda model: torch.export.export(model, (WAVEFORMS, LENGTHS), strict=False),
}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", MISUSES)
def test_what_needs_the_weights_is_refused(name: str, precision: str) -> None:
    model = recogniser(precision)
    with torch.no_grad():
        expected = model(WAVEFORMS, LENGTHS).logits
    with pytest.raises(UserError, match="opened to run"):
        MISUSES[name](model)
    with torch.no_grad():
        assert torch.equal(model(WAVEFORMS, LENGTHS).logits, expected)


def test_no_writer_writes_it(tmp_path) -> None:
    loaded = tiny_recogniser()
    for_inference(loaded.model.eval())
    with pytest.raises(UserError, match="opened to run"):
        write_model(tmp_path, loaded.model, loaded.config, loaded.dictionary, {})
    with pytest.raises(UserError, match="opened to run"):
        write_fairseq(tmp_path / "model.pt", loaded)
    with pytest.raises(UserError, match="opened to run"):
        write_huggingface(tmp_path, loaded)
    with pytest.raises(UserError, match="opened to run"):
        export(loaded, tmp_path / "model.onnx", [WAVEFORMS[0]])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("conv_norm", ["group", "layer"])
@pytest.mark.parametrize("given", [torch.float64, torch.float16, torch.bfloat16])
def test_waveforms_of_any_type_are_heard(given: torch.dtype, conv_norm: str) -> None:
    model = recogniser(conv_norm=conv_norm)
    waveforms = WAVEFORMS.to(given)
    with torch.no_grad():
        expected = model(waveforms.float()).logits
        torch.testing.assert_close(model(waveforms).logits, expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("conv_norm", ["group", "layer"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_it_runs_under_autocast(precision: str, conv_norm: str) -> None:
    model = recogniser(precision, conv_norm=conv_norm)
    with torch.no_grad():
        expected = model(WAVEFORMS).logits
        with torch.autocast("cpu", torch.bfloat16):
            found = model(WAVEFORMS).logits.float()
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_it_stays_where_and_what_it_is() -> None:
    model = recogniser()
    assert model.to("cpu").float().eval().train().requires_grad_(False) is model
    assert for_inference(model) is model
    with pytest.raises(UserError, match="opened to run in float32"):
        for_inference(model, "bf16")


def test_a_head_can_be_trained_on_it() -> None:
    model = recogniser()
    model.proj.requires_grad_(True)
    model(WAVEFORMS, LENGTHS).logits.sum().backward()
    assert model.proj.weight.grad is not None
    assert all(parameter.grad is None for parameter in model.encoder.parameters())


def test_what_is_no_precision_is_named() -> None:
    with pytest.raises(UserError, match="no precision fp16"):
        recogniser("fp16")
