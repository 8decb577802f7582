"""What a causal language model of letters costs in a search, against one of words, each fused.

    python benchmarks/decoding_table.py an4 run/checkpoints/best an4_decoding
    python benchmarks/bench_causal_fusion.py an4_decoding --layers 6 --dim 512 --updates 80

DEST is what `decoding_table.py` leaves: emissions of a trained recogniser, a lexicon, the training
transcripts. A GPT-2 of each kind learns these for a little while, as what it says decides how many words are
asked about. Times are CPU seconds of one thread, of searches with nothing kept from before.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch.nn.utils.rnn import pad_sequence
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from auricle.cli.decoders import make_choice, make_decoder
from auricle.decode.emissions import Emissions
from auricle.decode.saved import SavedEmissions, load_emissions

MARKS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
SPACE = "\u2581"


def make_tokenizer(kind: str, words: Sequence[str]) -> PreTrainedTokenizerFast:
    """Whose pieces are words, or letters and what stands between words."""
    units = words if kind == "words" else [SPACE, *sorted({letter for word in words for letter in word})]
    pieces = {piece: number for number, piece in enumerate([*MARKS.values(), *units])}
    tokenizer = Tokenizer(models.WordLevel(pieces, "<unk>"))
    if kind == "words":
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:
        tokenizer.normalizer = normalizers.Replace(" ", SPACE)
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **MARKS)


def train(
    tokenizer: PreTrainedTokenizerFast, lines: Sequence[str], shape: argparse.Namespace
) -> GPT2LMHeadModel:
    """A GPT-2 that has seen some of the lines."""
    torch.manual_seed(1)
    heads = max(2, shape.dim // 64)
    options = {"n_layer": shape.layers, "n_embd": shape.dim, "n_head": heads, "n_positions": 256}
    marks = {"bos_token_id": 0, "eos_token_id": 1}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **options, **marks))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3 if shape.dim < 512 else 4e-4)
    rows = [torch.tensor([0, *tokenizer(line, add_special_tokens=False)["input_ids"], 1]) for line in lines]
    draws = random.Random(1)
    for _ in range(shape.updates):
        batch = draws.sample(rows, 16)
        tokens, targets = (pad_sequence(batch, batch_first=True, padding_value=value) for value in (1, -100))
        model(tokens, labels=targets).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def search_seconds(
    folder: Path, lexicon: Path, saved: SavedEmissions, shape: argparse.Namespace
) -> list[float]:
    """CPU seconds of each search of all clips in one batch."""
    choice = make_choice(name="fairseqlm", lm=folder, lexicon=lexicon, beam=shape.beam)
    rows = saved.log_probs[: shape.clips]
    heard = Emissions(pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows]))
    seconds = []
    for _ in range(shape.searches):
        decoder = make_decoder(choice, saved.dictionary, "letter")
        before = time.process_time()
        decoder.decode(heard)
        seconds.append(time.process_time() - before)
    return seconds


def main() -> None:
    """Trains both and prints what their searches take."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("dest", type=Path)
    options.add_argument("--layers", type=int, default=2)
    options.add_argument("--dim", type=int, default=128)
    options.add_argument("--updates", type=int, default=600)
    options.add_argument("--beam", type=int, default=50)
    options.add_argument("--clips", type=int, default=12)
    options.add_argument("--searches", type=int, default=3)
    shape = options.parse_args()
    torch.set_num_threads(1)
    saved = load_emissions(shape.dest / "heard_half_a")
    lexicon = shape.dest / "lexicon.txt"
    words = sorted({line.split("\t")[0] for line in lexicon.read_text(encoding="utf-8").splitlines()})
    lines = (shape.dest / "text" / "train.txt").read_text(encoding="utf-8").splitlines()
    audio = sum(clip.seconds for clip in saved.clips[: shape.clips])
    print(
        f"{shape.layers} layers of {shape.dim}, beam {shape.beam}, {audio:.1f} s of audio, {len(words)} words"
    )
    for kind in ("words", "letters"):
        tokenizer = make_tokenizer(kind, words)
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            train(tokenizer, lines, shape).save_pretrained(folder)
            seconds = search_seconds(Path(folder), lexicon, saved, shape)
        print(f"{kind}: {' '.join(f'{one:.2f}' for one in seconds)} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
