import torch

from auricle.decode.cut import CutOptions, cut
from auricle.decode.stitch import Stitcher
from auricle.decode.viterbi import viterbi
from auricle.dictionary import Dictionary

HOP, RATE, FIELD = 40, 16000, 60
LETTERS = Dictionary("|ABC")


def frames_of(samples):
    """What a model that looks at one frame only would say: a row for each sample position."""
    count = max((len(samples) - FIELD) // HOP + 1, 0)
    return samples[: count * HOP].view(count, HOP)[:, :8].log_softmax(-1)


def test_overlapping_pieces_make_one_run_with_every_frame_in_its_place():
    samples = torch.randn(35 * RATE + 123, generator=torch.Generator().manual_seed(0))
    stitcher = Stitcher(LETTERS, HOP)
    pieces = list(cut([samples], CutOptions(10.0, 2.0), RATE, HOP))
    assert len(pieces) > 3
    runs = [run for piece in pieces for run in stitcher.add(piece, frames_of(piece.samples))]
    assert len(runs) == 1 and runs[0].start == 0
    assert torch.allclose(runs[0].log_probs, frames_of(samples))


def test_pieces_without_context_are_not_joined():
    samples = torch.randn(25 * RATE, generator=torch.Generator().manual_seed(0))
    stitcher = Stitcher(LETTERS, HOP)
    pieces = list(cut([samples], CutOptions(10.0, 0.0), RATE, HOP))
    runs = [run for piece in pieces for run in stitcher.add(piece, frames_of(piece.samples))]
    assert [run.start for run in runs] == [0, 10 * RATE, 20 * RATE]


def test_a_run_without_end_is_cut_between_words():
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(60 * RATE, generator=generator)
    pieces = list(cut([samples], CutOptions(5.0, 1.0), RATE, HOP))

    def text(longest):
        stitcher = Stitcher(LETTERS, HOP, longest)
        runs = [run for piece in pieces for run in stitcher.add(piece, frames_of(piece.samples))]
        lengths = [torch.tensor([len(run.log_probs)]) for run in runs]
        said = [viterbi(r.log_probs[None], n, LETTERS)[0] for r, n in zip(runs, lengths, strict=True)]
        times = [
            (run.start + span.start * HOP, run.start + span.end * HOP)
            for run, one in zip(runs, said, strict=True)
            for span in one.spans
        ]
        return len(runs), [word for one in said for word in one.words], times

    count, words, times = text(10_000)
    assert count > 1
    assert (1, words, times) == text(1_000_000)


def test_what_may_change_is_not_kept():
    samples = torch.randn(12 * RATE, generator=torch.Generator().manual_seed(2))
    first, last = cut([samples], CutOptions(10.0, 2.0), RATE, HOP)
    stitcher = Stitcher(LETTERS, HOP)
    assert stitcher.add(first, frames_of(first.samples)) == []
    for _ in range(2):
        run = stitcher.tentative(last, frames_of(last.samples))
        assert torch.allclose(run.log_probs, frames_of(samples))
    assert len(stitcher.add(last, frames_of(last.samples))) == 1
    assert stitcher.finish() == []
