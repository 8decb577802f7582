"""An archive of other audio under equal names and sizes was kept, and so was one that had been compressed."""

import zipfile
from pathlib import Path

import pytest

import sounds
from auricle.data.shards import pack, plan
from auricle.errors import UserError


def test_a_cleaned_copy_of_a_corpus_is_other_audio(tmp_path: Path) -> None:
    dest = tmp_path / "packed"
    dest.mkdir()
    noisy = sounds.corpus(tmp_path / "noisy", (500, 600, 700))
    clean = sounds.corpus(tmp_path / "clean", (500, 600, 700))
    for number in range(3):
        sounds.write(tmp_path / "clean" / f"{number}.wav", (500, 600, 700)[number], seed=number + 10)
    pack(plan(noisy, dest, num_shards=1))
    with pytest.raises(UserError, match="is there and holds other or older audio"):
        pack(plan(clean, dest, num_shards=1))
    _, kept = pack(plan(noisy, dest, num_shards=1))
    assert kept == 1


def test_a_compressed_archive_cannot_be_addressed(tmp_path: Path) -> None:
    manifest = sounds.corpus(tmp_path / "audio", (500, 600))
    planned = plan(manifest, tmp_path, num_shards=1)
    pack(planned)
    archive = planned.shards[0].path
    with zipfile.ZipFile(archive) as stored:
        files = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as deflated:
        for name, data in files.items():
            deflated.writestr(name, data)
    with pytest.raises(UserError, match="is there and holds other or older audio"):
        pack(planned)
