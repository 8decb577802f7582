"""What all tests share: one thread, no deadlines, devices skipped where absent, the golden folder named."""

import signal

import hypothesis
import pytest
import torch

import golden

# A shell starts what it puts in the background with Ctrl-C ignored, and processes of ours would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Property tests judge answers, not the speed of a shared machine.
hypothesis.settings.register_profile("auricle", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("auricle")
torch.set_num_threads(1)


def pytest_report_header() -> str:
    return f"golden data: {golden.golden_folder()} ({len(golden.golden_cases())} cases)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Names a parametrised case by its folder, not by its whole path."""
    return val.name if isinstance(val, golden.Path) else None
