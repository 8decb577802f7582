"""Our beam search against flashlight's: the same words and scores, with wide beams."""

import random

import pytest
import torch

from auricle import audio
from auricle.decode.arpa import read_arpa, write_arpa
from auricle.decode.beam import BeamSearch
from auricle.decode.decoder import BeamOptions
from auricle.decode.emissions import Emissions, emit, pad
from auricle.decode.estimate import EstimationOptions, estimate
from auricle.decode.lexicon import (
    FlashlightDecoder,
    FlashlightSettings,
    _begin_worker,
    _decode_in_worker,
    is_kenlm_binary,
)
from auricle.decode.trie import read_lexicon
from auricle.dictionary import Dictionary, words_to_letters
from auricle.errors import UserError
from language_models import made_up_text, made_up_words, noisy_emissions, write_lexicon
from recognisers import LETTERS, tiny_recogniser, write_speech

pytest.importorskip(
    "flashlight.lib.text.decoder", reason="flashlight-text is not installed (Python 3.12 at most)"
)

DICTIONARY = Dictionary([*LETTERS, "S"])
WORDS = made_up_words(150, "ETAONIS")
WIDE = {"beam": 150, "beam_threshold": 200.0}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A trigram model of words, a 4-gram model of letters, and a lexicon with words that the model lacks."""
    folder = tmp_path_factory.mktemp("lm")
    text = made_up_text(WORDS[:140], 600)
    write_arpa(estimate(text, EstimationOptions(3)), folder / "words.arpa")
    letters = [words_to_letters(" ".join(words)).split() for words in text]
    write_arpa(estimate(letters, EstimationOptions(4)), folder / "letters.arpa")
    write_lexicon(folder / "lexicon.txt", WORDS)
    with open(folder / "lexicon.txt", "a", encoding="utf-8") as file:
        file.write("".join(f"{word}2\t{' '.join(word)} |\n" for word in WORDS[:5]))  # of the same sound
        file.write(f"{WORDS[7]}\t{' '.join(WORDS[8])} |\n")  # of two spellings
    return folder


def synthetic(count):
    texts = [" ".join(words) for words in made_up_text(WORDS, count, seed=5)]
    return noisy_emissions(texts, DICTIONARY, noise=1.6)


def of_a_model(count, folder):
    """What a model of random weights hears in recordings of noise: nothing is sure."""
    recogniser = tiny_recogniser(seed=4)
    clips = [write_speech(folder / f"{n}.wav", 0.1 + 0.005 * n, seed=n) for n in range(count)]
    emissions = emit(recogniser.model, *pad([audio.read(clip).samples for clip in clips]))
    return Emissions(torch.nn.functional.pad(emissions.log_probs, (0, 1), value=-20.0), emissions.lengths)


def compare(emissions, own, other):
    """The best words and their scores are equal."""
    for (ours, *_), (theirs, *_) in zip(own.decode(emissions), other.decode(emissions), strict=True):
        assert ours.words == theirs.words and ours.tokens == theirs.tokens
        assert ours.score == pytest.approx(theirs.score, abs=1e-4)
        assert ours.lm_score == pytest.approx(theirs.lm_score, abs=1e-4)
        assert ours.acoustic_score == pytest.approx(theirs.acoustic_score, abs=1e-3)


def both(files, options):
    lexicon = read_lexicon(files / "lexicon.txt", DICTIONARY)
    own = BeamSearch(DICTIONARY, options, lexicon=lexicon, lm=read_arpa(files / "words.arpa"))
    return own, FlashlightDecoder(FlashlightSettings(DICTIONARY, options, lexicon, files / "words.arpa"))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"lm_weight": 3.2, "word_score": -0.3, "sil_weight": -0.2},
        {"lm_weight": 0.5, "word_score": 2.0, "unk_weight": -3.0},
        {"beam": 60, "beam_threshold": 25.0, "beam_size_token": 8},
    ],
    ids=["defaults", "weights", "unknown", "narrow"],
)
def test_with_a_lexicon(files, values):
    compare(synthetic(8), *both(files, BeamOptions(**{**WIDE, **values})))


def test_what_a_model_hears(files, tmp_path):
    compare(of_a_model(8, tmp_path), *both(files, BeamOptions(**WIDE)))


@pytest.mark.parametrize("seed", range(12))
def test_any_options(tmp_path, seed):
    """Models of any order, pruned or not, that know all words or half; weights and limits of all sizes."""
    rng = random.Random(seed)
    words = made_up_words(rng.randint(8, 60), "ETAON"[: rng.randint(2, 5)], seed=seed)
    text = made_up_text(words[: round(len(words) * rng.choice([1.0, 0.5]))], 200, seed=seed)
    prune = rng.choice([(0,), (0, 0, 1)])
    write_arpa(estimate(text, EstimationOptions(rng.randint(2, 5), prune)), tmp_path / "words.arpa")
    write_lexicon(tmp_path / "lexicon.txt", words)
    options = BeamOptions(
        beam=rng.choice([5, 20, 100]),
        beam_threshold=rng.choice([5.0, 20.0, 100.0]),
        beam_size_token=rng.choice([None, 2, 4]),
        lm_weight=rng.choice([0.5, 2.0, 4.0]),
        word_score=rng.choice([-2.0, 0.0, 1.5]),
        sil_weight=rng.choice([-0.3, 0.0, 0.4]),
        nbest=rng.choice([1, 5]),
    )
    texts = [" ".join(sentence) for sentence in made_up_text(words, 4, seed=seed + 1)]
    compare(
        noisy_emissions(texts, DICTIONARY, seed=seed, noise=rng.choice([0.8, 2.5])), *both(tmp_path, options)
    )


@pytest.mark.parametrize("nbest", [1, 8])
def test_pieces_of_words(tmp_path, nbest):
    """Without `|` among the units, without a lexicon, words beginning with a mark."""
    dictionary = Dictionary(["\u2581a", "b", "\u2581b", "ab", "\u2581ab", "c"])
    rng = random.Random(0)
    text = [[rng.choice(dictionary.symbols[4:]) for _ in range(rng.randint(1, 9))] for _ in range(200)]
    write_arpa(estimate(text, EstimationOptions(3)), tmp_path / "lm.arpa")
    torch.manual_seed(0)
    log_probs = (2 * torch.randn(4, 25, len(dictionary))).log_softmax(-1)
    emissions = Emissions(log_probs, torch.tensor([25, 20, 7, 1]))
    options = BeamOptions(beam=100, beam_size_token=5, lm_weight=1.5, nbest=nbest)
    lm = read_arpa(tmp_path / "lm.arpa")
    own = BeamSearch(dictionary, options, lm=lm, post_process="sentencepiece")
    settings = FlashlightSettings(dictionary, options, None, tmp_path / "lm.arpa", "sentencepiece")
    compare(emissions, own, FlashlightDecoder(settings))


@pytest.mark.slow
def test_two_hundred_utterances(files, tmp_path):
    own, other = both(files, BeamOptions(beam=400, beam_threshold=200.0))
    compare(synthetic(150), own, other)
    compare(of_a_model(50, tmp_path), own, other)


def test_without_a_language_model(files):
    lexicon, options = read_lexicon(files / "lexicon.txt", DICTIONARY), BeamOptions(**WIDE)
    other = FlashlightDecoder(FlashlightSettings(DICTIONARY, options, lexicon))
    compare(synthetic(4), BeamSearch(DICTIONARY, options, lexicon=lexicon), other)


def test_without_a_lexicon(files):
    options = BeamOptions(beam=150, beam_threshold=200.0, lm_weight=1.3, sil_weight=0.2)
    own = BeamSearch(DICTIONARY, options, lm=read_arpa(files / "letters.arpa"))
    other = FlashlightDecoder(FlashlightSettings(DICTIONARY, options, None, files / "letters.arpa"))
    compare(synthetic(4), own, other)


def test_n_best_lists(files):
    options = BeamOptions(**WIDE, nbest=10)
    own, other = both(files, options)
    emissions = synthetic(4)
    for ours, theirs in zip(own.decode(emissions), other.decode(emissions), strict=True):
        assert [one.words for one in ours] == [one.words for one in theirs]
        assert [one.score for one in ours] == pytest.approx([one.score for one in theirs], abs=1e-4)


def test_spans_are_the_same(files):
    own, other = both(files, BeamOptions(**WIDE))
    emissions = synthetic(4)
    for (ours,), (theirs,) in zip(own.decode(emissions), other.decode(emissions), strict=True):
        assert [(s.start, s.end) for s in ours.spans] == [(s.start, s.end) for s in theirs.spans]


@pytest.mark.slow
def test_worker_processes_give_the_same(files):
    lexicon = read_lexicon(files / "lexicon.txt", DICTIONARY)
    settings = FlashlightSettings(DICTIONARY, BeamOptions(nbest=2), lexicon, files / "words.arpa")
    emissions, pooled = synthetic(4), FlashlightDecoder(settings, num_workers=2)
    try:
        assert pooled.decode(emissions) == FlashlightDecoder(settings).decode(emissions)
    finally:
        pooled.close()


def test_a_damaged_language_model_is_one_line(files, tmp_path):
    (tmp_path / "lm.arpa").write_text("no model")
    lexicon = read_lexicon(files / "lexicon.txt", DICTIONARY)
    with pytest.raises(UserError, match=r"lm.arpa: KenLM cannot read it .*: try --engine own"):
        FlashlightDecoder(FlashlightSettings(DICTIONARY, BeamOptions(), lexicon, tmp_path / "lm.arpa"))


def test_a_damaged_language_model_is_one_line_from_workers_too(files, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr("auricle.decode.lexicon._of_this_worker", None)
    (tmp_path / "lm.arpa").write_text("no model")
    lexicon = read_lexicon(files / "lexicon.txt", DICTIONARY)
    settings = FlashlightSettings(DICTIONARY, BeamOptions(), lexicon, tmp_path / "lm.arpa")
    _begin_worker(settings)
    with pytest.raises(UserError, match="KenLM cannot read it"):
        _decode_in_worker(synthetic(1).log_probs[0].numpy())


@pytest.mark.parametrize("with_lexicon", [True, False])
def test_a_language_model_of_other_words_is_refused(files, with_lexicon):
    lexicon = read_lexicon(files / "lexicon.txt", DICTIONARY) if with_lexicon else None
    other = files / ("letters.arpa" if with_lexicon else "words.arpa")
    other.with_name("lower.arpa").write_text(other.read_text().lower())
    with pytest.raises(UserError, match=r"lower\.arpa: the language model knows none of"):
        FlashlightDecoder(FlashlightSettings(DICTIONARY, BeamOptions(), lexicon, files / "lower.arpa"))


def test_kenlm_binaries_are_known_by_their_first_bytes(tmp_path):
    (tmp_path / "lm").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    assert is_kenlm_binary(tmp_path / "lm") and not is_kenlm_binary(tmp_path / "nowhere")
