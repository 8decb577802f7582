"""Pieces of recordings: where they are cut, and that nothing is lost."""

import numpy as np
import pytest
import torch

from auricle.decode.cut import CutOptions, Cutter, cut, cut_segments, levels, silence_threshold, silences
from auricle.decode.segments import check_segments, read_segments
from auricle.errors import UserError

RATE, HOP = 16000, 320


def sound(*parts, seed=0):
    """Seconds of noise at levels: (seconds, amplitude) each."""
    rng = np.random.default_rng(seed)
    noise = [rng.standard_normal(round(seconds * RATE)) * amplitude for seconds, amplitude in parts]
    return torch.from_numpy(np.concatenate(noise).astype(np.float32))


def blocks(samples, size):
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def kept(pieces):
    """The samples that count, and where they start."""
    for piece in pieces:
        end = None if piece.kept is None else piece.context + piece.kept
        yield piece.start + piece.context, piece.samples[piece.context : end]


def check_nothing_is_lost(pieces, samples, start=0):
    at = start
    for begin, own in kept(pieces):
        assert begin == at
        assert torch.equal(own, samples[begin - start : begin - start + len(own)])
        at += len(own)
    assert at == start + len(samples)
    assert not pieces or not pieces[-1].goes_on


def test_short_recordings_stay_whole():
    samples = sound((30, 0.1))
    for size in (100_000, len(samples)):
        (piece,) = cut(blocks(samples, size), CutOptions(), RATE, HOP)
        assert torch.equal(piece.samples, samples)
        assert (piece.start, piece.context, piece.kept, piece.goes_on) == (0, 0, None, False)


def test_nothing_gives_no_piece():
    assert list(cut([], CutOptions(), RATE, HOP)) == []


def test_the_longest_pause_of_the_second_half_is_cut():
    samples = sound((4, 0.1), (1, 0.001), (3, 0.1), (0.5, 0.001), (1, 0.1), (0.4, 0.001), (5, 0.1))
    pieces = list(cut(blocks(samples, 5000), CutOptions(10.0, 2.0), RATE, HOP))
    check_nothing_is_lost(pieces, samples)
    assert [piece.start / RATE for piece in pieces] == pytest.approx([0, 8.25], abs=0.03)
    assert not any(piece.goes_on for piece in pieces)


def test_pauses_are_found_at_any_loudness_and_over_noise():
    for gain, background in ((1.0, 0.002), (0.01, 0.002), (0.3, 0.1)):
        parts = ((7, 0.3), (0.6, 0.3 * background), (6, 0.3))
        samples = sound(*parts) * gain
        pieces = list(cut([samples], CutOptions(10.0, 2.0), RATE, HOP))
        assert [piece.start / RATE for piece in pieces] == pytest.approx([0, 7.3], abs=0.03)


@pytest.mark.parametrize("samples", [sound((35, 0.1)), torch.zeros(35 * RATE), torch.full((35 * RATE,), 0.5)])
def test_without_a_pause_pieces_overlap(samples):
    pieces = list(cut(blocks(samples, 7777), CutOptions(10.0, 4.0), RATE, HOP))
    check_nothing_is_lost(pieces, samples)
    if len(pieces) == 4:  # digital silence may be cut anywhere
        return
    assert [piece.start / RATE for piece in pieces] == [0, 6, 12, 18, 24, 30][: len(pieces)]
    assert [piece.context / RATE for piece in pieces] == [0, *[2] * (len(pieces) - 1)]
    assert all(piece.goes_on for piece in pieces[:-1])
    assert all(len(piece.samples) <= 10 * RATE for piece in pieces)


def test_blocks_of_any_size_give_the_same_pieces():
    samples = sound(*[(3, 0.1), (0.4, 0.0005)] * 6, (20, 0.1), (0.5, 0.001), (4, 0.2))
    wanted = list(cut([samples], CutOptions(8.0, 2.0), RATE, HOP))
    assert len(wanted) > 4
    for size in (999, 16_000, 50_001):
        found = list(cut(blocks(samples, size), CutOptions(8.0, 2.0), RATE, HOP))
        assert [(p.start, len(p.samples), p.context, p.kept) for p in found] == [
            (p.start, len(p.samples), p.context, p.kept) for p in wanted
        ]


def test_what_is_held_does_not_grow():
    cutter = Cutter(CutOptions(5.0, 1.0), RATE, HOP)
    for number in range(60):
        cutter.feed(sound((1, 0.1), seed=number))
        assert len(cutter.pending.samples) <= 6 * RATE
        assert cutter.pending.samples.untyped_storage().nbytes() <= 4 * 6 * RATE
    assert len(cutter._history) <= 3000


def test_eager_pieces_end_soon_after_what_was_said():
    options = CutOptions(10.0, 2.0, silence_seconds=0.4, eager=True)
    cutter = Cutter(options, RATE, HOP)
    samples = sound((1, 0.001), (2, 0.1), (3, 0.001), (1.5, 0.1), (2, 0.001))
    ends = []
    for number, block in enumerate(blocks(samples, RATE // 10)):
        ends += [(number + 1) / 10 for _ in cutter.feed(block)]
    assert ends == pytest.approx([3.4, 7.9], abs=0.11)  # 0.4 s after each was said
    assert cutter.finish() == []  # nothing was said any more


def test_eager_pieces_leave_out_silence_before_speech():
    options = CutOptions(10.0, 2.0, silence_seconds=0.4, eager=True)
    cutter = Cutter(options, RATE, HOP)
    cutter.feed(sound((1, 0.1), (0.6, 0.001)))
    for number in range(100):
        assert cutter.feed(sound((0.5, 0.001), seed=number)) == []
        assert len(cutter.pending.samples) <= RATE
    (piece,) = cutter.feed(sound((1, 0.1), (0.6, 0.001)))
    assert piece.start / RATE == pytest.approx(51.6 - 0.4, abs=0.05)


def test_levels_and_thresholds():
    assert levels(torch.full((640,), 0.7), 320).tolist() == [-100.0, -100.0]
    assert levels(sound((1, 0.1)), 320).mean().item() == pytest.approx(-20, abs=0.2)
    assert levels(torch.zeros(10), 320).tolist() == []
    talk = torch.tensor([-60.0] * 30 + [-20.0] * 70)
    assert -60 < silence_threshold(talk) < -40
    assert silence_threshold(torch.full((100,), -20.0)) == -55
    assert silences(torch.tensor([1, 1, 0, 1, 1, 1]).bool(), 2) == [(0, 2), (3, 6)]
    assert silences(torch.tensor([0, 0]).bool(), 1) == []


def test_segments_are_cut_as_files_of_their_own():
    samples = sound((12, 0.1), (0.5, 0.001), (20, 0.1))
    segments = [(0.5, 1.25), (1.25, 11.0), (13.3, 32.5)]
    options = CutOptions(8.0, 2.0)
    wanted = []
    for start, end in segments:
        own = samples[round(start * RATE) : round(end * RATE)]
        wanted += [
            (piece.samples, piece.start + round(start * RATE)) for piece in cut([own], options, RATE, HOP)
        ]
    for size in (1000, 40_000, len(samples)):
        found = list(cut_segments(blocks(samples, size), segments, options, RATE, HOP))
        assert len(found) == len(wanted)
        for piece, (own, start) in zip(found, wanted, strict=True):
            assert piece.start == start and torch.equal(piece.samples, own)


def test_segments_beyond_the_end_are_a_mistake_and_rounding_is_none():
    samples = sound((2, 0.1))
    for segments in ([(0.0, 1.0), (1.5, 2.5)], [(3.0, 4.0)]):
        with pytest.raises(UserError, match=r"the recording at 2 s"):
            list(cut_segments([samples], segments, CutOptions(), RATE, HOP))
    (piece,) = cut_segments([samples], [(1.0, 2.01)], CutOptions(), RATE, HOP)
    assert len(piece.samples) == RATE


def test_segments_are_read_and_checked(tmp_path):
    path = tmp_path / "s.txt"
    path.write_text("0.5 1.25 hello\n\n1.25\t2\n")
    assert read_segments(path) == [(0.5, 1.25), (1.25, 2.0)]
    wrong = {
        "": "holds no segments",
        "1 two\n": r"s\.txt:1: expected 'start end'",
        "0 1\n\n3\n": r"s\.txt:3: expected",
        "2 1\n": r":1: .*end after its start",
        "0 nan\n": "end after its start",
        "0 2\n1 3\n": r":2: starts at 1 s, before the one before it ends \(2 s\)",
        "-1 2\n": "end after its start",
    }
    for text, said in wrong.items():
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            read_segments(path)
    with pytest.raises(UserError, match="segments:2"):
        check_segments([(0, 1), (0.5, 2)])


@pytest.mark.parametrize(("chunk", "overlap"), [(10, 6), (0.5, 0), (10, -1)])
def test_pieces_that_make_no_sense_are_a_mistake(chunk, overlap):
    with pytest.raises(UserError, match="pieces of"):
        CutOptions(chunk, overlap)
