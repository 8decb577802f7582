import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from auricle.cli.main import main
from recognisers import tiny_recogniser, write_speech

RECOGNISER = tiny_recogniser(conv_norm="layer")


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """Two utterances and pauses on standard input, as raw samples."""
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: RECOGNISER)
    pause = np.zeros(16000)
    clips = [soundfile.read(write_speech(tmp_path / f"{n}.wav", 2.0, seed=n))[0] for n in range(2)]
    samples = np.concatenate([clips[0], pause, clips[1], pause])
    data = (samples * 32767).astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    return data


def run(*words):
    return main(["transcribe", *words, "--live", "--model", "m", "--device", "cpu"])


def test_a_line_for_what_is_final(raw, capsys):
    assert run("-") == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) >= 2 and captured.err == ""


def test_json_has_partial_results_too(raw, capsys, monkeypatch):
    assert run("-", "--format", "json") == 0
    values = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"final", "heard_seconds", "text", "words"} == set(values[0])
    final = [value for value in values if value["final"]]
    assert len(final) >= 2
    assert final[-1]["words"][0]["start_seconds"] > final[0]["words"][0]["start_seconds"]


def test_the_microphone_is_heard_until_it_ends(raw, capsys, monkeypatch):
    import torch

    from auricle import pipe

    samples = torch.from_numpy(np.frombuffer(raw, "<i2").astype(np.float32) / 32768)
    monkeypatch.setattr(pipe, "microphone", lambda rate, seconds: iter(samples.split(8000)))
    assert run() == 0
    spoken = capsys.readouterr().out
    assert run("-") == 0
    assert spoken == capsys.readouterr().out


def test_ctrl_c_ends_it_well(raw, capsys, monkeypatch):
    import torch

    from auricle import pipe

    def interrupted(source):
        yield torch.from_numpy(np.frombuffer(raw, "<i2")[:32000].astype(np.float32) / 32768), False
        raise KeyboardInterrupt

    monkeypatch.setattr(pipe, "ahead", interrupted)
    assert run("-") == 0
    assert capsys.readouterr().out.strip()
