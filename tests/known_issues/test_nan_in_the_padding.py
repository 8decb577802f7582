"""NaN past an utterance's end (of a reused buffer, say) once reached the sums of the group norm."""

import torch

from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config


def test_gradients_are_those_of_zeros_there() -> None:
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        conv_layers=((6, 10, 5), (6, 3, 2)),
        encoder=EncoderConfig(num_layers=1, dim=8, ffn_dim=8, num_heads=2, dropout=0.0, attention_dropout=0.0,
                              pos_conv_kernel=4, pos_conv_groups=2),
    )  # fmt: skip
    model = build_model(CTCConfig(encoder=config, num_labels=5))
    lengths = torch.tensor([300, 120])
    waveforms = torch.randn(2, 300)
    gradients = []
    for garbage in (0.0, float("nan")):
        waveforms[1, 120:] = garbage
        model.zero_grad()
        output = model(waveforms, lengths)
        output.logits[0].sum().add(output.logits[1, : output.lengths[1]].sum()).backward()
        gradients.append(
            [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        )
    assert all(torch.equal(zero, nan) for zero, nan in zip(*gradients, strict=True))
