"""Every recorded checkpoint, in every layout: opened, or refused by the name of what it is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from auricle.convert import keys
from auricle.convert.fairseq_config import config_from_fairseq
from auricle.convert.load import load
from auricle.convert.torch_file import read
from auricle.dictionary import Dictionary
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.wav2vec2 import Wav2Vec2Pretraining
from golden import Meta, golden_cases, load_case, read_meta, scalar
from recorded import corpus_key

CHECKPOINTS = [path for case in golden_cases() for path in sorted(case.glob("checkpoint*.pt"))]


def options(meta: Meta) -> dict[str, Any]:
    """The options of the network: of a fine-tuned model, those that its encoder was pre-trained with."""
    model: dict[str, Any] = meta["config"]["model"]
    return model["w2v_args"]["model"] if "w2v_args" in model else model


def is_supported(path: Path) -> bool:
    meta = read_meta(path.parent)
    return meta["config"]["model"].get("_name") in ("wav2vec2", "wav2vec_ctc")


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


supported = pytest.mark.parametrize("path", [p for p in CHECKPOINTS if is_supported(p)], ids=name_of)


def ours(name: str) -> str:
    """fairseq's name of a weight -> ours."""
    for theirs, prefix in keys.CTC_STATE_PREFIXES.items():
        if name.startswith(theirs):
            return prefix + name.removeprefix(theirs)
    return name


def recorded_shapes(case: Path) -> dict[str, tuple[int, ...]]:
    """Of every weight, under fairseq's names."""
    meta = read_meta(case)
    if "param_shapes" in meta["scalars"]:
        return {name: tuple(shape) for name, shape in scalar(meta, "param_shapes").items()}
    return {name: tuple(tensor.shape) for name, tensor in load_file(case / "init.safetensors").items()}


@supported
def test_every_weight_arrives_with_its_shape(path: Path) -> None:
    shapes = {ours(name): shape for name, shape in recorded_shapes(path.parent).items()}
    state = load(path).model.state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == shapes


@supported
def test_the_configuration_is_the_recorded_one(path: Path) -> None:
    meta = read_meta(path.parent)
    loaded = load(path)
    audio = {word: meta["config"]["task"][word] for word in ("normalize", "sample_rate")}
    pretrained = config_from_fairseq({**options(meta), **audio})
    if isinstance(loaded.model, Wav2Vec2Pretraining):
        assert loaded.config == pretrained
    else:
        assert isinstance(loaded.model, Wav2Vec2CTC)
        config = loaded.model.config
        assert config.encoder.conv_layers == pretrained.conv_layers
        assert config.encoder.time_mask.length == meta["config"]["model"]["mask_length"]
        assert config.encoder.feature_grad_mult == meta["config"]["model"]["feature_grad_mult"]
        assert config.blank_weight == meta["config"]["model"]["blank_weight"]
        assert config.normalize == audio["normalize"]


@supported
def test_the_dictionary_is_the_one_beside_it(path: Path) -> None:
    loaded = load(path)
    beside = path.parent / "dict.ltr.txt"
    if loaded.dictionary is not None:
        expected = Dictionary.load(beside)
        assert (loaded.dictionary.symbols, loaded.dictionary.counts) == (expected.symbols, expected.counts)
    elif beside.is_file():
        assert load(path, dictionary=beside).dictionary == Dictionary.load(beside)


@supported
def test_all_layouts_of_a_case_hold_the_same(path: Path) -> None:
    one, other = load(path.parent / "checkpoint.pt"), load(path)
    assert one.config == other.config and one.num_updates == other.num_updates > 0
    theirs = other.model.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in one.model.state_dict().items())


def shortest(meta: Meta) -> int:
    return min(scalar(meta, "lengths"))


def valid(rows: Tensor, padding_mask: Tensor) -> Tensor:
    return torch.cat([row[: int(n)] for row, n in zip(rows, (~padding_mask).sum(-1), strict=True)])


@supported
def test_its_answers_are_those_of_fairseq(path: Path) -> None:
    """Features or logits of the loaded model, alone and in a padded batch."""
    meta, arrays = load_case(path.parent)
    if "nopad.x" not in arrays and "nopad.encoder_out" not in arrays:
        pytest.skip("the case records a training run, not answers")
    model = load(path, reference_padding=True).model
    waveforms, lengths = arrays["source"], (~arrays["padding_mask"]).sum(-1)
    with torch.inference_mode():
        if isinstance(model, Wav2Vec2CTC):
            alone = model(waveforms[:, : shortest(meta)]).logits
            batched = model(waveforms, lengths).logits
            expected, expected_batch = (
                arrays[f"{name}.encoder_out"].transpose(0, 1) for name in ("nopad", "ragged")
            )
        else:
            key = corpus_key(meta)
            alone = model.extract_features(waveforms[:, : shortest(meta)], corpus_key=key).context
            batched = model.extract_features(waveforms, lengths, corpus_key=key).context
            expected, expected_batch = arrays["nopad.x"], arrays["ragged.x"]
    mask = arrays["ragged.out_padding_mask"]
    torch.testing.assert_close(alone, expected, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(valid(batched, mask), valid(expected_batch, mask), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("path", [p for p in CHECKPOINTS if not is_supported(p)], ids=name_of)
def test_the_weights_of_other_models_are_all_there(path: Path) -> None:
    """Under whatever names; what stands in the file twice, being tied, may stand in the model once."""
    theirs = [
        tensor.load()
        for name, tensor in read(path)["model"].items()
        if name.rpartition(".")[2] not in ("version", "_float_tensor")
    ]
    ours = list(load(path).model.state_dict().values())
    assert all(any(torch.equal(one, other) for other in ours) for one in theirs)
    assert all(any(torch.equal(one, other) for other in theirs) for one in ours)


def trusted(path: Path) -> Any:
    """What torch's own reader makes of the file; None where it wants to run something for it."""
    try:
        return torch.load(path, weights_only=True)
    except Exception:
        return None


@pytest.mark.parametrize("path", CHECKPOINTS, ids=name_of)
def test_every_tensor_is_the_one_that_torch_reads(path: Path) -> None:
    expected = trusted(path)
    if expected is None:
        pytest.skip("torch reads this file only by running what is in it")
    found = read(path)
    assert list(found["model"]) == list(expected["model"])
    for name, tensor in expected["model"].items():
        assert torch.equal(found["model"][name].load(), tensor)
    for number, moments in (expected["last_optimizer_state"] or {"state": {}})["state"].items():
        for name, value in moments.items():
            stored = found["last_optimizer_state"]["state"][number][name]
            assert torch.equal(stored.load(), value) if isinstance(value, Tensor) else stored == value
