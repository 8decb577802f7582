"""The group norm with lengths is the group norm of each utterance by itself."""

import pytest
import torch

from auricle.models.norm import MaskedGroupNorm


@pytest.mark.parametrize(("groups", "affine"), [(1, True), (1, False), (3, True), (6, True)])
def test_each_row_is_normalised_alone(groups: int, affine: bool) -> None:
    norm = MaskedGroupNorm(groups, 6, affine)
    if affine:
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    x = torch.randn(3, 6, 9) * 5 + 2
    lengths = torch.tensor([9, 4, 2])
    x[1, :, 4:] = float("nan")
    y = norm(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = norm(x[row : row + 1, :, :length])[0]
        torch.testing.assert_close(y[row, :, :length], alone, rtol=1e-4, atol=1e-5)
    assert torch.isfinite(y).all()


def test_rows_without_frames_stay_finite() -> None:
    assert torch.isfinite(MaskedGroupNorm(1, 4)(torch.randn(2, 4, 3), torch.tensor([3, 0]))).all()


@pytest.mark.parametrize("shape", [(0, 6, 5), (2, 6, 0), (0, 6, 0)])
@pytest.mark.parametrize("groups", [1, 3])
def test_nothing_gives_nothing(shape: tuple[int, int, int], groups: int) -> None:
    norm = MaskedGroupNorm(groups, 6)
    for lengths in (None, torch.zeros(shape[0], dtype=torch.int64)):
        assert norm(torch.zeros(shape), lengths).shape == shape


def test_reference_padding_ignores_lengths() -> None:
    norm = MaskedGroupNorm(1, 4, reference_padding=True)
    x = torch.randn(2, 4, 5)
    assert torch.equal(norm(x, torch.tensor([5, 2])), norm(x))


def test_half_precision_is_computed_in_single() -> None:
    x = torch.randn(2, 4, 50) * 300
    y = MaskedGroupNorm(1, 4)(x.to(torch.bfloat16))
    assert y.dtype == torch.bfloat16 and torch.isfinite(y).all()
