"""From a configuration to a network: the one place that knows which class goes with which."""

from auricle.models.config import CTCConfig, ModelConfig, Wav2VecConfig
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.wav2vec import Wav2Vec
from auricle.models.wav2vec2 import Wav2Vec2Pretraining

Model = Wav2Vec2Pretraining | Wav2Vec | Wav2Vec2CTC


def build_model(config: ModelConfig) -> Model:
    """A network with fresh weights."""
    if isinstance(config, Wav2VecConfig):
        return Wav2Vec(config)
    if isinstance(config, CTCConfig):
        return Wav2Vec2CTC(config)
    return Wav2Vec2Pretraining(config)
