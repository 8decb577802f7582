"""Products by oneDNN against torch's, for every layout of the arguments."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from auricle.models import cpu_matmul


def layouts(rows: int, columns: int) -> dict[str, Tensor]:
    return {
        "dense": torch.randn(rows, columns),
        "transposed": torch.randn(columns, rows).t(),
        "rows apart": torch.randn(rows, 2 * columns)[:, :columns],
        "columns apart": torch.randn(columns, 2 * rows)[:, :rows].t(),
        "every other value": torch.randn(rows, 2 * columns)[:, ::2],
        "one row again and again": torch.randn(1, columns).expand(rows, columns),
        "overlapping rows": torch.randn(rows + columns).as_strided((rows, columns), (1, 1)),
    }


@pytest.fixture(params=[1, 2**40], ids=["oneDNN", "small"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_matmul, "SMALLEST", request.param)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("of_x", layouts(1, 1))
@pytest.mark.parametrize("of_weight", layouts(1, 1))
def test_every_layout(of_x: str, of_weight: str) -> None:
    torch.manual_seed(0)
    x, weight = layouts(12, 8)[of_x], layouts(5, 8)[of_weight]
    for bias in (None, torch.randn(5)):
        expected = x.double() @ weight.double().t() + (0.0 if bias is None else bias.double())
        y = cpu_matmul.product(x, weight, bias)
        assert y.is_contiguous()
        assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("shape", [(6,), (7, 6), (2, 3, 6), (0, 6)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_gives_the_values_and_gradients_of_torchs(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    ours, theirs = cpu_matmul.Linear(6, 4, bias=bias), nn.Linear(6, 4, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape, requires_grad=True)
    results = []
    for layer in (ours, theirs):
        y = layer(x)
        results.append((y, torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])))
    assert_close(*results, rtol=1e-5, atol=1e-5)


def test_frozen_weights_get_no_gradient_and_inputs_need_none() -> None:
    layer = cpu_matmul.Linear(3, 2)
    layer.weight.requires_grad_(False)
    layer(torch.randn(4, 3)).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is not None


def test_without_the_operator_the_product_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(64, 128), torch.randn(96, 128)
    expected = cpu_matmul.product(x, weight)
    monkeypatch.setattr(cpu_matmul, "_onednn", None)
    assert_close(cpu_matmul.product(x, weight), expected, rtol=1e-5, atol=1e-4)


def test_products_are_float32_in_earnest() -> None:
    # Not rounded to fewer bits on the way, as tf32 and bfloat16 would be.
    torch.manual_seed(0)
    x, weight = torch.randn(256, 512), torch.randn(256, 512)
    error = (cpu_matmul.product(x, weight) - (x.double() @ weight.double().t())).abs().max()
    assert error < 2e-4


def test_what_products_are_computed_in() -> None:
    x = torch.zeros(1)
    dtype = cpu_matmul.dtype_of_products
    assert (dtype(x), dtype(x.bfloat16())) == (torch.float32, torch.bfloat16)
    assert dtype(x.double()) is None and dtype(x.half()) is None and dtype(x.to("meta")) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert dtype(x) == torch.bfloat16 and dtype(x.double()) is None
    with torch.autocast("cpu", torch.float16):
        assert dtype(x) is None


def test_only_float32_on_a_cpu_comes_here() -> None:
    x = torch.zeros(1)
    assert cpu_matmul.applies_to(x)
    assert not cpu_matmul.applies_to(x.double()) and not cpu_matmul.applies_to(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not cpu_matmul.applies_to(x)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_and_its_gelu(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, x = cpu_matmul.Linear(24, 16).to(dtype), torch.randn(3, 5, 24, dtype=dtype)
    expected = torch.nn.functional.gelu(layer(x))
    with torch.inference_mode():
        found = cpu_matmul.gelu_of(layer, x)
    limit = 1e-5 if dtype == torch.float32 else 0.02
    assert_close(found, expected, rtol=limit, atol=limit)
    # With gradients they are two operations, of which both have one.
    assert cpu_matmul.gelu_of(layer, x).requires_grad


def test_a_layer_of_another_type_is_called() -> None:
    layer = nn.Linear(24, 16).double()
    with torch.inference_mode():
        found = cpu_matmul.gelu_of(layer, torch.ones(2, 24, dtype=torch.float64))
    assert_close(found[0], torch.nn.functional.gelu(layer(torch.ones(24, dtype=torch.float64))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("of_x", layouts(1, 1))
def test_a_weight_that_was_laid_out(dtype: torch.dtype, of_x: str) -> None:
    torch.manual_seed(0)
    x, weight, bias = layouts(12, 8)[of_x].to(dtype), torch.randn(5, 8).to(dtype), torch.randn(5).to(dtype)
    laid_out = cpu_matmul.laid_out(weight)
    limit = 1e-5 if dtype == torch.float32 else 0.02
    for given in (None, bias):
        expected = x.double() @ weight.double().t() + (0.0 if given is None else given.double())
        assert_close(cpu_matmul.product(x, laid_out, given).double(), expected, rtol=limit, atol=limit)
    expected = torch.nn.functional.gelu(expected)
    assert_close(cpu_matmul.product(x, laid_out, bias, gelu=True).double(), expected, rtol=limit, atol=limit)


@pytest.mark.parametrize("missing", ["_onednn", "_reorder"])
def test_without_the_operators_the_weight_stays_as_it_is(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_matmul, missing, None)
    weight = torch.randn(96, 128)
    assert cpu_matmul.laid_out(weight) is weight


@pytest.mark.parametrize("without", ["nothing", "_onednn"])
def test_a_layer_that_was_laid_out_gives_what_it_gave(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, x = cpu_matmul.Linear(24, 16), torch.randn(3, 5, 24)
    if without != "nothing":
        monkeypatch.setattr(cpu_matmul, without, None)
    with torch.inference_mode():
        expected = layer(x), cpu_matmul.gelu_of(layer, x)
        for _ in range(2):  # the second time there is nothing left to do
            cpu_matmul.lay_out(nn.Sequential(layer))
            assert layer.weight.is_meta and layer.weight.shape == (16, 24)
            assert_close((layer(x), cpu_matmul.gelu_of(layer, x)), expected, rtol=1e-5, atol=1e-5)
