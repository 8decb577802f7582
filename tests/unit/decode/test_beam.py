"""Our beam search against trying every path, and against itself where the answer must not change."""

import itertools
import math
import random
from collections.abc import Iterator

import pytest
import torch

from auricle.decode import beam
from auricle.decode.arpa import read_arpa
from auricle.decode.beam import BeamSearch, mixed
from auricle.decode.decoder import BeamOptions
from auricle.decode.emissions import Emissions
from auricle.decode.trie import Lexicon, read_lexicon
from auricle.decode.viterbi import viterbi
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from language_models import noisy_emissions, write_lexicon, write_trigram

LETTERS = Dictionary(["|", "a", "b", "c"])
BLANK, SILENCE = 0, 4
WIDE = {"beam": 10_000, "beam_threshold": math.inf}
LONGEST = 5


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return read_arpa(write_trigram(tmp_path_factory.mktemp("lm") / "lm.arpa"))


def random_emissions(seed, count=1, frames=LONGEST):
    torch.manual_seed(seed)
    logits = torch.randn(count, frames, len(LETTERS)) * 2
    logits[..., 1:4] -= 50
    return Emissions(logits.log_softmax(-1), torch.full((count,), frames))


def lexicon_of(spellings: dict[str, list[str]]) -> Lexicon:
    words = tuple(spellings)
    units = [
        (label, tuple(LETTERS.index(unit) for unit in spelling))
        for label, word in enumerate(words)
        for spelling in spellings[word]
    ]
    return Lexicon(words, tuple(units))


def collapsed(path) -> tuple[int, ...]:
    return tuple(unit for unit, _ in itertools.groupby(path) if unit != BLANK)


def readings(units, lexicon: Lexicon, unknown: bool) -> Iterator[tuple[tuple[str, ...], bool]]:
    """All ways to read units as words with silence between; whether the last word is whole."""
    if not units:
        yield (), True
        return
    if units[0] == SILENCE:
        yield from readings(units[1:], lexicon, unknown)
    spellings = {spelling for _, spelling in lexicon.spellings}
    beginnings = {spelling[:n] for spelling in spellings for n in range(1, len(spelling) + 1)}
    for label, spelling in lexicon.spellings:
        if units[: len(spelling)] == spelling:
            for words, whole in readings(units[len(spelling) :], lexicon, unknown):
                yield (lexicon.words[label], *words), whole
    if unknown:
        for n in range(1, len(units) + 1):
            if units[:n] in beginnings - spellings:
                for words, whole in readings(units[n:], lexicon, unknown):
                    yield ("<unk>", *words), whole


def every_path(
    emissions: Emissions, options: BeamOptions, lm, lexicon: Lexicon
) -> dict[tuple[str, ...], float]:
    """For each sequence of words the score of its best path."""
    (log_probs,) = emissions.log_probs.double()
    best: dict[tuple[str, ...], float] = {}
    scored: dict[tuple[str, ...], float] = {}
    for path in itertools.product([BLANK, *range(4, len(LETTERS))], repeat=len(log_probs)):
        heard = float(log_probs[range(len(path)), path].sum()) + options.sil_weight * path.count(SILENCE)
        for words, _ in set(readings(collapsed(path), lexicon, options.unk_weight > -math.inf)):
            if words not in scored:
                unknown = words.count("<unk>")
                scored[words] = options.lm_weight * lm.sentence(words) + (
                    options.word_score * (len(words) - unknown)
                    + (options.unk_weight * unknown if unknown else 0)
                )
            best[words] = max(best.get(words, -math.inf), heard + scored[words])
    return best


SEPARATED = {"ab": ["ab|"], "b": ["b|"], "a": ["a|", "aa|"], "c": ["c|"], "bee": ["b|"]}
JOINED = {"ab": ["ab"], "b": ["b"], "aa": ["aa"], "c": ["c"]}


@pytest.mark.parametrize(
    ("spellings", "values"),
    [
        (SEPARATED, {}),
        (JOINED, {}),
        (SEPARATED, {"lm_weight": 0.7, "word_score": 1.5, "sil_weight": -0.4}),
        (JOINED, {"lm_weight": 0.5, "unk_weight": -1.0, "word_score": 0.3}),
    ],
    ids=["separated", "joined", "weighed", "unknown"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_trying_every_path(lm, spellings, values, seed):
    emissions, lexicon = random_emissions(seed), lexicon_of(spellings)
    options = BeamOptions(**WIDE, nbest=40, **values)
    expected = every_path(emissions, options, lm, lexicon)
    (found,) = BeamSearch(LETTERS, options, lexicon=lexicon, lm=lm).decode(emissions)
    ranked = sorted(expected.items(), key=lambda item: -item[1])
    assert found[0].words == ranked[0][0]
    assert len({hypothesis.words for hypothesis in found}) == len(found) == min(40, len(expected))
    for hypothesis, (_, score) in zip(found, ranked, strict=False):
        assert hypothesis.score == pytest.approx(score, abs=1e-5)
        assert hypothesis.score == pytest.approx(expected[hypothesis.words], abs=1e-5)
        assert hypothesis.lm_score == pytest.approx(lm.sentence(hypothesis.words), abs=1e-5)


@pytest.mark.parametrize("seed", range(15))
def test_equals_trying_every_path_in_any_lexicon(lm, seed):
    rng = random.Random(seed)
    words = rng.sample(["a", "b", "c", "ab", "ba", "aa", "cab", "abc", "bb"], rng.randint(1, 5))
    end = rng.choice(["", "|"])
    lexicon = lexicon_of({word: [word + end, rng.choice(["a", "bb", "cab"]) + end] for word in words})
    values = {
        "lm_weight": rng.choice([0.0, 0.7, 2.0]),
        "word_score": rng.choice([-1.0, 0.0, 1.0]),
        "sil_weight": rng.choice([-0.5, 0.0, 0.5]),
        # with `|` at the ends, the last unit of an unknown word may not last, as in flashlight
        "unk_weight": -math.inf if end else rng.choice([-math.inf, -1.0]),
    }
    emissions = random_emissions(seed + 100, frames=rng.randint(1, LONGEST))
    expected = every_path(emissions, BeamOptions(**values), lm, lexicon)
    options = BeamOptions(**WIDE, nbest=20, **values)
    (found,) = BeamSearch(LETTERS, options, lexicon=lexicon, lm=lm).decode(emissions)
    ranked = sorted(expected.values(), reverse=True)
    assert len(found) == min(20, len(expected))
    assert [one.score for one in found] == pytest.approx(ranked[:20], abs=1e-5)
    assert all(one.score == pytest.approx(expected[one.words], abs=1e-5) for one in found)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_a_lexicon_equals_trying_every_path(lm, seed):
    emissions = random_emissions(seed, frames=4)
    options = BeamOptions(**WIDE, lm_weight=0.8, sil_weight=0.5)
    (log_probs,) = emissions.log_probs.double()
    best = (-math.inf, ())
    for path in itertools.product([BLANK, *range(4, len(LETTERS))], repeat=4):
        units = collapsed(path)
        # as in flashlight, a search begins after silence: that unit costs nothing in the first frame
        asked = units[1:] if path[0] == SILENCE else units
        score = float(log_probs[range(4), path].sum()) + 0.5 * path.count(SILENCE)
        best = max(best, (score + 0.8 * lm.sentence([LETTERS[unit] for unit in asked]), units))
    (found,) = BeamSearch(LETTERS, options, lm=lm).decode(emissions)
    assert found[0].tokens == best[1] and found[0].score == pytest.approx(best[0], abs=1e-5)


def test_without_anything_to_weigh_it_is_greedy_search():
    emissions = random_emissions(3, count=4, frames=20)
    found = BeamSearch(LETTERS, BeamOptions(beam=200)).decode(emissions)
    greedy = viterbi(emissions.log_probs, emissions.lengths, LETTERS)
    for (hypothesis,), other in zip(found, greedy, strict=True):
        assert hypothesis.tokens == other.tokens and hypothesis.words == other.words
        assert hypothesis.timesteps == other.timesteps
        assert [span.start for span in hypothesis.spans] == [span.start for span in other.spans]
        assert hypothesis.score == pytest.approx(other.score, abs=1e-4)
        assert hypothesis.acoustic_score == pytest.approx(other.score, abs=1e-4)


@pytest.fixture
def search(lm, tmp_path):
    lexicon = read_lexicon(write_lexicon(tmp_path / "lexicon.txt", ["a", "b", "c", "ab", "cab"]), LETTERS)

    def make(**values):
        return BeamSearch(LETTERS, BeamOptions(**{"lm_weight": 0.5, **values}), lexicon=lexicon, lm=lm)

    return make


TEXTS = ["ab c", "cab", "a b a c", "b"]


def test_batches_change_no_answer(search):
    emissions = noisy_emissions(TEXTS, LETTERS)
    together = search(nbest=3).decode(emissions)
    assert [found[0].text for found in together] == TEXTS
    for row, length in enumerate(emissions.lengths):
        alone = Emissions(emissions.log_probs[row : row + 1, :length], length[None])
        (found,) = search(nbest=3).decode(alone)
        assert [one.words for one in found] == [one.words for one in together[row]]
        assert [one.score for one in found] == pytest.approx([one.score for one in together[row]], abs=1e-9)


def test_nothing_past_the_lengths_counts(search):
    emissions = noisy_emissions(TEXTS, LETTERS)
    spoilt = emissions.log_probs.clone()
    for row, length in enumerate(emissions.lengths):
        spoilt[row, length:] = float("nan")
    assert search().decode(Emissions(spoilt, emissions.lengths)) == search().decode(emissions)


def test_words_have_their_frames(search):
    path = [0, 7, 7, 0, 5, 6, 4, 4, 0, 5, 4]  # cab| a|
    log_probs = torch.nn.functional.one_hot(torch.tensor([path]), len(LETTERS)) * 20.0
    emissions = Emissions(log_probs.log_softmax(-1), torch.tensor([len(path)]))
    (found,) = search().decode(emissions)[0]
    assert found.words == ("cab", "a") and found.tokens == (7, 5, 6, 4, 5, 4)
    assert [(span.start, span.end) for span in found.spans] == [(1, 6), (9, 10)]
    assert found.timesteps == (1, 4, 5, 6, 9, 10)
    assert all(span.score == pytest.approx(1.0) for span in found.spans)


def test_no_frames_give_an_empty_hypothesis(search, lm):
    emissions = noisy_emissions(TEXTS, LETTERS)
    lengths = emissions.lengths.clone()
    lengths[1] = 0
    found = search(lm_weight=1.0, word_score=1.0).decode(Emissions(emissions.log_probs, lengths))
    assert found[1][0].words == () and found[1][0].score == pytest.approx(lm.sentence([]))
    assert [one[0].text for one in found] == [TEXTS[0], "", *TEXTS[2:]]
    none = Emissions(torch.zeros(2, 0, len(LETTERS)), torch.zeros(2, dtype=torch.int64))
    assert [one[0].text for one in search().decode(none)] == ["", ""]


def test_impossible_units_do_not_stop_a_search(search):
    emissions = noisy_emissions(TEXTS, LETTERS)
    log_probs = emissions.log_probs.clone()
    log_probs[:, 2] = -float("inf")
    found = search().decode(Emissions(log_probs, emissions.lengths))
    assert all(math.isfinite(one[0].score) for one in found)


@pytest.mark.parametrize("values", [{"beam_size_token": 1}, {"beam": 1}, {"beam_threshold": 0.0}])
def test_the_narrowest_searches_still_answer(search, values):
    assert len(search(**values).decode(noisy_emissions(TEXTS, LETTERS))) == len(TEXTS)


@pytest.mark.parametrize("beam_size", [3, 12])
def test_the_guess_of_what_need_not_be_sorted_changes_nothing(search, monkeypatch, beam_size):
    emissions = noisy_emissions(TEXTS, LETTERS, noise=2.5)
    found = []
    for further in (0.0, 1.0, 1e6):
        monkeypatch.setattr(beam, "FURTHER", further)
        found.append(search(beam=beam_size, nbest=3).decode(emissions))
    assert found[0] == found[1] == found[2]


def test_hashes_of_different_values_differ():
    values = torch.randint(-(2**62), 2**62, (1000,))
    values = torch.cat([values, ~values, values ^ 1, -values, torch.arange(1, 1000)]).unique()
    assert len(mixed(values).unique()) == len(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beam": 0}, "beam is 0: give 1 or more"),
        ({"nbest": 0}, "nbest is 0"),
        ({"beam_size_token": 0}, "beam_size_token is 0"),
        ({"beam_threshold": -1.0}, "beam_threshold is -1.0: give 0 or more"),
        ({"lm_weight": math.nan}, "lm_weight is nan: give a number"),
        ({"word_score": math.inf}, "word_score is inf"),
    ],
)
def test_senseless_options_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        BeamOptions(**values)
