"""Small language models in files, and lexicons to go with them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from auricle.decode.emissions import Emissions
from auricle.decode.language_model import LanguageModel
from auricle.dictionary import Dictionary

TRIGRAM = """\\data\\
ngram 1=6
ngram 2=5
ngram 3=2

\\1-grams:
-2.0\t<unk>
-99\t<s>\t-0.25
-0.7\t</s>
-0.6\ta\t-0.2
-0.9\tb\t-0.35
-0.8\tc\t-0.3

\\2-grams:
-0.5\t<s> a\t-0.15
-0.3\ta b\t-0.4
-0.45\tb b\t-0.1
-0.3\tc </s>
-0.2\tb c\t-0.05

\\3-grams:
-0.1\t<s> a b
-0.15\tb b </s>

\\end\\
"""


def write_trigram(path: Path) -> Path:
    path.write_text(TRIGRAM, encoding="utf-8")
    return path


def write_lexicon(path: Path, words: Sequence[str], end: str = " |") -> Path:
    path.write_text("".join(f"{word}\t{' '.join(word)}{end}\n" for word in words), encoding="utf-8")
    return path


def made_up_words(count: int, letters: str, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    words = {"".join(rng.choice(list(letters), rng.integers(1, 6))) for _ in range(2 * count)}
    return sorted(words)[:count]


def made_up_text(words: Sequence[str], count: int, seed: int = 0) -> list[list[str]]:
    """Sentences in which some words follow each other more than others."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet([0.2] * len(words), size=8)
    return [
        [words[rng.choice(len(words), p=share[i % 8])] for i in range(rng.integers(1, 9))]
        for _ in range(count)
    ]


def noisy_emissions(
    texts: Sequence[str], dictionary: Dictionary, seed: int = 0, noise: float = 1.2
) -> Emissions:
    """What a hesitant recogniser might hear of texts such as "HE IT"."""
    rng = np.random.default_rng(seed)
    clips = []
    for text in texts:
        path = []
        for letter in f"{text} ".replace(" ", "|"):
            path += [0] * rng.integers(0, 3) + [dictionary.index(letter)] * rng.integers(1, 3) + [0]
        logits = rng.normal(0, noise, (len(path), len(dictionary)))
        logits[np.arange(len(path)), path] += 5
        logits[:, 1:4] -= 10
        clips.append(torch.tensor(logits, dtype=torch.float32).log_softmax(-1))
    lengths = torch.tensor([len(clip) for clip in clips])
    return Emissions(pad_sequence(clips, batch_first=True), lengths)


def scores_of_sentences(model: LanguageModel, sentences: Sequence[Sequence[str]]) -> list[float]:
    """What a search would add up for each: word by word, and their ends all at once."""
    states, totals = [], []
    for words in sentences:
        state, total = model.start(1), 0.0
        for number in model.numbers(words):
            scores, state = model.score(state, number[None])
            total += float(scores[0])
        states.append(state)
        totals.append(total)
    together = torch.cat(states)
    model.keep(together)
    return [total + float(end) for total, end in zip(totals, model.finish(together), strict=True)]
