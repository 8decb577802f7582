"""What a sweep consists of."""

import pytest

from auricle.config.overrides import Flag
from auricle.config.sweep import runs_of, swept


def test_every_combination_the_last_one_fastest() -> None:
    runs = runs_of(["a.b=1,2", "c.d=5"], [Flag("lr", "0.1,0.2")])
    assert [(overrides, flags[0].value) for overrides, flags in runs] == [
        (("a.b=1", "c.d=5"), "0.1"),
        (("a.b=1", "c.d=5"), "0.2"),
        (("a.b=2", "c.d=5"), "0.1"),
        (("a.b=2", "c.d=5"), "0.2"),
    ]
    assert swept(["a.b=1,2", "c.d=5"], [Flag("lr", "0.1,0.2")]) == ([0], [0])


@pytest.mark.parametrize(
    ("override", "each"),
    [
        ("a.b=range(1,4)", ["a.b=1", "a.b=2", "a.b=3"]),
        ("+a.b=[1,2],[3]", ["+a.b=[1,2]", "+a.b=[3]"]),
        ("a.b=choice(x,y)", ["a.b=x", "a.b=y"]),
    ],
)
def test_ways_to_say_several(override: str, each: list[str]) -> None:
    assert [run[0][0] for run in runs_of([override], [])] == each


@pytest.mark.parametrize("override", ["a.b=[1,2]", "a.b='x,y'", "~a.b", "a.b=/some (path),here", "a.b="])
def test_one_value_is_one_run(override: str) -> None:
    assert runs_of([override], [Flag("vq_temp", "(2,0.5,0.9)"), Flag("fp16", None)]) == [
        ((override,), (Flag("vq_temp", "(2,0.5,0.9)"), Flag("fp16", None)))
    ]
