"""The Python of the documents runs, on models with the strides of the published ones."""

import re
from pathlib import Path

import pytest
import torch

import auricle
from auricle.convert.own import write_model
from auricle.dictionary import Dictionary
from auricle.models.build import build_model
from auricle.models.config import EncoderConfig, RobertaConfig, Wav2Vec2Config
from auricle.models.wav2vec_config import AggregatorConfig, CodebooksConfig, Wav2VecConfig

DOCS = Path(__file__).resolve().parents[2] / "docs"
LAYERS = tuple((8, kernel, stride) for _, kernel, stride in Wav2VecConfig().conv_layers)
VQ = Wav2VecConfig(
    conv_layers=LAYERS,
    aggregator=AggregatorConfig(conv_layers=((8, 2, 1), (8, 3, 1))),
    quantizer=CodebooksConfig("gumbel", num_codebooks=2, num_entries=320),
)
W2V2 = Wav2Vec2Config(
    conv_layers=tuple((8, kernel, stride) for _, kernel, stride in Wav2Vec2Config().conv_layers),
    encoder=EncoderConfig(
        num_layers=2, dim=16, ffn_dim=16, num_heads=2, pos_conv_kernel=4, pos_conv_groups=2
    ),
)
ROBERTA = RobertaConfig(num_symbols=9, max_positions=20, num_layers=1, dim=8, ffn_dim=12, num_heads=2)


def snippets(document: str) -> list[str]:
    """The blocks of a page that open a model."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / document).read_text(encoding="utf-8"), re.S)
    return [block for block in blocks if "auricle.load" in block]


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of ours under the names that the documents use."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    codes = Dictionary(["1-1", "2-2", "3-3", "4-4"])
    for name, config, dictionary in [
        ("vq-wav2vec.pt", VQ, None),
        ("checkpoint_best.pt", W2V2, None),
        ("bert_kmeans.tar", ROBERTA, codes),
    ]:
        Path(name).mkdir()
        write_model(Path(name), build_model(config), config, dictionary, {})
    Path("codes").mkdir()
    Path("codes/train.src").write_text("1-1 2-2 9-9\n")


@pytest.mark.parametrize("document", ["features.md", "from-fairseq.md"])
def test_snippets_run(document: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = snippets(document)
    assert len(blocks) == 2
    names = {"auricle": auricle, "torch": torch, "waveforms": torch.randn(2, 16000), "lengths": None}
    for block in blocks:
        exec(compile(block, document, "exec"), names)
    if document == "features.md":
        assert capsys.readouterr().out == "torch.Size([1, 60, 2])\n"


def test_the_shapes_that_fairseq_s_documentation_prints() -> None:
    model = auricle.load("vq-wav2vec.pt").model
    wav_input_16khz = torch.randn(1, 10000)
    z = model.feature_extractor(wav_input_16khz)
    _, idxs = model.vector_quantizer.forward_idx(z)
    c = model.feature_aggregator(z)
    assert idxs.shape == torch.Size([1, 60, 2]) and idxs.dtype == torch.int64
    assert z.shape == c.shape == (1, 8, 60)
