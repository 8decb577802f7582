"""`auricle models`, as typed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from auricle.cli.main import main
from file_server import FileServer, serving

FILES = {
    "/fairseq/wav2vec/wav2vec_small.pt": bytes(3_000_000),
    "/fairseq/wav2vec/dict.ltr.txt": b"| 1\n",
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AURICLE_OFFLINE", raising=False)
    with serving(files=dict(FILES)) as started:
        monkeypatch.setenv("AURICLE_MIRROR", started.address)
        yield started


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["models", *words]) == code
    captured = capsys.readouterr()
    if code:
        assert captured.err.startswith("auricle: ") or len(captured.err.splitlines()) > 1
    return captured.out if code == 0 else captured.err.splitlines()[-1]


def test_list_and_words(server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    everything = said(capsys, "list").splitlines()
    assert len(everything) > 60 and "WER %" in everything[0]
    conformers = said(capsys, "list", "Conformer", "rope", "960").splitlines()
    assert [line.split()[0] for line in conformers[1:]] == [
        "wav2vec2-conformer-rope-large-960h-ft",
        "facebook/wav2vec2-conformer-rope-large-960h-ft",
    ]
    assert "leave words out" in said(capsys, "list", "no such thing", code=2)


def test_list_as_json(server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    found = {entry["name"]: entry for entry in json.loads(said(capsys, "list", "--json"))}
    assert found["wav2vec2-base-960h"]["wer"]["Transformer LM"] == "2.1/4.8"
    assert found["wav2vec2-base-960h"]["licence"] == "MIT"


def test_show(server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    shown = said(capsys, "show", "wav2vec2-base-960h")
    for part in ("MIT", "3.4*/8.5*", "dict.ltr.txt", "https://", "in cache        none"):
        assert part in shown
    assert "espeak" in said(capsys, "show", "xlsr-53-phonemes-espeak-26")
    assert "wer             unknown" in said(capsys, "show", "wav2vec2-base")
    assert "there is wav2vec2-base" in said(capsys, "show", "wav2vec-base", code=2)


def test_download_and_verify(server: FileServer, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "nothing was downloaded" in said(capsys, "verify", code=2)
    assert "never downloaded" in said(capsys, "verify", "dict-ltr", code=2)
    paths = said(capsys, "download", "wav2vec2-base", "dict-ltr").splitlines()
    assert [Path(path).read_bytes() for path in paths] == list(FILES.values())
    assert said(capsys, "download", "wav2vec2-base").splitlines() == paths[:1]
    assert len(server.requests) == 2
    verified = said(capsys, "verify")
    assert verified.count("same    ") == 2 and "recorded at first use" in verified
    assert "\n+  dict-ltr" in said(capsys, "list", "dictionary")
    Path(paths[0]).write_bytes(b"damaged")
    assert "download --again wav2vec2-base`" in said(capsys, "verify", code=2)
    assert "has changed" in said(capsys, "download", "wav2vec2-base", code=2)
    said(capsys, "download", "--again", "wav2vec2-base")
    said(capsys, "verify", "wav2vec2-base")
    Path(paths[0]).unlink()
    assert "not as at first" in said(capsys, "verify", code=2)


def test_the_licence_is_said_before_the_download(
    server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["models", "download", "dict-ltr"])
    assert "licence MIT" in capsys.readouterr().err


def test_mistakes(server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert "404" in said(capsys, "download", "wav2vec2-large", code=2)
    assert "no published model" in said(capsys, "download", "dict-ltr", "nope", code=2)
    assert len(server.requests) == 1  # names are checked before anything is downloaded
    assert "Missing" in said(capsys, code=2)
    assert "--help" in said(capsys, "remove", code=2)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["list", "-h"], ["show", "-h"], ["download", "-h"], ["verify", "--help"]):
        assert main(["models", *words]) == 0
        assert "Usage: auricle models" in capsys.readouterr().out
