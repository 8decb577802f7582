"""Training on text: losses against torch's, padding, and runs from a folder of text to a model that opens."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import auricle
import text_models
from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.config.schema import Recipe
from auricle.data.text import TextBatch
from auricle.dictionary import MASK, Dictionary
from auricle.errors import UserError
from auricle.losses import Loss
from auricle.models.build import build_model
from auricle.models.config import LanguageModelConfig
from auricle.models.language_model import TransformerLM
from auricle.models.roberta import Roberta
from auricle.train.draws import VALIDATION_EPOCH, Position
from auricle.train.loop import Trainer
from auricle.train.text import LanguageModelObjective, MaskedLMObjective
from auricle.train.text_draws import SymbolDraws, SymbolMaskConfig

PAD = Dictionary.pad_index
ROWS = [[0, 4, 5, 6, 7, 4, 2], [0, 7, 2], [0, 5, 5, 4, 2]]
PLAIN = LanguageModelConfig(
    num_symbols=8, decoder=text_models.LANGUAGE_MODEL.decoder, input_dim=8, output_dim=8
)
SMALL = {
    "code_roberta": [
        "distributed_training.distributed_world_size=1",
        *("model.encoder_layers=1", "model.encoder_embed_dim=16", "model.encoder_ffn_embed_dim=24"),
        *("model.encoder_attention_heads=2", "task.tokens_per_sample=30", "task.mask_multiple_length=3"),
    ],
    "small_code_roberta": [
        *("model.encoder_layers=2", "model.encoder_embed_dim=16", "model.encoder_ffn_embed_dim=24"),
        *("model.encoder_attention_heads=2", "task.tokens_per_sample=20", "task.mask_multiple_length=3"),
    ],
    "small_lm": [
        *("model.decoder_layers=1", "model.decoder_embed_dim=16", "model.decoder_ffn_embed_dim=24"),
        *("model.decoder_attention_heads=2", "task.tokens_per_sample=20"),
    ],
}
ADAPTIVE = [
    *("criterion=adaptive_loss", "model.adaptive_softmax_cutoff='6,10'", "model.adaptive_input=true"),
    *("model.adaptive_input_cutoff='6,10'", "model.adaptive_input_factor=2"),
    *("model.adaptive_softmax_factor=2", "model.tie_adaptive_weights=true", "model.tie_adaptive_proj=true"),
    "model.share_decoder_input_output_embed=false",
]


def batch(*rows: list[int], ids: list[int] | None = None, width: int = 0) -> TextBatch:
    width = max(width, *(len(row) for row in rows))
    tokens = torch.tensor([row + [PAD] * (width - len(row)) for row in rows])
    return TextBatch(torch.tensor(ids or list(range(len(rows)))), tokens)


def masked_lm(seed: int = 4) -> MaskedLMObjective:
    torch.manual_seed(0)
    model = build_model(text_models.ROBERTA).eval()
    assert isinstance(model, Roberta)
    dictionary = Dictionary([*text_models.SYMBOLS, MASK])
    return MaskedLMObjective(model, SymbolDraws(SymbolMaskConfig(prob=0.5), dictionary, seed))


def language_model(config: LanguageModelConfig, **options: Any) -> LanguageModelObjective:
    torch.manual_seed(0)
    model = build_model(config).eval()
    assert isinstance(model, TransformerLM)
    return LanguageModelObjective(model, **options)


def test_masked_symbols_by_hand() -> None:
    objective, position = masked_lm(), Position(1, 0)
    example = batch(*ROWS)
    masks = objective.draws.masks(example.tokens, [0, 1, 2], position)
    logits = objective.model(masks.shown)
    targets = example.tokens.masked_fill(~masks.masked, -100)
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum")
    loss = objective.loss(example, position)
    torch.testing.assert_close(loss.total, expected)
    assert int(loss.denominator) == int(masks.masked.sum()) > 0
    right = (logits.argmax(-1) == example.tokens) & masks.masked
    assert loss.correct is not None and int(loss.correct) == int(right.sum())


def test_nothing_masked_is_no_loss() -> None:
    objective = masked_lm()
    for seed in range(20):
        one = MaskedLMObjective(
            objective.model, SymbolDraws(SymbolMaskConfig(0.01), Dictionary(["a", MASK]), seed)
        )
        loss = one.loss(batch([0, 4, 2]), Position(1, 0))
        assert loss.total.requires_grad
        if int(loss.denominator) == 0:
            loss.total.backward()  # type: ignore[no-untyped-call]
            assert loss.total.item() == 0 and torch.isfinite(objective.model.embed_tokens.weight.grad).all()
            return
    raise AssertionError("every seed masked something")


@pytest.mark.parametrize("config", [PLAIN, text_models.LANGUAGE_MODEL], ids=["plain", "adaptive"])
def test_next_symbols_by_hand(config: LanguageModelConfig) -> None:
    objective = language_model(config)
    example = batch(*[[2, *row[1:]] for row in ROWS])
    log_probs = objective.model(example.tokens[:, :-1])
    expected = F.nll_loss(
        log_probs.flatten(0, 1), example.tokens[:, 1:].flatten(), ignore_index=PAD, reduction="sum"
    )
    loss = objective.loss(example, Position(1, 0))
    torch.testing.assert_close(loss.total, expected)
    assert int(loss.denominator) == 6 + 2 + 4
    by_rows = language_model(config, sentence_avg=True).loss(example, Position(1, 0))
    torch.testing.assert_close(by_rows.total, loss.total)
    assert int(by_rows.denominator) == 3 and by_rows.symbols is not None and int(by_rows.symbols) == 12


@pytest.mark.parametrize("config", [PLAIN, text_models.LANGUAGE_MODEL], ids=["plain", "adaptive"])
def test_gradients_of_chosen_symbols_are_those_of_all(config: LanguageModelConfig) -> None:
    model = language_model(config).model
    tokens = batch(*ROWS).tokens
    gradients = []
    for pick in (
        lambda: model.log_probs_of(tokens[:, :-1], tokens[:, 1:]),
        lambda: model(tokens[:, :-1]).gather(2, tokens[:, 1:, None])[..., 0],
    ):
        model.zero_grad()
        pick()[tokens[:, 1:] != PAD].sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", ["masked", "plain", "adaptive"])
@torch.no_grad()
def test_a_batch_is_the_sum_of_its_samples(kind: str) -> None:
    configs = {"plain": PLAIN, "adaptive": text_models.LANGUAGE_MODEL}
    objective = masked_lm() if kind == "masked" else language_model(configs[kind])

    def loss(example: TextBatch) -> Loss:
        return objective.loss(example, Position(2, 5))

    alone = [loss(batch(row, ids=[i])) for i, row in enumerate(ROWS)]
    for together in (batch(*ROWS), batch(*ROWS[::-1], ids=[2, 1, 0], width=10)):
        whole = loss(together)
        torch.testing.assert_close(whole.total, sum(one.total for one in alone), rtol=1e-5, atol=1e-5)
        assert int(whole.denominator) == sum(int(one.denominator) for one in alone)


# --- runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes that are easily learnt: one repeats itself throughout a line, with a stray one now and then."""
    folder, rng = tmp_path_factory.mktemp("text"), np.random.default_rng(0)
    for subset, count in (("train", 60), ("valid", 8)):
        lines = []
        for _ in range(count):
            code, length = rng.integers(12), rng.integers(5, 28)
            codes = [code if rng.random() < 0.9 else rng.integers(12) for _ in range(length)]
            lines.append(" ".join(f"{entry}-{entry % 3}" for entry in codes))
        (folder / f"{subset}.src").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def recipe(name: str, folder: Path, *overrides: str) -> Recipe:
    usual = [
        *(f"task.data={folder}", "common.cpu=true", "common.fp16=false", "common.log_interval=1"),
        *("dataset.max_tokens=120", "optimization.max_update=4", "dataset.validate_interval_updates=4"),
        *("checkpoint.save_interval_updates=0", "lr_scheduler=fixed", "lr_scheduler.warmup_updates=0"),
        "optimization.lr=[0.01]",
    ]
    return load_recipe(name, overrides=[*usual, *SMALL[name], *overrides])


def run(name: str, folder: Path, *overrides: str) -> Trainer:
    trainer = build_run(recipe(name, folder, *overrides))
    trainer.run()
    return trainer


def logged(trainer: Trainer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (trainer.folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["small_code_roberta", "small_lm"])
def test_a_run_learns_and_says_what(name: str, folder: Path) -> None:
    easier = ["task.mask_multiple_length=1", "task.mask_prob=0.2"] if "roberta" in name else []
    often = ["optimization.max_update=120", "dataset.validate_interval_updates=60", "dataset.max_tokens=400"]
    lines = logged(run(name, folder, *easier, *often))
    valid = [line for line in lines if line["split"] == "valid"]
    guessing = math.log2(12)  # bits of one symbol of twelve
    assert valid[-1]["loss"] < 0.8 * guessing
    for line in lines:
        assert line["ppl"] == pytest.approx(2 ** line["loss"], rel=1e-5)
        assert ("accuracy" in line) == ("roberta" in name)
        assert ("tokens_per_second" in line) == (line["split"] == "train")


@pytest.mark.parametrize(("name", "more"), [*((name, []) for name in SMALL), ("small_lm", ADAPTIVE)])
def test_a_run_that_was_interrupted_gives_the_same_parameters(
    name: str, more: list[str], folder: Path
) -> None:
    whole = run(name, folder, *more, "optimization.max_update=7", "checkpoint.save_dir=whole")
    assert len(whole.train) > 7, "the interruptions are to be in the middle of an epoch"
    for stop in (2, 5, 7):
        parts = run(name, folder, *more, f"optimization.max_update={stop}", "checkpoint.save_dir=parts")
    theirs = parts.model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in whole.model.state_dict().items())
    kept = [[line.get("loss") for line in logged(one) if line["split"] == "train"] for one in (whole, parts)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("more", [[], ADAPTIVE], ids=["plain", "adaptive"])
def test_a_language_model_opens(more: list[str], folder: Path) -> None:
    trainer = run("small_lm", folder, *more)
    loaded = auricle.load(trainer.folder / "checkpoints" / "last")
    assert isinstance(loaded.model, TransformerLM) and loaded.dictionary == trainer.dictionary
    assert loaded.dictionary is not None and len(loaded.dictionary) == 16
    line = loaded.dictionary.encode("0-0 1-1 2-2")
    tokens = torch.cat([torch.tensor([loaded.model.start_index]), line])[None]
    assert torch.equal(loaded.model(tokens), trainer.model.eval()(tokens))


def test_a_roberta_opens_with_its_mask(folder: Path) -> None:
    trainer = run("code_roberta", folder)
    loaded = auricle.load(trainer.folder)
    assert isinstance(loaded.model, Roberta) and loaded.dictionary is not None
    assert loaded.dictionary[len(loaded.dictionary) - 1] == MASK
    tokens = torch.cat([torch.tensor([0]), loaded.dictionary.encode("0-0 1-1"), torch.tensor([2])])[None]
    features = loaded.model.extract_features(tokens)
    assert features.shape == (1, 4, 16)
    assert torch.equal(features, trainer.model.eval().extract_features(tokens))


def test_a_dictionary_of_the_folder_goes_first(folder: Path, tmp_path: Path) -> None:
    for subset in ("train", "valid"):
        (tmp_path / f"{subset}.txt").write_text((folder / f"{subset}.src").read_text())
    (tmp_path / "dict.txt").write_text("1-1 9\n0-0 5\n")
    trainer = build_run(recipe("small_lm", tmp_path))
    assert trainer.dictionary is not None and trainer.dictionary.symbols[4:] == ["1-1", "0-0"]
    masked = build_run(recipe("code_roberta", tmp_path))
    assert masked.dictionary is not None and masked.dictionary.symbols[4:] == ["1-1", "0-0", MASK]


def test_labels_may_be_the_text(folder: Path, tmp_path: Path) -> None:
    for subset in ("train", "valid"):
        (tmp_path / f"{subset}.ltr").write_text("A B | \nB A A |\n")
    (tmp_path / "dict.ltr.txt").write_text("| 4\nA 3\nB 2\n")
    trainer = build_run(recipe("small_lm", tmp_path, "task.suffix=ltr"))
    assert trainer.dictionary is not None and trainer.dictionary.symbols[4:] == ["|", "A", "B"]
    assert trainer.train.dataset.source == tmp_path / "train.ltr"


def test_validation_masks_the_same_symbols_every_time(folder: Path) -> None:
    trainer = build_run(recipe("small_code_roberta", folder))
    example = next(iter(trainer.valid["valid"].epoch(1)))
    trainer.model.eval()
    losses = [
        trainer.step.objective.validate(example, Position(VALIDATION_EPOCH, n))[0].total.item()
        for n in (0, 9)
    ]
    assert losses[0] == losses[1]


def test_another_text_may_be_learnt_from_there(folder: Path) -> None:
    first = run("small_lm", folder, "checkpoint.save_dir=first")
    second = build_run(recipe("small_lm", folder, "checkpoint.finetune_from_model=first", "common.seed=9"))
    theirs = first.model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in second.model.state_dict().items())


MISTAKES = {
    ("small_lm", "task.data=nowhere"): "there is no such folder",
    (
        "small_lm",
        "dataset.train_subset=dev",
    ): r"has no dev\.src or dev\.txt: make codes with `auricle tokenize`",
    ("small_lm", "task.suffix=wrd"): r"has no train\.wrd",
    ("small_lm", "criterion=adaptive_loss"): r"set model\.adaptive_softmax_cutoff",
    ("small_lm", "task.output_dictionary_size=5"): "leave it at -1",
    ("small_lm", "task.tokens_per_sample=1"): "expected 2 or more",
    ("small_lm", "model.decoder_attention_heads=5"): "5 attention heads",
    ("small_lm", "model.character_embeddings=true"): "character_embeddings",
    ("code_roberta", "task.mask_prob=0"): r"task\.mask_prob",
    ("code_roberta", "task.mask_whole_words=true"): "leave it false",
    ("code_roberta", "task.random_token_prob=0.95"): "add up to 1 at most, not 1.05",
    ("code_roberta", "task.mask_multiple_length=0"): "must be 1 or more",
    ("code_roberta", "criterion=cross_entropy"): "trained with task masked_lm and criterion masked_lm",
    ("code_roberta", "dataset.max_tokens=3"): "no utterance|no sample",
    ("code_roberta", "model.max_positions=3"): "positions",
}


@pytest.mark.parametrize(("name", "override"), MISTAKES)
def test_mistakes_are_answered_in_one_line(name: str, override: str, folder: Path) -> None:
    with pytest.raises(UserError, match=MISTAKES[name, override]) as error:
        build_run(recipe(name, folder, override))
    assert "\n" not in str(error.value)


def test_two_texts_of_one_name(folder: Path, tmp_path: Path) -> None:
    for suffix in ("src", "txt"):
        (tmp_path / f"train.{suffix}").write_text("a b\n")
    with pytest.raises(UserError, match=r"both train\.src and train\.txt"):
        build_run(recipe("small_lm", tmp_path))
    (tmp_path / "valid.txt").write_text("a\n")
    assert build_run(recipe("small_lm", tmp_path, "task.suffix=txt")).train.dataset.source.suffix == ".txt"


def test_binary_data(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(b"")
    with pytest.raises(UserError, match="binary data are not read"):
        build_run(recipe("small_lm", tmp_path))


def test_a_folder_with_another_dictionary_is_not_gone_on_with(folder: Path, tmp_path: Path) -> None:
    run("small_lm", folder, "checkpoint.save_dir=run")
    for subset in ("train", "valid"):
        (tmp_path / f"{subset}.txt").write_text("x y z\n")
    with pytest.raises(UserError, match="go on with the recipe and the data it was begun with"):
        run("small_lm", tmp_path, "checkpoint.save_dir=run")
