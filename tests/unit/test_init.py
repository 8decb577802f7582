"""What `import auricle` gives, and how little it costs."""

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

import auricle
from auricle.convert.own import write_model
from auricle.errors import UserError
from auricle.models.build import build_model
from recognisers import tiny_config, tiny_recogniser, write_speech
from text_models import SEQ2SEQ


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    loaded = tiny_recogniser()
    write_model(folder, loaded.model, loaded.config, loaded.dictionary, {"num_updates": 7})
    return folder


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, auricle; "
        "assert not {'torch', 'numpy', 'soundfile', 'importlib.metadata'} & set(sys.modules), 'heavy'"
    )
    subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"], check=True
    )


def test_the_version_is_that_of_the_package() -> None:
    assert auricle.__version__ == version("auricle")


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'transcripe'"):
        auricle.transcripe  # type: ignore[attr-defined] # noqa: B018


def test_load_gives_model_dictionary_and_config(checkpoint: Path) -> None:
    loaded = auricle.load(checkpoint)
    assert loaded.dictionary is not None and loaded.config.num_labels == len(loaded.dictionary)
    assert loaded.num_updates == 7


def test_transcribe_takes_what_load_gave_or_a_path(checkpoint: Path, tmp_path: Path) -> None:
    clips = [write_speech(tmp_path / f"{n}.wav", 0.5, seed=n) for n in range(2)]
    transcripts = auricle.transcribe(clips, model=auricle.load(checkpoint, precision="float32"))
    assert transcripts == auricle.transcribe([str(clip) for clip in clips], model=str(checkpoint))
    as_written = auricle.transcribe(clips, model=auricle.load(checkpoint))
    assert [clip.text for clip in transcripts] == [clip.text for clip in as_written]
    assert transcripts[0].text == auricle.transcribe(clips[0], checkpoint)[0].text
    assert transcripts[0].words[0].text == transcripts[0].text.split()[0]


def test_a_model_to_run_is_a_recogniser(tmp_path: Path) -> None:
    config = replace(SEQ2SEQ, encoder=tiny_config().encoder)
    write_model(tmp_path, build_model(config), config, None, {"num_updates": 0})
    assert auricle.load(tmp_path, precision="float32").model.training is False
    with pytest.raises(UserError, match="precision bf16 is for CTC recognisers"):
        auricle.load(tmp_path, precision="bf16")


def test_an_unreadable_file_is_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.wav"):
        auricle.transcribe([tmp_path / "missing.wav"], model=checkpoint)


def test_a_model_to_run_cannot_be_saved(checkpoint: Path, tmp_path: Path) -> None:
    loaded = auricle.load(checkpoint, precision="float32")
    with pytest.raises(UserError, match="opened to run"):
        write_model(tmp_path, loaded.model, loaded.config, loaded.dictionary, {"num_updates": 7})
    assert not list(tmp_path.iterdir())
