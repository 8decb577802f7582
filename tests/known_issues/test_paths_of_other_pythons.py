"""A checkpoint with a path among its options was refused where Python 3.13, or Windows, had written it."""

import io

import pytest

import forged
from auricle.convert.unpickle import unpickle


@pytest.mark.parametrize("module", ["pathlib", "pathlib._local"])
@pytest.mark.parametrize("name", ["PosixPath", "PureWindowsPath", "WindowsPath"])
def test_it_opens(module: str, name: str) -> None:
    pickled = forged.program(forged.made(forged.name(module, name), forged.text("a")))
    unpickle(io.BytesIO(pickled))
