"""Which worker of a run a process is."""

import pytest

from auricle.errors import UserError
from auricle.train.engine import Engine, check_same, open_engine
from auricle.train.place import Place

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def given(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    for name, value in zip(NAMES, values, strict=False):
        monkeypatch.setenv(name, value)


def test_without_a_word_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Place.here() is None
    given(monkeypatch, "0", "1")
    assert Place.here() is None
    engine = open_engine(cpu=True)
    assert type(engine) is Engine and engine.first and engine.gather({"a": 1}) == [{"a": 1}]


def test_it_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "5", "8", "1", "node7", "4711")
    assert Place.here() == Place(5, 8, 1, "node7", 4711)


def test_workers_meet_on_this_machine_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "1", "2")
    place = Place.here()
    assert place == Place(1, 2, 1, "127.0.0.1", 29500)
    assert place.is_loopback
    assert Place(0, 2, 0, "localhost").is_loopback and Place(0, 2, 0, "::1").is_loopback
    assert not Place(0, 2, 0, "node7").is_loopback and not Place(0, 2, 0, "10.0.0.1").is_loopback


@pytest.mark.parametrize("values", [("x", "2"), ("0", "two"), ("2", "2"), ("-1", "2"), ("0", "0")])
def test_a_damaged_environment_is_a_users_error(
    values: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, *values)
    with pytest.raises(UserError, match="start"):
        Place.here()


def test_what_differs_is_named() -> None:
    check_same([3, 3], "a number")
    with pytest.raises(UserError, match="worker 2 has a number 4 and worker 0 3"):
        check_same([3, 3, 4], "a number")
