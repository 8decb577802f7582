"""Recordings as they come: long, joined, broken, of other kinds; real speech and real commands."""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from itertools import accumulate, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import auricle
from auricle.audio import read
from auricle.cli.main import main
from auricle.convert.own import write_model
from auricle.decode.align import align
from recognisers import tiny_recogniser

AUDIO = Path(auricle.__file__).parent / "demo" / "audio" / "en"
CLIPS = sorted(AUDIO.glob("*.opus"), key=lambda file: (file.stat().st_size, file.name))[10:22]
if not CLIPS:
    pytest.skip(f"no speech in {AUDIO}", allow_module_level=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    loaded = tiny_recogniser(normalize=True, conv_norm="layer")
    write_model(folder, loaded.model, loaded.config, loaded.dictionary, {})
    return folder


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path], list[float]]:
    """Clips one after the other, as float samples so that nothing is rounded, and where they meet."""
    folder = tmp_path_factory.mktemp("joined")
    samples = [read(clip).samples.numpy() for clip in CLIPS]
    parts = []
    for number, own in enumerate(samples):
        parts.append(folder / f"{number:02}.wav")
        soundfile.write(parts[-1], own, 16000, "FLOAT")
    soundfile.write(folder / "all.wav", np.concatenate(samples), 16000, "FLOAT")
    return folder / "all.wav", parts, [0.0, *(count / 16000 for count in accumulate(map(len, samples)))]


def test_cut_at_the_joins_the_text_is_that_of_the_clips(checkpoint, joined, capsys, tmp_path):
    path, parts, edges = joined
    assert edges[-1] > 8
    wanted = [one.text for one in auricle.transcribe(parts, checkpoint)]
    (whole,) = auricle.transcribe([path], checkpoint, segments=list(pairwise(edges)))
    assert whole.text == " ".join(text for text in wanted if text)
    (tmp_path / "s.txt").write_text("".join(f"{a:.7f} {b:.7f}\n" for a, b in pairwise(edges)))
    words = ("transcribe", path, "--segments", tmp_path / "s.txt", "--model", checkpoint, "--device", "cpu")
    assert main([str(word) for word in words]) == 0
    assert capsys.readouterr().out == whole.text + "\n"


def test_long_recordings_are_cut_in_pauses(checkpoint, joined):
    path, _, edges = joined
    (whole,) = auricle.transcribe([path], checkpoint, chunk_seconds=3.0, overlap_seconds=1.0)
    assert whole.seconds == pytest.approx(edges[-1])
    times = [time for word in whole.words for time in (word.start_seconds, word.end_seconds)]
    assert times == sorted(times) and times[-1] <= edges[-1]
    assert whole.text == " ".join(word.text for word in whole.words)
    gaps = np.diff([word.start_seconds for word in whole.words])
    assert gaps.max() < 2.0  # this model babbles: nothing was left out


def test_alignment_of_real_speech_in_pieces_and_in_one(checkpoint, joined):
    path, parts, edges = joined
    loaded = auricle.load(checkpoint)
    texts = [one.text for one in auricle.transcribe(parts[:8], loaded)]
    samples = soundfile.read(path, stop=round(edges[8] * 16000), dtype="float32")[0]
    first = path.with_name("first.wav")
    soundfile.write(first, samples, 16000, "FLOAT")
    found = align(first, "\n".join(texts), loaded)
    wanted = [
        edge + word.start_seconds
        for part, text, edge in zip(parts[:8], texts, edges, strict=False)
        for word in align(part, text, loaded).transcript.words
    ]
    starts = [word.start_seconds for word in found.transcript.words]
    assert len(starts) == len(wanted)
    # Random weights hear a clip otherwise among others (its loudness, its neighbours): most starts, not all.
    assert np.median(np.abs(np.array(starts) - np.array(wanted))) <= 0.04


def test_a_pipe_is_heard_live(checkpoint, joined):
    path, *_ = joined
    samples = soundfile.read(path, stop=16000 * 8, dtype="float32")[0]
    raw = (samples * 32767).clip(-32768, 32767).astype("<i2").tobytes()
    command = [sys.executable, "-W", "error", "-m", "auricle.cli.main", "transcribe", "-", "--live"]
    done = subprocess.run(
        [*command, "--format", "json", "--model", str(checkpoint), "--device", "cpu"],
        input=raw,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    values = [json.loads(line) for line in done.stdout.splitlines()]
    assert values[-1]["final"] and values[-1]["heard_seconds"] == pytest.approx(8)
    starts = [word["start_seconds"] for value in values if value["final"] for word in value["words"]]
    assert starts == sorted(starts) and starts[-1] > 5


def test_a_pipe_that_cannot_seek_is_transcribed(checkpoint, capsys, monkeypatch):
    read_end, write_end = os.pipe()
    writer = threading.Thread(
        target=lambda: (os.write(write_end, CLIPS[0].read_bytes()), os.close(write_end))
    )
    writer.start()
    with os.fdopen(read_end, "rb") as pipe:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
        assert main(["transcribe", "-", "--model", str(checkpoint), "--device", "cpu"]) == 0
    writer.join()
    assert capsys.readouterr().out == auricle.transcribe(CLIPS[0], checkpoint)[0].text + "\n"


@pytest.mark.parametrize("seekable", [True, False])
def test_a_pipe_that_nothing_comes_through(checkpoint, capsys, monkeypatch, seekable):
    stdin = io.BytesIO()
    monkeypatch.setattr(stdin, "seekable", lambda: seekable, raising=False)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
    words = ["-", "--model", str(checkpoint), "--device", "cpu"]
    assert main(["transcribe", *words]) == 2
    said = "audio stream" if seekable else "standard input"
    assert capsys.readouterr() == ("", f"auricle: {said}: empty\n")
    assert main(["transcribe", *words, "--live"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("sound", [True, False])
def test_a_film(checkpoint, tmp_path, capsys, sound):
    av = pytest.importorskip("av", reason="no PyAV: pip install 'auricle[video]'")
    path, samples = tmp_path / "film.mkv", read(CLIPS[0]).samples.numpy()
    with av.open(path, "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        track = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), format="rgb24")
        packets = [*pictures.encode(picture), *pictures.encode(None)]
        if track is not None:
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate = 16000
            packets += [*track.encode(frame), *track.encode(None)]
        for packet in packets:
            container.mux(packet)
    code = main(["transcribe", str(path), "--model", str(checkpoint), "--device", "cpu"])
    captured = capsys.readouterr()
    if sound:
        assert code == 0 and captured.out.strip()
    else:
        assert (code, captured.err) == (2, f"auricle: {path}: holds no sound track\n")


def nothing(path):
    path.write_bytes(b"")


def silence(path):
    soundfile.write(path, np.zeros(16000 * 3), 16000)


def fifty_samples(path):
    soundfile.write(path, read(CLIPS[0]).samples.numpy()[:50], 16000)


def no_frames(path):
    soundfile.write(path, np.zeros(0), 16000)


def not_a_number(path):
    samples = read(CLIPS[0]).samples.numpy()
    samples[100] = np.nan
    soundfile.write(path, samples, 16000, "FLOAT")


def many_channels(path):
    samples = read(CLIPS[0]).samples.numpy().repeat(6)
    soundfile.write(path, np.repeat(samples[:, None], 8, axis=1), 96000)


def truncated(path):
    soundfile.write(path, read(CLIPS[1]).samples.numpy(), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "name", "code", "said"),
    [
        (nothing, "x.wav", 2, "empty file"),
        (silence, "x.wav", 0, ""),
        (fifty_samples, "x.wav", 0, "too short for a single frame"),
        (no_frames, "x.wav", 2, "holds no samples"),
        (not_a_number, "x.wav", 2, "not finite"),
        (many_channels, "x.flac", 0, ""),
        (truncated, "x.flac", 2, "x.flac: "),
    ],
)
def test_recordings_that_are_no_use_take_a_line(checkpoint, tmp_path, capsys, spoil, name, code, said):
    spoil(tmp_path / name)
    shutil.copy(CLIPS[0], tmp_path / "y.opus")
    alone = [str(word) for word in (tmp_path / name, "--model", checkpoint, "--device", "cpu")]
    assert main(["transcribe", *alone]) == code
    captured = capsys.readouterr()
    assert said in captured.err and "Traceback" not in captured.err
    if code == 2:
        assert captured.out == "" and captured.err.count("\n") == 1
    assert main(["transcribe", str(tmp_path / "y.opus"), *alone]) == code  # the others are transcribed
    assert (
        capsys.readouterr().out.splitlines()[0].split("\t")[1]
        == auricle.transcribe(CLIPS[0], checkpoint)[0].text
    )
    (tmp_path / "text.txt").write_text("TEA")
    assert main(["align", alone[0], str(tmp_path / "text.txt"), *alone[1:]]) in (0, 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error and all(line.startswith("auricle: ") for line in error.splitlines())
