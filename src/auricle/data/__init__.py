"""From a manifest, or a text, to batches."""

from auricle.data.collate import Batch, SetAside, Utterance
from auricle.data.dataset import SpeechDataset
from auricle.data.loader import BatchLoader

__all__ = ["Batch", "BatchLoader", "SetAside", "SpeechDataset", "Utterance"]
