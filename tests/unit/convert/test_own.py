import json
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import forged
from auricle.convert.own import CONFIG_FILE, DICTIONARY_FILE, WEIGHTS_FILE, is_own, read_model, write_model
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.files import atomic_folder
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, ModelConfig, NegativesConfig, QuantizerConfig, Wav2Vec2Config

CONFORMER = replace(forged.ENCODER.encoder, layer_type="conformer", conv_kernel=3)
CONFIGS: dict[str, ModelConfig] = {
    "pretraining": forged.ENCODER,
    "no quantizer": replace(forged.ENCODER, quantizer=None),
    "recogniser": forged.FINETUNED,
    "one quantizer for input and targets": replace(
        forged.ENCODER, input_quantizer=forged.ENCODER.quantizer, same_quantizer=True, target_glu=True
    ),
    "quantized input": replace(forged.ENCODER, input_quantizer=QuantizerConfig(4, 3), quantizer=None),
    "relative conformer": replace(
        forged.ENCODER,
        encoder=replace(CONFORMER, attention="espnet", positions="rel_pos"),
        negatives=NegativesConfig(5, 3, 2, from_everywhere=True),
        crop_seq_to_multiple=2,
        channel_mask_first=True,
    ),
    "rotary conformer recogniser": CTCConfig(
        replace(
            forged.ENCODER,
            encoder=replace(CONFORMER, attention="espnet", positions="rope"),
            input_quantizer=QuantizerConfig(2, 3),
        ),
        8,
    ),
    "adapters": replace(
        forged.ENCODER,
        encoder=replace(forged.ENCODER.encoder, layer_type="trf_adp", num_adapters=2, adapter_dim=3),
    ),
}


def save(folder: Path, config: ModelConfig, seed: int = 0, dictionary: Dictionary | None = None) -> Any:
    torch.manual_seed(seed)
    model = build_model(config)
    with atomic_folder(folder) as partial:
        write_model(partial, model, config, dictionary, {"num_updates": 12})
    return model


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_is_written_is_read(tmp_path: Path, kind: str) -> None:
    dictionary = Dictionary(forged.SYMBOLS, [4, 3, 2, 1]) if kind == "recogniser" else None
    model = save(tmp_path / "x", CONFIGS[kind], dictionary=dictionary)
    loaded = read_model(tmp_path / "x")
    assert (loaded.config, loaded.num_updates, loaded.dictionary) == (CONFIGS[kind], 12, dictionary)
    assert loaded.dictionary is None or loaded.dictionary.counts == [1, 1, 1, 1, 4, 3, 2, 1]
    assert type(loaded.model) is type(model) and not loaded.model.training
    ours, theirs = model.state_dict(), loaded.model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(ours[name].dtype == theirs[name].dtype for name in ours)


def test_the_files(tmp_path: Path) -> None:
    save(tmp_path / "x", forged.FINETUNED, dictionary=Dictionary(["A"]))
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        CONFIG_FILE,
        DICTIONARY_FILE,
        WEIGHTS_FILE,
    ]
    content = json.loads((tmp_path / "x" / CONFIG_FILE).read_text())
    assert content["format_version"] == 1
    assert (content["model"], content["num_updates"]) == ("wav2vec_ctc", 12)
    assert content["config"]["encoder"]["encoder"]["dim"] == 8
    assert (tmp_path / "x" / DICTIONARY_FILE).read_text() == "A 1\n"
    assert "proj.weight" in load_file(tmp_path / "x" / WEIGHTS_FILE)


def test_weights_are_memory_of_their_own(tmp_path: Path) -> None:
    save(tmp_path / "x", forged.ENCODER)
    model = read_model(tmp_path / "x").model
    before = (tmp_path / "x" / WEIGHTS_FILE).read_bytes()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert (tmp_path / "x" / WEIGHTS_FILE).read_bytes() == before
    (tmp_path / "x" / WEIGHTS_FILE).write_bytes(b"")
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_reference_padding_can_be_asked_for_but_not_taken_away(tmp_path: Path) -> None:
    save(tmp_path / "x", forged.ENCODER)
    assert not read_model(tmp_path / "x").model.config.reference_padding
    assert read_model(tmp_path / "x", reference_padding=True).model.config.reference_padding
    save(tmp_path / "y", replace(forged.ENCODER, reference_padding=True))
    assert read_model(tmp_path / "y").model.config.reference_padding


def test_files_of_the_first_version_keep_loading(tmp_path: Path) -> None:
    save(tmp_path / "x", Wav2Vec2Config(forged.ENCODER.conv_layers, encoder=forged.ENCODER.encoder))
    first = {
        "format_version": 1,
        "model": "wav2vec2",
        "config": {
            "conv_layers": [[4, 10, 5], [4, 3, 2]],
            "encoder": {
                "num_layers": 1,
                "dim": 8,
                "ffn_dim": 12,
                "num_heads": 2,
                "pos_conv_kernel": 4,
                "pos_conv_groups": 2,
            },
        },
    }
    (tmp_path / "x" / CONFIG_FILE).write_text(json.dumps(first))
    loaded = read_model(tmp_path / "x")
    assert loaded.num_updates == 0 and loaded.config.conv_layers == ((4, 10, 5), (4, 3, 2))


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / CONFIG_FILE).read_text())
        change(content)
        (folder / CONFIG_FILE).write_text(json.dumps(content))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / CONFIG_FILE).write_text("{"), "it is no JSON"),
        (lambda folder: (folder / CONFIG_FILE).write_text("[" * 100_000), "it is no JSON"),
        (lambda folder: (folder / CONFIG_FILE).write_bytes(b"\xff"), "it is no JSON"),
        (lambda folder: (folder / CONFIG_FILE).write_text(" " * 10**6 + "1"), "too large"),
        (lambda folder: (folder / CONFIG_FILE).write_text("[]"), "no format_version"),
        (lambda folder: (folder / CONFIG_FILE).write_text('{"model_type": "wav2vec2"}'), "no format_version"),
        (lambda folder: (folder / CONFIG_FILE).unlink(), "cannot be read: No such file"),
        (edited(lambda content: content.update(format_version=2)), "a later version of auricle"),
        (
            edited(lambda content: content.update(model="transducer")),
            "'model' is none of wav2vec2, wav2vec_ctc",
        ),
        (edited(lambda content: content.update(model=["wav2vec2"])), "'model' is none of"),
        (edited(lambda content: content.update(config=3)), "config: expected a table"),
        (edited(lambda content: content.update(num_updates="x")), "num_updates: expected a whole number"),
        (edited(lambda content: content["config"].update(new=1)), "unknown value 'new'"),
        (edited(lambda content: content["config"].update(encoder=None)), "encoder: expected a table"),
        (
            edited(lambda content: content["config"]["encoder"].update(dim="8")),
            r"encoder\.dim: expected a whole",
        ),
        (edited(lambda content: content["config"]["encoder"].update(dim=9)), "not a multiple of 2"),
        (edited(lambda content: content["config"]["encoder"].update(dim=16)), "is of shape"),
        (
            edited(lambda content: content["config"].update(logit_temp=float("nan"))),
            "expected a finite number",
        ),
        (edited(lambda content: content["config"].update(quantizer=None)), "no use for.*'quantizer"),
        (lambda folder: (folder / WEIGHTS_FILE).unlink(), "cannot be read: No such file"),
        (lambda folder: (folder / WEIGHTS_FILE).write_bytes(b""), "damaged or cut off"),
        (
            lambda folder: (folder / WEIGHTS_FILE).write_bytes((folder / WEIGHTS_FILE).read_bytes()[:-1]),
            "damaged or cut off",
        ),
        (lambda folder: save_file({}, folder / WEIGHTS_FILE), "weights are missing"),
        (lambda folder: (folder / DICTIONARY_FILE).write_text("A A A\n"), "expected 'symbol count'"),
    ],
)
def test_mistakes_are_named_in_one_line(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    save(tmp_path / "x", forged.ENCODER)
    damage(tmp_path / "x")
    with pytest.raises(UserError, match=message) as caught:
        read_model(tmp_path / "x")
    assert str(caught.value).startswith(str(tmp_path / "x")) and "\n" not in str(caught.value)


def test_which_folders_look_like_ours(tmp_path: Path) -> None:
    assert not is_own(tmp_path) and not is_own(tmp_path / "nonesuch")
    save(tmp_path / "x", forged.ENCODER)
    assert is_own(tmp_path / "x")


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file may grow beyond `room` bytes: the kernel fails the write, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("room", [0, 100, 1_500, 4_000])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, room: int) -> None:
    old = save(tmp_path / "x", forged.FINETUNED, seed=1)
    with pytest.raises(UserError, match="cannot save") as caught, full_disk(room):
        save(tmp_path / "x", forged.FINETUNED, seed=2, dictionary=Dictionary(forged.SYMBOLS))
    assert "\n" not in str(caught.value)
    assert torch.equal(read_model(tmp_path / "x").model.state_dict()["proj.weight"], old.proj.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_dictionary_that_does_not_fit_on_the_disk(tmp_path: Path) -> None:
    old = save(tmp_path / "x", forged.FINETUNED, seed=1)
    many = Dictionary(f"symbol{number}" for number in range(2_000))
    with pytest.raises(UserError, match="File too large"), full_disk(9_000):
        save(tmp_path / "x", CTCConfig(encoder=forged.ENCODER, num_labels=8), seed=2, dictionary=many)
    loaded = read_model(tmp_path / "x")
    assert loaded.dictionary is None
    assert torch.equal(loaded.model.state_dict()["proj.weight"], old.proj.weight)
