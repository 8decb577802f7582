"""From a configuration to a network: the one place that knows which class goes with which."""

from auricle.models.config import CTCConfig, LanguageModelConfig, ModelConfig, RobertaConfig, Seq2SeqConfig
from auricle.models.ctc import Wav2Vec2CTC
from auricle.models.language_model import TransformerLM
from auricle.models.roberta import Roberta
from auricle.models.seq2seq import Wav2Vec2Seq2Seq
from auricle.models.wav2vec import Wav2Vec
from auricle.models.wav2vec2 import Wav2Vec2, Wav2Vec2Pretraining
from auricle.models.wav2vec_config import Wav2VecConfig

Model = Wav2Vec2 | Wav2Vec2Pretraining | Wav2Vec | Wav2Vec2CTC | Wav2Vec2Seq2Seq | TransformerLM | Roberta


def build_model(config: ModelConfig) -> Model:
    """A network with fresh weights."""
    match config:
        case Wav2VecConfig():
            return Wav2Vec(config)
        case CTCConfig():
            return Wav2Vec2CTC(config)
        case Seq2SeqConfig():
            return Wav2Vec2Seq2Seq(config)
        case LanguageModelConfig():
            return TransformerLM(config)
        case RobertaConfig():
            return Roberta(config)
        case _:
            return Wav2Vec2Pretraining(config) if config.heads else Wav2Vec2(config)
