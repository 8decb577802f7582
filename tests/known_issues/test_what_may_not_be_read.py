"""Files and folders without permission: called corrupt, empty, or nothing at all."""

import os
from pathlib import Path

import pytest

from auricle import audio
from auricle.cli.transcribe import find_audio
from auricle.errors import UserError
from recognisers import write_speech


def test_a_file_without_permission_is_not_called_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may read anything: the file is spoilt too, and the question answered as others would get it
    (tmp_path / "a.wav").write_text("closed")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(audio.AudioError, match=r"a\.wav: may not be read: change its permissions"):
        audio.read(tmp_path / "a.wav")


def test_folders_without_permission_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "closed").mkdir()
    write_speech(tmp_path / "closed" / "b.wav", 0.1)
    write_speech(tmp_path / "a.wav", 0.1)
    opened = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with caplog.at_level("WARNING", "auricle"):
        assert find_audio([str(tmp_path)]) == [str(tmp_path / "a.wav")]
    assert "closed: may not be read (Permission denied), and is left out" in caplog.text
    with pytest.raises(UserError, match="closed: may not be read"):
        find_audio([str(tmp_path / "closed")])
