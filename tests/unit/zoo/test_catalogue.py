"""The catalogue holds what is published, and says nothing that it does not know."""

import json
import re

import pytest

from auricle.zoo import entries, find
from auricle.zoo.catalogue import UNKNOWN, mirrored
from golden import REPOSITORY

FACTS = REPOSITORY.parent / "shared" / "facts" / "model_zoo.json"
ADDRESSES = {
    address for entry in entries().values() for wanted in entry.files for address in wanted.addresses
}


@pytest.mark.skipif(not FACTS.is_file(), reason="the list of published models is not here")
def test_every_published_model_is_there() -> None:
    published = {address for row in json.loads(FACTS.read_text()) for address in row["urls"]}
    assert published and {address.replace("s3://", "https://") for address in published} <= ADDRESSES


def test_addresses_are_https_and_names_are_short() -> None:
    assert all(re.fullmatch(r"https://[a-z.]+/[\w./-]+", address) for address in ADDRESSES)
    assert all(re.fullmatch(r"(facebook/)?[a-z0-9.-]+", name) for name in entries())


def test_every_entry_says_who_licenses_it() -> None:
    assert all(entry.licence and entry.licence_source for entry in entries().values())


def test_error_rates_have_a_source_and_their_absence_is_said() -> None:
    for entry in entries().values():
        assert (entry.wer_source == UNKNOWN) is (not entry.wer)
        for rates in entry.wer.values():
            assert re.fullmatch(r"\d+\.\d\*?/\d+\.\d\*?", rates)


def test_recognisers_of_letters_and_phonemes_have_their_dictionary() -> None:
    for entry in entries().values():
        needs = entry.task in ("letters", "phonemes") and not entry.is_folder
        assert (entry.dictionary is not None) is needs
        assert (entry.phonemizer is not None) is (entry.task == "phonemes")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("wav2vec2-base-960h", "wav2vec_small_960h.pt"),
        ("wav2vec2-large-960h-lv60-self", "wav2vec_vox_960h_pl.pt"),
        ("wav2vec2-large-xlsr-53", "xlsr_53_56k.pt"),
        ("wav2vec2-conformer-rope-large", "LL_rope_PT_no_FT"),
        ("roberta-kmeans-codes", "bert_kmeans.tar"),
    ],
)
def test_names_of_the_hub_without_their_owner_are_fairseqs_files(name: str, file: str) -> None:
    assert find(name).files[0].addresses[0].endswith("/" + file)


def test_models_of_the_hub_are_those_of_fairseq() -> None:
    hub = [entry for entry in entries().values() if entry.is_folder]
    assert len(hub) > 20
    for entry in hub:
        assert entry.same_as is not None and find(entry.same_as).wer == entry.wer


def test_a_mirror_keeps_the_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    address = find("dict-ltr").files[0].addresses[0]
    assert mirrored(address) == address
    monkeypatch.setenv("AURICLE_MIRROR", "https://mirror.example/models/")
    assert mirrored(address) == "https://mirror.example/models/fairseq/wav2vec/dict.ltr.txt"
