import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from auricle import audio
from auricle.extract.clips import Clip
from auricle.extract.stream import Hearing, Values, extract
from sounds import write


class Sums:
    """Sums over ten samples a frame; takes note of the batches."""

    def __init__(self, *, normalize: bool = False, most: int = 10**9) -> None:
        self.hearing = Hearing(16000, normalize, lambda samples: samples // 10, 10)
        self.batches: list[list[int]] = []
        self.most = most

    def __call__(self, waveforms: Tensor, lengths: Tensor) -> Sequence[Values]:
        if waveforms.numel() > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        self.batches.append(lengths.tolist())
        rows = zip(waveforms, lengths.tolist(), strict=True)
        return [row[: count // 10 * 10].reshape(-1, 10).sum(1, keepdim=True).numpy() for row, count in rows]


def recordings(folder: Path, sizes: Sequence[int]) -> list[Clip]:
    return [Clip(str(n), str(write(folder / f"{n}.wav", size, seed=n))) for n, size in enumerate(sizes)]


def test_results_come_in_order_and_are_what_each_recording_gives_alone(tmp_path: Path) -> None:
    clips = recordings(tmp_path, [500, 90, 1200, 300, 700, 20, 410])
    model = Sums()
    results = list(extract(clips, model, max_tokens=1300))
    assert [result.clip for result in results] == clips
    assert any(len(batch) > 1 for batch in model.batches)
    assert all(len(batch) * max(batch) <= 1300 or len(batch) == 1 for batch in model.batches)
    for clip, result in zip(clips, results, strict=True):
        (alone,) = extract([clip], Sums(), max_tokens=1)
        np.testing.assert_allclose(result.values, alone.values, rtol=1e-6)


def test_out_of_order_results_come_a_batch_at_a_time(tmp_path: Path) -> None:
    clips = recordings(tmp_path, [500, 90, 1200, 5, 700])
    model = Sums()
    results = extract(clips, model, max_tokens=1300, in_order=False)
    assert [next(results).clip.key, next(results).clip.key] == ["3", "2"] and len(model.batches) == 1
    assert sorted(result.clip.key for result in results) == ["0", "1", "4"]


def test_what_cannot_be_used_is_a_value_in_its_place(tmp_path: Path) -> None:
    clips = recordings(tmp_path, [500, 9, 300])
    (tmp_path / "junk.wav").write_text("junk")
    clips[1:1] = [Clip("junk", str(tmp_path / "junk.wav")), Clip("none", "none.wav")]
    results = list(extract(clips, Sums(), max_tokens=10**6))
    assert [result.values is None for result in results] == [False, True, True, True, False]
    assert "not audio" in results[1].reason and results[2].reason == "no such file"
    assert results[3].reason == "too short: 9 samples, one frame needs 10"


def test_recordings_are_normalised_where_the_model_says_so(tmp_path: Path) -> None:
    clips = recordings(tmp_path, [100])
    (result,) = extract(clips, Sums(normalize=True), max_tokens=100)
    expected = audio.normalize(audio.read(clips[0].path).samples).view(-1, 10).sum(1, keepdim=True)
    np.testing.assert_allclose(result.values, expected, rtol=1e-5)


def test_little_is_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = recordings(tmp_path, [100])[0]
    asked = 0
    lock = threading.Lock()

    def endless() -> Iterator[Clip]:
        nonlocal asked
        while True:
            with lock:
                asked += 1
            yield clip

    results = extract(endless(), Sums(), max_tokens=200)
    for _ in range(20):
        next(results)
    assert asked < 40
    results.close()  # type: ignore[attr-defined]


def test_a_batch_that_does_not_fit_is_cut_in_two(tmp_path: Path) -> None:
    clips = recordings(tmp_path, [100, 100, 400, 100])
    model = Sums(most=200)
    results = list(extract(clips, model, max_tokens=10**6))
    assert [result.values is None for result in results] == [False, False, True, False]
    assert "more memory than there is" in results[2].reason
    assert max(map(len, model.batches)) == 2


def test_other_faults_are_not_swallowed(tmp_path: Path) -> None:
    class Faulty(Sums):
        def __call__(self, waveforms: Tensor, lengths: Tensor) -> Sequence[Values]:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        list(extract(recordings(tmp_path, [100]), Faulty(), max_tokens=100))


def test_what_gives_no_numbers_is_set_aside(tmp_path: Path) -> None:
    clips = recordings(tmp_path, [100, 200])
    for bad in (np.array([[np.nan]], np.float32), np.array([[3, -1]])):

        class Damaged(Sums):
            value: Values = bad

            def __call__(self, waveforms: Tensor, lengths: Tensor) -> Sequence[Values]:
                return [self.value if length == 200 else np.ones((1, 1)) for length in lengths.tolist()]

        good, result = extract(clips, Damaged(), max_tokens=1000)
        assert good.values is not None and result.values is None and "not numbers" in result.reason
