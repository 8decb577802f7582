"""Sequence-to-sequence training: what the decoder is given, what is counted, and a run from start to end."""

import json
from pathlib import Path

import pytest
import torch

import auricle
import text_models
from auricle.config.build import build_run
from auricle.config.load import load_recipe
from auricle.config.schema import Recipe
from auricle.data.collate import Batch
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.train.draws import VALIDATION_EPOCH, Position, SeededDraws
from auricle.train.seq2seq import Seq2SeqObjective, previous_and_targets
from corpora import TINY_CTC, write_corpus

DICTIONARY = Dictionary(["|", "E", "T", "A"])


def recipe(corpus: Path, *overrides: str) -> Recipe:
    changes = [
        f"task.data={corpus}",
        "task.autoregressive=true",
        "~criterion.zero_infinity",
        "criterion._name=label_smoothed_cross_entropy",
        "criterion.label_smoothing=0.1",
        "model._name=wav2vec_seq2seq",
        "model.decoder_embed_dim=12",
        "model.decoder_ffn_embed_dim=16",
        "model.decoder_layers=1",
        "model.decoder_attention_heads=2",
    ]
    return load_recipe("small_ctc", overrides=[*changes, *TINY_CTC, *overrides])


def batch() -> Batch:
    torch.manual_seed(0)
    return Batch(
        ids=torch.arange(2),
        waveforms=torch.randn(2, 400),
        lengths=torch.tensor([400, 300]),
        targets=torch.tensor([[5, 6, 4], [7, 4, 1]]),
        target_lengths=torch.tensor([3, 2]),
    )


def test_inputs_are_the_labels_one_place_later() -> None:
    example = batch()
    assert example.targets is not None and example.target_lengths is not None
    previous, targets = previous_and_targets(example.targets, example.target_lengths)
    assert previous.tolist() == [[2, 5, 6, 4], [2, 7, 4, 1]]
    assert targets.tolist() == [[5, 6, 4, 2], [7, 4, 2, 1]]


def test_loss_and_errors() -> None:
    torch.manual_seed(0)
    model = Wav2Vec2Seq2Seq(text_models.SEQ2SEQ).eval()
    objective = Seq2SeqObjective(model, SeededDraws(1), DICTIONARY, label_smoothing=0.1)
    position = Position(VALIDATION_EPOCH, 0)
    with torch.no_grad():
        loss, errors = objective.validate(batch(), position)
    assert int(loss.denominator) == 7 and loss.counted is not None and int(loss.counted) == 7
    assert float(loss.total) > float(loss.parts["nll_loss"]) * 0.8 > 0
    assert (errors.num_utterances, errors.num_units) == (2, 5)


def test_the_encoder_is_frozen_at_first() -> None:
    model = Wav2Vec2Seq2Seq(text_models.SEQ2SEQ)
    objective = Seq2SeqObjective(model, SeededDraws(1), DICTIONARY, freeze_updates=3)
    for update, frozen in ((2, True), (3, False)):
        model.zero_grad()
        objective.loss(batch(), Position(1, update)).total.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in model.encoder.encoder.parameters()]
        assert all(g is None for g in gradients) == frozen


def test_a_run_learns_resumes_and_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = write_corpus(tmp_path / "corpus")
    # More labels than CTC could fit into the frames are no reason to leave an utterance out.
    lines = (corpus / "train.ltr").read_text().splitlines()
    (corpus / "train.ltr").write_text("\n".join([" ".join(["A"] * 900), *lines[1:]]) + "\n")
    run = "checkpoint.save_dir=run"
    build_run(recipe(corpus, run, "optimization.max_update=3")).run()
    trainer = build_run(recipe(corpus, run, "optimization.max_update=6"))
    assert isinstance(trainer.step.objective, Seq2SeqObjective)
    assert trainer.step.objective.label_smoothing == 0.1 and len(trainer.train.dataset) == 6
    trainer.run()
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert {"loss", "nll_loss", "accuracy", "wer", "uer"} <= logged[-1].keys()
    assert logged[-1]["update"] == 6
    loaded = auricle.load(tmp_path / "run")
    assert isinstance(loaded.model, Wav2Vec2Seq2Seq) and loaded.dictionary is not None
    assert loaded.num_updates in range(1, 7)


def test_an_encoder_of_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = write_corpus(tmp_path / "corpus")
    first = build_run(recipe(corpus, "checkpoint.save_dir=first"))
    first.run()
    second = build_run(recipe(corpus, "checkpoint.save_dir=second", "model.w2v_path=first", "common.seed=9"))
    assert isinstance(first.model, Wav2Vec2Seq2Seq) and isinstance(second.model, Wav2Vec2Seq2Seq)
    theirs = first.model.encoder.state_dict()
    assert all(
        torch.equal(tensor, theirs[name]) for name, tensor in second.model.encoder.state_dict().items()
    )


def test_without_a_past_there_is_no_such_model(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    with pytest.raises(UserError, match=r"task\.autoregressive=true"):
        build_run(recipe(corpus, "task.autoregressive=false"))
