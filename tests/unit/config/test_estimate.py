"""What a dry run says that a recipe will cost."""

import pytest
import torch

from auricle.config import estimate
from auricle.config.build_model import model_config, pretrained_encoder
from auricle.config.estimate import estimates
from auricle.config.load import load_recipe


@pytest.fixture(autouse=True)
def a_machine_of_known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "matmul_flops", lambda device, dtype: 3e12)


def lines_of(name: str, *overrides: str) -> list[str]:
    recipe = load_recipe(name, overrides=["task.data=c", *overrides])
    return list(estimates(recipe, model_config(recipe, pretrained_encoder(recipe), 32), torch.device("cpu")))


def test_the_published_base_recipe() -> None:
    lines = lines_of("wav2vec2_base_librispeech")
    assert lines[0] == "parameters: 95,044,608"  # as published: 95 million
    assert lines[1].startswith("a batch: up to 4,374 frames, 87.5 s of audio")
    assert lines[2] == "an update: 64 batches, up to 93.3 minutes of audio"  # the paper has 1.6 hours
    assert "1.52 GB for weights" in lines[3]
    assert "400,000 updates" in lines[4]


def test_time_grows_with_what_an_update_is_made_of() -> None:
    def seconds(*overrides: str) -> float:
        last = lines_of("small_ctc", "optimization.max_update=100", *overrides)[-1]
        return float(last.split("about: ")[1].split(" s ")[0].replace(",", ""))

    longer = "optimization.update_freq=[400]"
    assert seconds("optimization.update_freq=[800]") == pytest.approx(2 * seconds(longer), rel=0.1)


def test_without_a_limit_of_samples_no_memory_is_promised() -> None:
    lines = lines_of("small_ctc", "dataset.max_tokens=null", "dataset.batch_size=4", "~task.max_sample_size")
    assert lines[-1].startswith("batches are limited by dataset.batch_size alone")


def test_devices_share_an_update_and_the_workers_that_are_not_there_are_simulated() -> None:
    recipe = load_recipe("wav2vec2_base_librispeech", overrides=["task.data=c"])
    config = model_config(recipe, pretrained_encoder(recipe), 32)
    alone, eight, all_there = (
        list(estimates(recipe, config, torch.device("cpu"), count))[-1] for count in (1, 8, 64)
    )
    seconds = [float(line.split("about: ")[1].split(" s ")[0].replace(",", "")) for line in (alone, eight)]
    assert seconds[0] == pytest.approx(8 * seconds[1], rel=0.01)
    assert alone.endswith("now, other workers simulated one after another")
    assert eight.endswith("shared by 8 devices, other workers simulated one after another")
    assert all_there.endswith("shared by 64 devices")
    (*_, small) = lines_of("small_ctc")
    assert small.endswith(" now")
