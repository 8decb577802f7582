from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from auricle.convert.loaded import Loaded
from auricle.decode.emissions import pad
from auricle.errors import UserError
from auricle.extract.models import Choice, Embedder, Tokenizer, encoder_of, frame_rate, hearing_of
from auricle.models.build import Model, build_model
from auricle.models.config import CTCConfig, QuantizerConfig, Wav2Vec2Config
from auricle.models.wav2vec import Wav2Vec
from text_models import ROBERTA
from tiny_runs import CONFIG
from wav2vec_models import LAYOUTS, model_of

LENGTHS = (1600, 700, 2311)


def loaded_of(model: Model) -> Loaded:
    return Loaded(model, None, model.config, 0, Path("here.pt"))


def encoder(config: Wav2Vec2Config = CONFIG) -> Loaded:
    torch.manual_seed(2)
    return loaded_of(build_model(config).eval())


def recogniser(config: Wav2Vec2Config = CONFIG) -> Loaded:
    return loaded_of(build_model(CTCConfig(encoder=config, num_labels=8)).eval())


def wav2vec(name: str) -> Loaded:
    return loaded_of(model_of(LAYOUTS[name]))


MODELS = {
    "pre-trained": encoder(),
    "recogniser": recogniser(),
    **{
        f"conformer {positions}": encoder(
            replace(CONFIG, encoder=replace(CONFIG.encoder, layer_type="conformer", positions=positions))
        )
        for positions in ("abs", "rope", "rel_pos")
    },
    "cropping": encoder(replace(CONFIG, crop_seq_to_multiple=3)),
    **{name: wav2vec(name) for name in LAYOUTS},
}
WITH_CODES = {
    "pre-trained": MODELS["pre-trained"],
    "quantized input": encoder(
        replace(CONFIG, quantizer=None, input_quantizer=QuantizerConfig(2, 4)),
    ),
    "recogniser of quantized input": recogniser(replace(CONFIG, input_quantizer=QuantizerConfig(2, 4))),
    **{name: MODELS[name] for name in LAYOUTS if name.startswith(("gumbel", "k-means"))},
}
CHOICES = {
    "context": Choice(),
    "features": Choice(features=True),
    "layer": Choice(layer=0),
    "all": Choice(layer="all"),
    "weights": Choice(layer_weights=(0.25, -2.0)),
}


def padded(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    clips = [torch.randn(length, generator=generator) for length in LENGTHS]
    return *pad(clips), clips


EACH = [
    (name, choice)
    for name, loaded in MODELS.items()
    for choice in (("context", "features") if isinstance(loaded.model, Wav2Vec) else CHOICES)
]


@pytest.mark.parametrize(("name", "choice"), EACH)
def test_a_batch_gives_each_recording_what_it_gets_alone(name: str, choice: str) -> None:
    loaded = MODELS[name]
    embedder = Embedder(loaded, CHOICES[choice])
    waveforms, lengths, clips = padded(torch.Generator().manual_seed(1))
    together = embedder(waveforms, lengths)
    for values, clip in zip(together, clips, strict=True):
        (alone,) = embedder(clip[None], torch.tensor([len(clip)]))
        assert values.dtype == np.float32 and values.shape == alone.shape
        assert values.shape[-2] == encoder_of(loaded).num_frames(len(clip))
        np.testing.assert_allclose(values, alone, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("name", WITH_CODES)
def test_codes_do_not_depend_on_the_batch(name: str) -> None:
    loaded = WITH_CODES[name]
    tokenizer = Tokenizer(loaded)
    waveforms, lengths, clips = padded(torch.Generator().manual_seed(1))
    seen = set()
    for codes, clip in zip(tokenizer(waveforms, lengths), clips, strict=True):
        (alone,) = tokenizer(clip[None], torch.tensor([len(clip)]))
        assert codes.shape == (encoder_of(loaded).num_frames(len(clip)), tokenizer.num_codebooks)
        np.testing.assert_array_equal(codes, alone)
        seen |= set(codes.flatten().tolist())
    assert len(seen) > 1


def test_choices_are_what_the_model_gives() -> None:
    loaded = MODELS["pre-trained"]
    clip = torch.randn(1, 1600)
    with torch.no_grad():
        out = loaded.model.extract_features(clip)  # type: ignore[operator]
        z = loaded.model.latent_features(clip)  # type: ignore[operator]
    expected = {
        "context": out.context,
        "features": z,
        "layer": out.layers[0],
        "all": torch.cat(out.layers),
        "weights": 0.25 * out.layers[0] - 2 * out.layers[1],
    }
    for name, choice in CHOICES.items():
        (values,) = Embedder(loaded, choice)(clip, torch.tensor([1600]))
        np.testing.assert_allclose(values, expected[name].reshape(values.shape), atol=1e-6)
    assert z.shape == (1, 39, 6)


def test_contexts_of_codes_and_of_what_they_were_made_from() -> None:
    model = MODELS["k-means"].model
    assert isinstance(model, Wav2Vec) and model.vector_quantizer is not None
    clip = torch.randn(1, 1600)
    with torch.no_grad():
        z = model.feature_extractor(clip)
        quantized, _ = model.vector_quantizer.forward_idx(z)
        expected = {False: model.feature_aggregator(quantized), True: model.feature_aggregator(z)}
    for unquantized, c in expected.items():
        (values,) = Embedder(MODELS["k-means"], Choice(unquantized=unquantized))(clip, torch.tensor([1600]))
        np.testing.assert_allclose(values, c[0].T, atol=1e-6)
    assert not torch.allclose(expected[False], expected[True])


def test_adapters_are_chosen_by_the_corpus() -> None:
    options = {"layer_type": "trf_adp", "num_adapters": 3, "adapter_dim": 4}
    loaded = encoder(replace(CONFIG, encoder=replace(CONFIG.encoder, **options)))
    clip, lengths = torch.randn(1, 1600), torch.tensor([1600])
    first, last = (Embedder(loaded, Choice(corpus_key=key))(clip, lengths)[0] for key in (0, 2))
    assert not np.allclose(first, last)
    for choice in (Choice(), Choice(corpus_key=3)):
        with pytest.raises(UserError, match="give --corpus-key from 0 to 2"):
            Embedder(loaded, choice)


def test_long_recordings_are_heard_in_equal_parts() -> None:
    """As many as fairseq's script makes: the fewest that are no longer than the limit, rounded down."""
    tokenizer = Tokenizer(WITH_CODES["gumbel"], max_size=1000)
    whole = Tokenizer(WITH_CODES["gumbel"])
    clip, short = torch.randn(2500), torch.randn(900)
    waveforms = torch.nn.utils.rnn.pad_sequence([clip, short], batch_first=True)
    codes, untouched = tokenizer(waveforms, torch.tensor([2500, 900]))
    parts = [whole(part[None], torch.tensor([len(part)]))[0] for part in clip.chunk(3)]
    np.testing.assert_array_equal(codes, np.concatenate(parts))
    np.testing.assert_array_equal(untouched, whole(short[None], torch.tensor([900]))[0])


def test_what_a_model_wants_to_hear() -> None:
    hearing = hearing_of(encoder_of(MODELS["cropping"]))
    assert hearing.num_frames(hearing.receptive_field - 40) == 0
    assert hearing.num_frames(hearing.receptive_field) == 3
    assert frame_rate(encoder_of(MODELS["cropping"])) == 16000 // 40


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [
        ("pre-trained", Choice(layer=2), r"--layer 2: this model has the layers 0 to 1"),
        ("pre-trained", Choice(layer_weights=(1.0,)), "1 --layer-weights: this model has 2 layers"),
        ("pre-trained", Choice(features=True, layer=1), "choose one of"),
        ("pre-trained", Choice(unquantized=True), "--unquantized is for"),
        ("plain", Choice(unquantized=True), "--unquantized is for"),
        ("plain", Choice(layer=1), "no layers to choose from"),
        ("plain", Choice(layer_weights=(1.0,)), "no layers to choose from"),
        ("plain", Choice(corpus_key=1), "no adapters"),
        ("pre-trained", Choice(corpus_key=0), "no adapters"),
    ],
)
def test_what_a_model_has_not_is_said_at_once(name: str, choice: Choice, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Embedder(MODELS[name], choice)


@pytest.mark.parametrize("name", ["plain", "recogniser"])
def test_models_without_codes_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"here\.pt has no quantizer.*give a vq-wav2vec model"):
        Tokenizer(MODELS[name])


def test_models_of_text_are_refused() -> None:
    with pytest.raises(UserError, match="a model of text"):
        Embedder(loaded_of(build_model(ROBERTA)), Choice())


def test_codes_of_what_is_no_number_are_none() -> None:
    loaded = wav2vec("gumbel")
    assert isinstance(loaded.model, Wav2Vec)
    loaded.model.feature_extractor.conv_layers[0][0].weight.data[0] = float("nan")  # type: ignore[index]
    (codes,) = Tokenizer(loaded)(torch.randn(1, 1600), torch.tensor([1600]))
    assert (codes < 0).all()
