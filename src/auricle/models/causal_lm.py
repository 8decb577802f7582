"""Causal language models of the transformers library, over pieces of words: how likely sentences are.

Legend: B batch, S pieces.
"""

import os
from collections.abc import Sequence
from typing import Any

import torch

from auricle.errors import UserError

SENTENCES_AT_ONCE = 16


class CausalLM:
    """A model and its tokenizer; sentences are scored in batches."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Take a causal language model and its tokenizer."""
        self.model = model.eval()
        self.tokenizer = tokenizer
        self._begin = next(
            (i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), None
        )
        if self._begin is None:
            raise UserError(
                "the language model's tokenizer marks no beginning nor end: it scores no sentences"
            )

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
        return cls(model.to(device), tokenizer)

    @torch.inference_mode()
    def sentence_scores(self, sentences: Sequence[Sequence[str]]) -> list[float]:
        """Natural-log probabilities of sentences of words; of their ends too where the model has a mark."""
        scores: list[float] = []
        for first in range(0, len(sentences), SENTENCES_AT_ONCE):
            texts = [" ".join(words) for words in sentences[first : first + SENTENCES_AT_ONCE]]
            scores += self._batch([self._pieces(text) for text in texts])
        return scores

    def _pieces(self, text: str) -> list[int]:
        end = self.tokenizer.eos_token_id
        pieces = self.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return [self._begin, *pieces, *([] if end is None else [end])]

    def _batch(self, rows: Sequence[list[int]]) -> list[float]:
        width = max(2, *map(len, rows))
        tokens = torch.zeros(len(rows), width, dtype=torch.int64)
        real = torch.zeros_like(tokens)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = torch.tensor(row)
            real[number, : len(row)] = 1
        device = next(self.model.parameters()).device
        logits = self.model(input_ids=tokens.to(device), attention_mask=real.to(device)).logits
        log_probs = logits[:, :-1].float().log_softmax(-1).cpu()
        picked = log_probs.gather(2, tokens[:, 1:, None])[..., 0].double()
        totals: list[float] = picked.masked_fill(real[:, 1:] == 0, 0.0).sum(1).tolist()
        return totals
