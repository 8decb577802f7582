from pathlib import Path

import pytest
import torch

import auricle
import forged
from auricle.convert.load import Loaded, load
from auricle.convert.own import write_model
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.files import atomic_folder
from auricle.models.build import build_model
from auricle.models.config import CTCConfig


def save_own(folder: Path, num_updates: int = 0, dictionary: Dictionary | None = None) -> Path:
    config = CTCConfig(encoder=forged.ENCODER, num_labels=8)
    with atomic_folder(folder) as partial:
        write_model(partial, build_model(config), config, dictionary, {"num_updates": num_updates})
    return folder


def save_dictionary(path: Path, *symbols: str) -> Path:
    Dictionary(symbols).save(path)
    return path


def test_a_file_of_fairseq(tmp_path: Path) -> None:
    path = forged.save(forged.ctc_checkpoint(), tmp_path / "x.pt")
    for given in (path, str(path)):
        loaded = auricle.load(given)
        assert isinstance(loaded, Loaded) and loaded.source == path
        assert loaded.dictionary == Dictionary(forged.SYMBOLS)


def test_a_checkpoint_folder(tmp_path: Path) -> None:
    folder = save_own(tmp_path / "x", 5)
    for path in (folder, folder / "config.json", folder / "model.safetensors"):
        assert (load(path).num_updates, load(path).source) == (5, folder)


def test_a_run_stands_for_its_best_checkpoint_or_its_last(tmp_path: Path) -> None:
    save_own(tmp_path / "run" / "checkpoints" / "last", 2)
    assert load(tmp_path / "run").num_updates == 2
    save_own(tmp_path / "run" / "checkpoints" / "best", 1)
    assert load(tmp_path / "run").num_updates == 1
    assert load(tmp_path / "run" / "checkpoints").num_updates == 1
    assert load(tmp_path / "run" / "checkpoints" / "last").num_updates == 2


def test_an_interrupted_save_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    last = save_own(tmp_path / "run" / "checkpoints" / "last", 3)
    last.rename(last.with_name("last.previous"))
    (tmp_path / "run" / "checkpoints" / "last.partial").mkdir()
    assert load(last).num_updates == 3
    assert load(tmp_path / "run").num_updates == 3


def test_reference_padding_and_device_are_passed_on(tmp_path: Path) -> None:
    folder = save_own(tmp_path / "x")
    path = forged.save(forged.ctc_checkpoint(), tmp_path / "x.pt")
    for source in (folder, path):
        model = load(source, reference_padding=True, map_location=torch.device("meta")).model
        assert model.config.encoder.reference_padding
        assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_a_dictionary_may_be_given(tmp_path: Path) -> None:
    file = save_dictionary(tmp_path / "dict.ltr.txt", "A", "B", "C", "D")
    path = forged.save(forged.flat(forged.ctc_checkpoint()), tmp_path / "x.pt")
    assert load(path).dictionary is None
    assert load(path, dictionary=file).dictionary == Dictionary("ABCD")
    assert load(path, dictionary=Dictionary("ABCD")).dictionary == Dictionary("ABCD")
    folder = save_own(tmp_path / "x", dictionary=Dictionary("EFGH"))
    assert load(folder).dictionary == Dictionary("EFGH")
    assert load(folder, dictionary=file).dictionary == Dictionary("ABCD")


def test_a_dictionary_of_another_size_is_a_mistake(tmp_path: Path) -> None:
    file = save_dictionary(tmp_path / "dict.ltr.txt", "A")
    path = forged.save(forged.flat(forged.ctc_checkpoint()), tmp_path / "x.pt")
    with pytest.raises(
        UserError, match=r"the dictionary given has 5 symbols.*the model writes 8: give the dict"
    ):
        load(path, dictionary=file)
    path = forged.save(forged.ctc_checkpoint(symbols=["A", "B"]), tmp_path / "y.pt")
    with pytest.raises(UserError, match="its dictionary has 6 symbols"):
        load(path)
    assert load(path, dictionary=Dictionary("ABCD")).dictionary == Dictionary("ABCD")


def test_a_missing_dictionary_is_named(tmp_path: Path) -> None:
    path = forged.save(forged.ctc_checkpoint(), tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"nonesuch\.txt"):
        load(path, dictionary=tmp_path / "nonesuch.txt")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("wav2vec_smal.pt", "there is {0}/wav2vec_small.pt"),
        ("rnu/checkpoints/best", "there is {0}/run"),
        ("something/else.pt", "{0} has nothing of a similar name"),
    ],
)
def test_a_mistyped_name_is_answered_with_the_nearest(tmp_path: Path, path: str, hint: str) -> None:
    (tmp_path / "wav2vec_small.pt").touch()
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError) as caught:
        load(tmp_path / path)
    assert str(caught.value) == f"{tmp_path / path} does not exist; {hint.format(tmp_path)}"


def test_folders_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no checkpoint: give a fairseq \.pt file"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json without model\.safetensors"):
        load(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match="no configuration of this program"):
        load(tmp_path)


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match="is not a checkpoint"):
        load(tmp_path / "x.wav")
