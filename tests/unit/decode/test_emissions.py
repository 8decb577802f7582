import pytest
import torch

from auricle.decode.emissions import check_recogniser, emit, length_batches, pad
from auricle.dictionary import Dictionary
from auricle.errors import UserError
from auricle.losses import weigh_blank
from auricle.models.config import Seq2SeqConfig
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec2 import Wav2Vec2Pretraining
from recognisers import HOP, LETTERS, RECEPTIVE_FIELD, tiny_config, tiny_recogniser


def waves(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(length, generator=generator) for length in lengths]


def test_emissions_are_log_probabilities_of_each_frame():
    clips = waves(RECEPTIVE_FIELD + 9 * HOP, 700)
    emissions = emit(tiny_recogniser().model, *pad(clips))
    assert emissions.lengths.tolist() == [10, (700 - RECEPTIVE_FIELD) // HOP + 1]
    total = emissions.log_probs[0, :10].exp().sum(-1)
    torch.testing.assert_close(total, torch.ones(10))
    assert not emissions.log_probs.requires_grad


@pytest.mark.parametrize("options", [{}, {"conv_norm": "layer"}])
def test_company_changes_nothing(options):
    model = tiny_recogniser(**options).model
    clips = waves(900, 30, 2000, 411)
    together = emit(model, *pad(clips))
    for row, clip in enumerate(clips):
        alone = emit(model, *pad([clip]))
        frames = int(alone.lengths[0])
        assert int(together.lengths[row]) == frames
        torch.testing.assert_close(
            together.log_probs[row, :frames], alone.log_probs[0, :frames], atol=1e-4, rtol=0
        )


def test_clips_below_the_receptive_field_have_no_frames():
    emissions = emit(tiny_recogniser().model, *pad(waves(1, RECEPTIVE_FIELD - 1)))
    assert emissions.lengths.tolist() == [0, 0]


def test_the_configured_blank_weight_is_in_the_emissions():
    plain = tiny_recogniser().model
    weighed = Wav2Vec2CTC(tiny_config(blank_weight=3.0, blank_mode="set"))
    weighed.load_state_dict(plain.state_dict())
    batch = pad(waves(800))
    with torch.no_grad():
        logits = plain.eval()(*batch).logits
    torch.testing.assert_close(
        emit(weighed, *batch).log_probs, weigh_blank(logits, 3.0, "set").log_softmax(-1)
    )


def test_the_mode_of_the_model_comes_back():
    model = tiny_recogniser().model
    model.train()
    emit(model, *pad(waves(600)))
    assert model.training
    model.eval()
    emit(model, *pad(waves(600)))
    assert not model.training


def test_half_precision_models_get_half_precision_audio():
    model = tiny_recogniser().model.to(torch.bfloat16)
    assert emit(model, *pad(waves(600))).log_probs.dtype == torch.float32


def test_damaged_weights_are_said_not_decoded():
    model = tiny_recogniser().model
    with torch.no_grad():
        model.proj.bias[3] = torch.nan
    with pytest.raises(UserError, match=r"not numbers on 2 of 3 utterances.*earlier checkpoint"):
        emit(model, *pad(waves(600, 10, 900)))


def test_batches_are_of_like_length_and_hold_every_clip_once():
    lengths = [5, 100, 7, 98, 1, 6]
    batches = length_batches(lengths, 200)
    assert batches == [[1, 3], [2, 5, 0, 4]]


def test_a_clip_longer_than_a_batch_stands_alone():
    assert length_batches([10, 500, 12], 100) == [[1], [2, 0]]
    assert length_batches([], 100) == []


def test_batches_have_at_most_so_many_clips():
    assert [len(batch) for batch in length_batches([1] * 7, 100, max_clips=3)] == [3, 3, 1]


def test_batches_hold_no_more_padding_than_asked():
    lengths = [100, 91, 89, 81, 10]
    assert length_batches(lengths, 1000, padding=0.1) == [[0, 1], [2, 3], [4]]
    assert length_batches([0, 0], 10, padding=0.0) == [[0, 1]]


def test_a_pretrained_model_is_told_to_be_fine_tuned():
    with pytest.raises(UserError, match="fine-tune it first"):
        check_recogniser(Wav2Vec2Pretraining(tiny_config().encoder), Dictionary(LETTERS))


def test_a_missing_dictionary_is_asked_for():
    with pytest.raises(UserError, match="--dictionary"):
        check_recogniser(tiny_recogniser().model, None)
    with pytest.raises(UserError, match="one by one"):
        check_recogniser(Wav2Vec2Seq2Seq(Seq2SeqConfig(encoder=tiny_config().encoder)), Dictionary(LETTERS))


def test_a_dictionary_of_another_size_is_refused():
    with pytest.raises(UserError, match=r"has 5 symbols.*the model 11"):
        check_recogniser(tiny_recogniser().model, Dictionary("A"))
