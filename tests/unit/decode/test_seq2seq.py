"""The search, on models whose scores are known: a table that gives each label the scores of the next."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from auricle.decode.seq2seq import SearchOptions, WrittenHypothesis, search
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.models.adapters import CorpusKey
from auricle.models.config import DecoderConfig, Seq2SeqConfig
from auricle.models.decoder import Memory

DICTIONARY = Dictionary(["|", "A", "B"])
EOS, A, B = 2, 5, 6


@dataclass(frozen=True)
class Rows:
    """Stands for a `DecoderState`: which utterance each row is of."""

    utterances: Tensor

    def select(self, rows: Tensor) -> "Rows":
        return Rows(self.utterances[rows])


class Bigrams(nn.Module):
    """Stands for a `Wav2Vec2Seq2Seq`: the next label depends on the last one and on the utterance."""

    def __init__(self, tables: Tensor, max_positions: int = 50) -> None:
        super().__init__()
        self.tables = tables.log()
        self.config = Seq2SeqConfig(
            num_labels=len(DICTIONARY), decoder=DecoderConfig(max_positions=max_positions)
        )

    def encode(self, waveforms: Tensor, lengths: Tensor | None, *, corpus_key: CorpusKey = None) -> Memory:
        assert not self.training and not torch.is_grad_enabled()
        return Memory(waveforms[:, :1, None])

    def decode(self, tokens: Tensor, memory: Memory | None, state: Rows | None) -> tuple[Tensor, Rows]:
        if state is None:
            assert memory is not None
            state = Rows(memory.frames[:, 0, 0].long())
        return self.tables[state.utterances, tokens[:, -1]][:, None], state


def table(**rows: dict[int, float]) -> Tensor:
    """Probabilities [V, V] of the next label; what is not given is all but impossible."""
    numbers = {"start": EOS, "a": A, "b": B}
    probabilities = torch.full((7, 7), 1e-6)
    for name, row in rows.items():
        for label, probability in row.items():
            probabilities[numbers[name], label] = probability
    return probabilities


# Greedy search takes A (0.6), whose best ending is unlikely; the best answer is B.
GARDEN_PATH = table(start={A: 0.6, B: 0.4}, a={A: 0.5, EOS: 0.3, B: 0.2}, b={EOS: 0.97, A: 0.03})
SHORT = table(start={B: 0.9, A: 0.1}, a={EOS: 1.0}, b={EOS: 0.8, B: 0.2})


def found(*tables: Tensor, **options: float) -> list[list[WrittenHypothesis]]:
    model = Bigrams(torch.stack(tables))
    waveforms = torch.arange(len(tables))[:, None].float()
    result = search(model.train(), waveforms, None, SearchOptions(**options))  # type: ignore[arg-type]
    assert model.training
    return result


def test_a_beam_sees_what_greedy_search_does_not() -> None:
    ((greedy,),) = found(GARDEN_PATH, beam=1, max_len_b=5)
    assert greedy.tokens[0] == A
    ((best, *_),) = found(GARDEN_PATH, beam=3, max_len_b=5)
    assert best.tokens == (B, EOS)
    assert best.score == pytest.approx(float(torch.tensor(0.4 * 0.97).log()) / 2, rel=1e-4)
    assert sum(best.token_scores) / 2 == pytest.approx(best.score)
    assert best.text(DICTIONARY) == "B"


def test_utterances_do_not_disturb_each_other() -> None:
    together = found(GARDEN_PATH, SHORT, GARDEN_PATH, beam=2, max_len_b=6)
    for one, alone in zip(together, (GARDEN_PATH, SHORT, GARDEN_PATH), strict=True):
        assert one == found(alone, beam=2, max_len_b=6)[0]


def test_hypotheses_come_best_first_and_are_as_many_as_the_beam() -> None:
    (beam,) = found(GARDEN_PATH, beam=4, max_len_b=8)
    assert len(beam) == 4 and [one.score for one in beam] == sorted((one.score for one in beam), reverse=True)
    assert all(one.tokens[-1] == EOS and EOS not in one.tokens[:-1] for one in beam)


@pytest.mark.parametrize("beam", [1, 2, 3])
def test_lengths_are_kept(beam: int) -> None:
    endless = table(start={A: 1.0}, a={A: 1.0})
    assert {len(one.tokens) for one in found(endless, beam=beam, max_len_b=4)[0]} <= {2, 3, 4, 5}
    assert found(endless, beam=1, max_len_b=4)[0][0].tokens == (A, A, A, A, EOS)
    (longer,) = found(SHORT, beam=beam, min_len=3, max_len_b=9)
    assert all(len(one.tokens) >= 4 for one in longer)


def test_no_longer_than_the_model_has_positions() -> None:
    endless = Bigrams(table(start={A: 1.0}, a={A: 1.0})[None], max_positions=3)
    ((one,),) = search(endless, torch.zeros(1, 1), None, SearchOptions(beam=1))  # type: ignore[arg-type]
    assert one.tokens == (A, A, EOS)


def test_the_length_penalty_favours_long_answers() -> None:
    long_or_short = table(start={A: 0.5, B: 0.5}, a={A: 0.6, EOS: 0.4}, b={EOS: 0.5, B: 0.5})
    (short,) = found(long_or_short, beam=5, length_penalty=0.0, max_len_b=6)
    (long,) = found(long_or_short, beam=5, length_penalty=3.0, max_len_b=6)
    assert len(short[0].tokens) < len(long[0].tokens)


def test_unknown_labels_can_be_made_unlikely() -> None:
    unsure = table(start={3: 0.6, A: 0.4}, a={EOS: 1.0})
    unsure[3, EOS] = 1.0
    assert found(unsure, beam=1)[0][0].tokens == (3, EOS)
    assert found(unsure, beam=1, unk_penalty=2.0)[0][0].tokens == (A, EOS)


def test_numbers_that_are_none_give_no_hypothesis() -> None:
    assert found(torch.full((7, 7), float("nan")), beam=2, max_len_b=3) == [[]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "beam is 0: give 1 or more"),
        ({"max_len_a": -0.5}, "max_len_a is -0.5: give 0 or more"),
        ({"max_len_b": -1}, "max_len_b is -1: give 0 or more"),
        ({"max_len_a": float("inf")}, "max_len_a is inf: give a number"),
        ({"length_penalty": float("nan")}, "lenpen is nan: give a number"),
    ],
)
def test_numbers_that_no_search_can_have(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SearchOptions(**options)
