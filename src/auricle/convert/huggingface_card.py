"""The page that a Hugging Face folder is shown with: what the model is, and how to run it."""

from auricle.convert import huggingface_keys as keys
from auricle.convert.huggingface_config import kind_of
from auricle.convert.loaded import Loaded
from auricle.models.config import CTCConfig, Wav2Vec2Config

_RECOGNISE = """```python
import soundfile
import torch
from transformers import {model}, Wav2Vec2Processor

processor = Wav2Vec2Processor.from_pretrained("PATH")
model = {model}.from_pretrained("PATH")

audio, rate = soundfile.read("audio.wav")  # {rate} Hz, one channel
inputs = processor(audio, sampling_rate=rate, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
print(processor.batch_decode(logits.argmax(-1)))
```"""

_EXTRACT = """```python
import soundfile
import torch
from transformers import {model}, Wav2Vec2FeatureExtractor

extractor = Wav2Vec2FeatureExtractor.from_pretrained("PATH")
model = {model}.from_pretrained("PATH")

audio, rate = soundfile.read("audio.wav")  # {rate} Hz, one channel
inputs = extractor(audio, sampling_rate=rate, return_tensors="pt")
with torch.no_grad():
    features = model(**inputs).last_hidden_state
```"""

_HEAD = {
    "ctc": "speech recogniser (CTC)",
    "pretraining": "speech encoder with its pre-training heads",
    "encoder": "speech encoder",
}


def model_card(fitted: Loaded) -> str:
    """The text of `README.md`, with the metadata that the hub reads at its top."""
    config, kind = fitted.config, kind_of(fitted.config)
    encoder = config.encoder if isinstance(config, CTCConfig) else config
    assert isinstance(encoder, Wav2Vec2Config)
    family = keys.CLASSES[encoder.encoder.layer_type]
    tags = ["wav2vec2", "speech", "audio", *(["automatic-speech-recognition"] if kind == "ctc" else [])]
    task = "automatic-speech-recognition" if kind == "ctc" else "feature-extraction"
    how = _RECOGNISE if kind == "ctc" else _EXTRACT
    model = family + (keys.HEADS["ctc"] if kind == "ctc" else keys.HEADS["encoder"])
    million = sum(parameter.numel() for parameter in fitted.model.parameters()) / 1e6
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {task}",
        "tags:",
        *(f"- {tag}" for tag in tags),
        "---",
        "",
        f"# {family}: a {_HEAD[kind]}",
        "",
        f"{encoder.encoder.num_layers} layers of width {encoder.encoder.dim}, {million:.1f} million"
        f" parameters, for audio of {encoder.sample_rate} Hz,"
        f" {'normalised' if encoder.normalize else 'as it is'}. Converted by auricle, which checked that the"
        " answers are the same before and after.",
        "",
        how.format(model=model, rate=encoder.sample_rate),
        "",
        "This page says nothing about the data, the licence and the accuracy of the model: add it.",
    ]
    return "\n".join(lines) + "\n"
