"""Conversions: what is refused, and that nothing wrong or half is ever left behind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import forged
from auricle.convert import conversion
from auricle.convert.conversion import convert
from auricle.convert.fairseq import read_fairseq
from auricle.convert.load import load
from auricle.convert.loaded import Loaded
from auricle.convert.weights import with_reference_padding
from auricle.errors import UserError
from auricle.models.build import build_model
from auricle.models.config import EncoderConfig, ModelConfig, QuantizerConfig, Wav2Vec2Config, Wav2VecConfig


@pytest.fixture
def recogniser(tmp_path: Path) -> Loaded:
    return read_fairseq(forged.save(forged.ctc_checkpoint(), tmp_path / "source.pt"))


def of(config: ModelConfig) -> Loaded:
    return Loaded(build_model(config).eval(), None, config, 3, Path("a model"))


FORMATS = {"fairseq": "x.pt", "huggingface": "x", "auricle": "x"}
every_format = pytest.mark.parametrize("to", FORMATS)


@every_format
def test_nothing_is_replaced_unless_asked(recogniser: Loaded, tmp_path: Path, to: str) -> None:
    target = tmp_path / FORMATS[to]
    convert(recogniser, target, to)  # type: ignore[arg-type]
    before = load(target)
    with pytest.raises(UserError, match=r"exists: choose another name, or replace it with --force"):
        convert(recogniser, target, to)  # type: ignore[arg-type]
    other = replace(recogniser, num_updates=9)
    assert convert(other, target, to, force=True).difference == 0  # type: ignore[arg-type]
    assert (before.num_updates, load(target).num_updates) == (7, 9)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([FORMATS[to], "source.pt"])


@every_format
def test_a_wrong_file_is_not_left_behind(
    recogniser: Loaded, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = conversion.largest_difference

    def after_a_slip(before: Loaded, after: Loaded) -> float:
        with torch.no_grad():
            after.model.get_parameter("proj.bias")[0] += 1e-3
        return compare(before, after)

    monkeypatch.setattr(conversion, "largest_difference", after_a_slip)
    with pytest.raises(UserError, match=r"another weight proj\.bias: nothing is kept"):
        convert(recogniser, tmp_path / FORMATS[to], to)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["source.pt"]


@every_format
def test_what_is_there_stays_when_the_new_one_fails(
    recogniser: Loaded, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / FORMATS[to]
    convert(recogniser, target, to)  # type: ignore[arg-type]

    def fail(before: Loaded, after: Loaded) -> float:
        raise UserError("other answers")

    monkeypatch.setattr(conversion, "largest_difference", fail)
    with pytest.raises(UserError, match=f"{target}: other answers"):
        convert(replace(recogniser, num_updates=9), target, to, force=True)  # type: ignore[arg-type]
    assert load(target).num_updates == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([FORMATS[to], "source.pt"])


def test_folders_that_are_no_checkpoints_are_never_replaced(recogniser: Loaded, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").touch()
    for to in ("auricle", "huggingface"):
        with pytest.raises(UserError, match="no checkpoint folder, and is not replaced"):
            convert(recogniser, tmp_path / "thesis", to, force=True)  # type: ignore[arg-type]
        with pytest.raises(UserError, match="is, or holds, what is converted"):
            convert(recogniser, tmp_path, to, force=True)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is a folder, and fairseq's format is a file"):
        convert(recogniser, tmp_path / "thesis", "fairseq", force=True)
    with pytest.raises(UserError, match="what is converted"):
        convert(recogniser, tmp_path / "source.pt", "fairseq", force=True)
    assert (tmp_path / "thesis" / "text.tex").exists()


def test_an_empty_folder_is_as_good_as_none(recogniser: Loaded, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert convert(recogniser, tmp_path / "x", "huggingface").difference == 0


def test_folders_above_are_made(recogniser: Loaded, tmp_path: Path) -> None:
    convert(recogniser, tmp_path / "a" / "b" / "x.pt", "fairseq")
    convert(recogniser, tmp_path / "c" / "d" / "x", "huggingface")
    assert load(tmp_path / "a" / "b" / "x.pt").config == load(tmp_path / "c" / "d" / "x").config


ENCODER = EncoderConfig(num_layers=1, dim=8, ffn_dim=6, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2)
BASE = Wav2Vec2Config(((4, 10, 5), (4, 3, 2)), encoder=ENCODER, final_dim=4, quantizer=QuantizerConfig(2, 3))
CONFORMER = replace(ENCODER, layer_type="conformer", attention="espnet", positions="rope", conv_kernel=3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Wav2VecConfig(((4, 10, 5),)), "is a wav2vec 1.0 or vq-wav2vec model, and transformers has none"),
        (replace(BASE, quantizer=None), "quantize_targets"),
        (replace(BASE, target_glu=True), "target_glu"),
        (replace(BASE, crop_seq_to_multiple=2), "crop_seq_to_multiple"),
        (replace(BASE, input_quantizer=BASE.quantizer), "quantize_input"),
        (replace(BASE, quantizer=QuantizerConfig(2, 3, depth=2)), "quantizer_depth"),
        (replace(BASE, encoder=replace(ENCODER, pos_conv_depth=2)), "pos_conv_depth"),
        (replace(BASE, encoder=replace(ENCODER, layer_type="trf_adp", num_adapters=1)), "layer_type=trf_adp"),
        (replace(BASE, encoder=CONFORMER), "layer_norm_first"),
        (replace(BASE, encoder=replace(CONFORMER, pre_norm=True, positions="abs")), "pos_enc_type"),
        (
            replace(BASE, encoder=replace(CONFORMER, pre_norm=True, positions="abs", attention="")),
            "pos_enc_type",
        ),
    ],
)
def test_what_transformers_cannot_hold_is_said(config: ModelConfig, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"a model cannot be written for Hugging Face: .*{message}") as caught:
        convert(of(config), tmp_path / "x", "huggingface")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    assert convert(of(config), tmp_path / "own", "auricle").difference == 0
    assert load(tmp_path / "own").config == config


def test_heads_that_a_model_has_not_do_not_matter(tmp_path: Path) -> None:
    """What transformers cannot say of pre-training is no obstacle to an encoder alone."""
    encoder = of(replace(BASE, quantizer=None, heads=False))
    assert convert(encoder, tmp_path / "x", "huggingface").difference == 0
    done = convert(load(tmp_path / "x"), tmp_path / "x.pt", "fairseq")
    assert any("encoder alone" in notice for notice in done.notices)
    assert not load(tmp_path / "x.pt").config.heads  # type: ignore[union-attr]


def test_layers_that_rotate_at_different_speeds(tmp_path: Path) -> None:
    encoder = replace(CONFORMER, pre_norm=True, num_layers=2)
    model = of(replace(BASE, encoder=encoder))
    model.model.get_buffer("encoder.layers.1.self_attn.rotary_emb.inv_freq").mul_(2)
    with pytest.raises(UserError, match="rotate at different speeds"):
        convert(model, tmp_path / "x", "huggingface")
    assert convert(model, tmp_path / "x.pt", "fairseq").difference == 0


def test_two_quantizers_that_differ(tmp_path: Path) -> None:
    config = replace(BASE, input_quantizer=QuantizerConfig(2, 5))
    with pytest.raises(UserError, match="cannot be written for fairseq: its quantizers"):
        convert(of(config), tmp_path / "x.pt", "fairseq")


@pytest.mark.parametrize("config", [BASE, forged.FINETUNED, Wav2VecConfig(((4, 10, 5),))])
def test_fairseqs_padding_is_not_what_its_files_say(config: ModelConfig, tmp_path: Path) -> None:
    model = of(with_reference_padding(config))
    assert convert(model, tmp_path / "x.pt", "fairseq").difference == 0
    assert load(tmp_path / "x.pt", reference_padding=True).config == model.config


def test_numbers_of_any_value_are_kept(tmp_path: Path) -> None:
    """Not only well-behaved ones: signed zeros, denormals, what is not a number."""
    model = of(BASE)
    odd = torch.tensor([float("nan"), -0.0, 1e-42, float("inf")])
    model.model.get_parameter("project_q.bias").data.copy_(odd)
    for to, name in FORMATS.items():
        convert(model, tmp_path / to / name, to)  # type: ignore[arg-type]
        found = load(tmp_path / to / name).model.get_parameter("project_q.bias")
        assert found.detach().view(torch.int32).tolist() == odd.view(torch.int32).tolist()


def test_a_full_disk_leaves_nothing(
    recogniser: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, fitted: Loaded) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(conversion, "write_fairseq", full)
    with pytest.raises(UserError, match=r"cannot write .*x\.pt: No space left on device; free some space"):
        convert(recogniser, tmp_path / "x.pt", "fairseq")
    assert [path.name for path in tmp_path.iterdir()] == ["source.pt"]


def test_a_language_models_dictionary_is_written_besides(tmp_path: Path) -> None:
    from golden import golden_cases

    cases = golden_cases(where=lambda meta: {"checkpoint.pt", "dict.txt"} <= meta["files"].keys())
    if not cases:
        pytest.skip("no text model among the recorded ones")
    for case in cases:
        source = load(case / "checkpoint.pt", dictionary=case / "dict.txt")
        target = tmp_path / f"{case.name}.pt"
        done = convert(source, target, "fairseq")
        assert done.dictionary == tmp_path / f"{case.name}.dict.txt"
        assert done.dictionary.read_text() == (case / "dict.txt").read_text()
        with pytest.raises(UserError, match="exists"):
            convert(source, tmp_path / f"{case.name}", "fairseq")


def test_the_folder_that_is_written_is_json_throughout(recogniser: Loaded, tmp_path: Path) -> None:
    convert(recogniser, tmp_path / "x", "huggingface")
    for file in (tmp_path / "x").glob("*.json"):
        assert isinstance(json.loads(file.read_text()), dict)
