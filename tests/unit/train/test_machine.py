"""Cores, threads and the speed of a device."""

from pathlib import Path

import pytest
import torch

from auricle.train.machine import available_cpus, cap_threads, matmul_flops

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Threads that torch has, made up: the process's own are left alone."""
    have = [64]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: have[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda number: have.__setitem__(0, number))
    return have


@pytest.mark.parametrize(("text", "share"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", None)])
def test_a_container_grants_a_share(tmp_path: Path, text: str, share: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    everything = available_cpus(tmp_path / "none")
    assert available_cpus(tmp_path / "cpu.max") == min(share or everything, everything)


def test_on_a_cpu_threads_do_not_depend_on_readers() -> None:
    assert cap_threads(CPU, 0, cpus=6) == cap_threads(CPU, 5, cpus=6) == 6


def test_beside_an_accelerator_readers_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cap_threads(GPU, 10, cpus=16) == 6
    assert cap_threads(GPU, 30, cpus=16) == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")


def test_workers_of_one_machine_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert cap_threads(CPU, 2, cpus=16) == 4


def test_threads_are_never_added_nor_taken_from_who_set_them(
    monkeypatch: pytest.MonkeyPatch, threads: list[int]
) -> None:
    threads[0] = 2
    assert cap_threads(CPU, 0, cpus=16) == 2
    threads[0] = 64
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    assert cap_threads(CPU, 0, cpus=16) == 64


def test_the_speed_of_a_matrix_product_is_measured_without_chance() -> None:
    before = torch.get_rng_state()
    assert matmul_flops(CPU, seconds=0.01) > 1e6
    assert torch.equal(before, torch.get_rng_state())
