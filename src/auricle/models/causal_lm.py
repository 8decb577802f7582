"""Causal language models of the transformers library, over pieces of words: how likely sentences are.

Legend: B batch, S pieces, P pieces of a prefix, H heads, D channels of a head, V pieces there are.
"""

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from auricle.errors import UserError

SENTENCES_AT_ONCE = 16

TOLERANCE = 1e-3
"""How much log-probabilities may differ that are computed at once and piece by piece."""


@dataclass(frozen=True, slots=True)
class CausalState:
    """A prefix, computed: its keys and values [H, P, D] of each layer."""

    layers: tuple[tuple[Tensor, Tensor], ...]

    @property
    def num_pieces(self) -> int:
        """P."""
        return self.layers[0][0].shape[1]


@dataclass(frozen=True, slots=True)
class Step:
    """What some pieces more give.

    Attributes:
        log_probs: [B, V] float32, of the piece after them.
        later: Of each row, the log-probabilities of its pieces but the first, summed.
        states: For the pieces after them.
    """

    log_probs: Tensor
    later: list[float]
    states: list[CausalState]


class CausalLM:
    """A model and its tokenizer; sentences are scored in batches."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Take a causal language model and its tokenizer."""
        self.model = model.eval()
        self.tokenizer = tokenizer
        begin = next((i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), None)
        if begin is None:
            raise UserError(
                "the language model's tokenizer marks no beginning nor end: it scores no sentences"
            )
        self.begin: int = begin
        self._takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> "CausalLM":
        """Read a folder; weights from safetensors only, and no code that it may hold is run.

        Raises:
            UserError: transformers is not installed, or the folder holds no causal language model.
        """
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError:
            raise UserError("transformers is not installed: pip install transformers") from None
        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
            model: Any = AutoModelForCausalLM.from_pretrained(str(folder), use_safetensors=True, **options)
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{folder}: no causal language model of transformers ({reason})") from None
        if len(tokenizer) > model.config.vocab_size:
            raise UserError(
                f"{folder}: the tokenizer has {len(tokenizer)} pieces, the model {model.config.vocab_size}: "
                "they are not of one model"
            )
        return cls(model.to(device), tokenizer)

    @torch.inference_mode()
    def sentence_scores(self, sentences: Sequence[Sequence[str]]) -> list[float]:
        """Natural-log probabilities of sentences of words; of their ends too where the model has a mark."""
        scores: list[float] = []
        for first in range(0, len(sentences), SENTENCES_AT_ONCE):
            texts = [" ".join(words) for words in sentences[first : first + SENTENCES_AT_ONCE]]
            scores += self._batch([self._marked(text) for text in texts])
        return scores

    @property
    def end(self) -> int | None:
        """What marks the end of a sentence, if there is such a piece."""
        end: int | None = self.tokenizer.eos_token_id
        return end

    @property
    def device(self) -> torch.device:
        """Where it is."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def pieces(self, text: str) -> list[int]:
        """The pieces of a text, without marks."""
        pieces: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return pieces

    def pieces_of_each(self, texts: Sequence[str]) -> list[list[int]]:
        """The same of many texts, none of them empty, which takes less time."""
        pieces: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return pieces

    @torch.inference_mode()
    def step(self, pieces: Sequence[Sequence[int]], states: Sequence[CausalState | None]) -> Step:
        """Goes on from prefixes of any lengths, which are padded on the left, and not computed again.

        Args:
            pieces: Of each row, one or more.
            states: Of each row, what stands before; None: nothing.

        Raises:
            UserError: A row gets longer than the model can be.
        """
        before = [0 if state is None else state.num_pieces for state in states]
        longest, width = max(before), max(map(len, pieces))
        tokens = torch.zeros(len(pieces), width, dtype=torch.int64)
        real = torch.zeros(len(pieces), longest + width, dtype=torch.int64)
        positions = torch.zeros_like(tokens)
        for row, (own, past) in enumerate(zip(pieces, before, strict=True)):
            tokens[row, : len(own)] = torch.tensor(own)
            real[row, longest - past : longest + len(own)] = 1
            positions[row, : len(own)] = torch.arange(past, past + len(own))
        self._check_length(int(positions.max()) + 1)
        options = {"position_ids": positions.to(self.device)} if self._takes_positions else {}
        output = self.model(
            input_ids=tokens.to(self.device),
            attention_mask=real.to(self.device),
            past_key_values=_cache(states, longest),
            use_cache=True,
            **options,
        )
        log_probs = output.logits.float().log_softmax(-1)
        layers = [(layer.keys, layer.values) for layer in output.past_key_values.layers]
        ends = torch.tensor([len(own) - 1 for own in pieces], device=self.device)
        known = log_probs[:, :-1].gather(2, tokens[:, 1:, None].to(self.device))[..., 0].double()
        later = known.masked_fill(real[:, longest + 1 :].to(self.device) == 0, 0.0).sum(1).tolist()
        places = [slice(longest - past, longest + len(own)) for own, past in zip(pieces, before, strict=True)]
        return Step(
            log_probs[torch.arange(len(pieces), device=self.device), ends],
            later,
            [
                CausalState(tuple((k[row, :, place].clone(), v[row, :, place].clone()) for k, v in layers))
                for row, place in enumerate(places)
            ],
        )

    def check_steps(self) -> None:
        """Makes sure that this model can go on from what it kept.

        Raises:
            UserError: It cannot, or answers otherwise than without.
        """
        a, b, c = (number % self.model.config.vocab_size for number in (3, 5, 7))
        try:
            first = self.step([[self.begin]], [None])
            second = self.step([[a, b]], first.states)
            both = self.step([[c], [b]], [*second.states, *first.states])
            whole = [self.step([[self.begin, *rest]], [None]).log_probs for rest in ([a, b, c], [b])]
            apart = float((both.log_probs - torch.cat(whole)).abs().max())
        except (AttributeError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise UserError(
                f"this language model keeps no state that a search could go on from ({error}): rank lists "
                "with it, by --rescore-lm"
            ) from None
        if apart > TOLERANCE:
            raise UserError(
                "this language model answers otherwise when it goes on from a state that it kept: rank lists "
                "with it, by --rescore-lm"
            )

    def _check_length(self, count: int) -> None:
        most = getattr(self.model.config, "max_position_embeddings", None)
        if most is not None and count > most:
            raise UserError(
                f"the language model takes {most} pieces, and an utterance has more: cut the recording into "
                "shorter ones"
            )

    def _marked(self, text: str) -> list[int]:
        return [self.begin, *self.pieces(text), *([] if self.end is None else [self.end])]

    def _batch(self, rows: Sequence[list[int]]) -> list[float]:
        width = max(2, *map(len, rows))
        tokens = torch.zeros(len(rows), width, dtype=torch.int64)
        real = torch.zeros_like(tokens)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = torch.tensor(row)
            real[number, : len(row)] = 1
        logits = self.model(input_ids=tokens.to(self.device), attention_mask=real.to(self.device)).logits
        log_probs = logits[:, :-1].float().log_softmax(-1).cpu()
        picked = log_probs.gather(2, tokens[:, 1:, None])[..., 0].double()
        totals: list[float] = picked.masked_fill(real[:, 1:] == 0, 0.0).sum(1).tolist()
        return totals


def _cache(states: Sequence[CausalState | None], longest: int) -> Any:
    """The states side by side as transformers wants them, filled up on the left; None where all are empty."""
    if longest == 0:
        return None
    from transformers import DynamicCache

    some = next(state for state in states if state is not None)
    nothing = tuple((keys[:, :0], values[:, :0]) for keys, values in some.layers)
    rows = [nothing if state is None else state.layers for state in states]
    cache = DynamicCache()
    for number in range(len(nothing)):
        keys, values = (
            torch.stack([F.pad(row[number][i], (0, 0, longest - row[number][i].shape[1], 0)) for row in rows])
            for i in (0, 1)
        )
        cache.update(keys, values, number)
    return cache
