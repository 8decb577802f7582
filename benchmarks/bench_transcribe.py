"""From audio files to text with a model of Base size, against others: python benchmarks/bench_transcribe.py.

One random model with the same weights everywhere, the bundled English recordings, read from the disk by
every contender in every round with the same reader, greedy text. The first contender, transformers' pipeline
one clip at a time in float32, is what the others are compared with.

CTranslate2 (pip install ctranslate2; it is in no extra) converts only models with a layer norm in every
convolution; it takes part with `--layout layer`. `--layout tiny` is a small model, to try the benchmark.

transformers' model is first held against ours and exported, in a process of its own; with `--exported FOLDER`
the export is kept for the next time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from reference import ctc_model, share_weights
from side_by_side import Step, compare, parser, report, serve
from torch import Tensor, nn
from transformers import PreTrainedTokenizer, Wav2Vec2CTCTokenizer

import auricle
from auricle import audio
from auricle.convert.loaded import Loaded
from auricle.decode.backend import for_inference
from auricle.decode.emissions import length_batches, pad
from auricle.decode.viterbi import viterbi
from auricle.dictionary import Dictionary
from auricle.models.build import build_model
from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config

LETTERS = Dictionary([*"|ETAONIHSRDLUMWCFGYPBVK'XJQZ"])
CONFIGS = {
    "group": CTCConfig(num_labels=len(LETTERS)),
    "layer": CTCConfig(
        encoder=Wav2Vec2Config(conv_norm="layer", conv_bias=True, encoder=EncoderConfig(pre_norm=True)),
        num_labels=len(LETTERS),
    ),
    "tiny": CTCConfig(
        encoder=Wav2Vec2Config(
            conv_layers=((32, 10, 5), *[(32, 3, 2)] * 4, *[(32, 2, 2)] * 2),
            encoder=EncoderConfig(
                num_layers=2, dim=64, ffn_dim=128, num_heads=2, pos_conv_kernel=16, pos_conv_groups=4
            ),
        ),
        num_labels=len(LETTERS),
    ),
}
EXPORTED = "BENCH_TRANSCRIBE_ONNX"
"""Variable of the environment: the folder with transformers' export, made once for all contenders."""

DONE = "layout.txt"
"""In that folder once it is complete: of which layout."""

PREPARE = "prepare"
"""What `--serve` calls the process that makes the export."""

Scores = Callable[[Tensor], Tensor]
"""[B, T] float32 -> logits [B, N, V] float32."""


def both(layout: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    config = CONFIGS[layout]
    theirs, ours = ctc_model(config).eval(), build_model(config).eval()
    share_weights(theirs, ours)
    return theirs, ours


def recordings(seconds: float) -> list[str]:
    """Files of some `seconds` together."""
    names, heard = [], 0.0
    for path in sorted((Path(str(files("auricle"))) / "demo" / "audio" / "en").glob("*.opus")):
        if heard < seconds:
            names.append(str(path))
            heard += audio.info(path).num_samples / audio.info(path).sample_rate
    return names


def read(names: Sequence[str]) -> list[Tensor]:
    return [audio.read(name).samples for name in names]


def by_auricle(arguments: argparse.Namespace, precision: str) -> Step:
    _, model = both(arguments.layout)
    loaded = Loaded(for_inference(model, precision), LETTERS, model.config, 0, Path("random"))
    names = recordings(arguments.audio_seconds)

    def step(number: int) -> None:
        auricle.transcribe(names, loaded)

    return step


def by_pipeline(arguments: argparse.Namespace, rows: int, dtype: torch.dtype = torch.float32) -> Step:
    """transformers' own way from samples to text."""
    from transformers import Wav2Vec2FeatureExtractor, pipeline

    model, _ = both(arguments.layout)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = tokenizer_in(Path(folder))
    extractor = Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=False)
    run = pipeline(
        "automatic-speech-recognition",
        model=model.to(dtype),
        tokenizer=tokenizer,
        feature_extractor=extractor,
        dtype=dtype,
        device="cpu",
    )
    names = recordings(arguments.audio_seconds)

    def step(number: int) -> None:
        clips = [{"raw": clip.numpy(), "sampling_rate": 16000} for clip in read(names)]
        if rows > 1:
            clips.sort(key=lambda clip: -len(clip["raw"]))  # the pipeline takes them as they come
        assert len(run(clips, batch_size=rows)) == len(names)

    return step


def tokenizer_in(folder: Path) -> PreTrainedTokenizer:
    """transformers' tokenizer of our letters: there the blank is called <pad>."""
    symbols = ["<pad>", "<s>", *LETTERS.symbols[2:]]
    (folder / "vocab.json").write_text(json.dumps({symbol: i for i, symbol in enumerate(symbols)}))
    return Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))


def by_session(arguments: argparse.Namespace, scores: Callable[[], Scores], rows: int) -> Step:
    """Logits of clips of like length, in batches of at most `rows`, and a greedy decoder."""
    model, names = scores(), recordings(arguments.audio_seconds)

    def step(number: int) -> None:
        clips = read(names)
        for group in length_batches([len(clip) for clip in clips], 16000 * 60, rows):
            waveforms, lengths = pad([clips[i] for i in group])
            logits = model(waveforms)
            frames = torch.tensor([frames_of(length) for length in lengths.tolist()])
            viterbi(logits.log_softmax(-1), frames, LETTERS)

    return step


def frames_of(samples: int) -> int:
    from auricle.models.conv import num_frames

    return num_frames(samples, CONFIGS["group"].encoder.conv_layers)


def onnxruntime_scores(name: str) -> Scores:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    path = str(Path(os.environ[EXPORTED]) / name)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda waveforms: torch.from_numpy(session.run(None, {"waveforms": waveforms.numpy()})[0])


def openvino_scores(hint: str) -> Scores:
    import openvino

    hints = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(Path(os.environ[EXPORTED]) / "float32.onnx"), "CPU", hints)
    return lambda waveforms: torch.tensor(compiled({"waveforms": waveforms.numpy()})[0])


def ctranslate2_scores(compute_type: str) -> Scores:
    import ctranslate2

    folder = str(Path(os.environ[EXPORTED]) / "ctranslate2")
    threads = torch.get_num_threads()
    model = ctranslate2.models.Wav2Vec2(folder, compute_type=compute_type, intra_threads=threads)

    def scores(waveforms: Tensor) -> Tensor:
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(waveforms[:, None].numpy()))
        return torch.from_numpy(np.array(model.encode(view, to_cpu=True)))

    return scores


class Logits(nn.Module):
    """transformers' model as a function of one tensor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.model(waveforms).logits  # type: ignore[no-any-return]


def export_theirs(folder: Path, layout: str) -> None:
    """transformers' model as ONNX files, held against the model at another length; as CTranslate2's."""
    from onnxruntime.quantization import quantize_dynamic

    theirs, _ = both(layout)
    example, free = torch.randn(2, 16000), torch.export.Dim.AUTO
    program = torch.onnx.export(
        Logits(theirs).eval(),
        (example,),
        dynamo=True,
        verbose=False,
        input_names=["waveforms"],
        dynamic_shapes=({0: free, 1: free},),
    )
    program.save(str(folder / "float32.onnx"), external_data=False)
    products = ["MatMul", "Gemm"]
    names = folder / "float32.onnx", folder / "int8.onnx"
    quantize_dynamic(*names, op_types_to_quantize=products, per_channel=True)
    other = torch.randn(1, 23456)
    with torch.inference_mode():
        expected = theirs(other).logits
    torch.testing.assert_close(onnxruntime_scores("float32.onnx")(other), expected, rtol=1e-3, atol=1e-3)
    if layout == "layer":
        from ctranslate2.converters import TransformersConverter

        theirs.save_pretrained(folder / "transformers")
        tokenizer_in(folder).save_pretrained(folder / "transformers")
        TransformersConverter(str(folder / "transformers")).convert(str(folder / "ctranslate2"))
        torch.testing.assert_close(ctranslate2_scores("float32")(other), expected, rtol=1e-3, atol=1e-3)


ONNX = partial(onnxruntime_scores, "float32.onnx"), partial(onnxruntime_scores, "int8.onnx")
CONTENDERS: dict[str, Callable[[argparse.Namespace], Step]] = {
    "transformers pipeline": partial(by_pipeline, rows=1),
    "transformers pipeline, batches of 8": partial(by_pipeline, rows=8),
    "transformers pipeline bf16": partial(by_pipeline, rows=1, dtype=torch.bfloat16),
    "onnxruntime": partial(by_session, scores=ONNX[0], rows=1),
    "onnxruntime int8": partial(by_session, scores=ONNX[1], rows=1),
    "openvino": partial(by_session, scores=partial(openvino_scores, "f32"), rows=1),
    "openvino bf16": partial(by_session, scores=partial(openvino_scores, "bf16"), rows=1),
    "auricle": partial(by_auricle, precision="float32"),
    "auricle bf16": partial(by_auricle, precision="bf16"),
}
LAYER_ONLY: dict[str, Callable[[argparse.Namespace], Step]] = {
    "ctranslate2": partial(by_session, scores=partial(ctranslate2_scores, "float32"), rows=1),
    "ctranslate2 int8": partial(by_session, scores=partial(ctranslate2_scores, "int8"), rows=1),
}


def check(layout: str) -> None:
    """The two must agree before it is of interest which is faster."""
    clip = read(recordings(1.0))[0][None]
    with torch.inference_mode():
        theirs, ours = (model(clip).logits for model in both(layout))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def prepare(arguments: argparse.Namespace) -> None:
    """What the contenders need; a process of its own gives its memory back."""
    folder = Path(os.environ[EXPORTED])
    check(arguments.layout)
    if not (folder / DONE).exists():
        export_theirs(folder, arguments.layout)
        (folder / DONE).write_text(arguments.layout)
    elif (kept := (folder / DONE).read_text()) != arguments.layout:
        raise SystemExit(f"{folder} holds an export of layout {kept}: choose another folder")


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--audio-seconds", type=float, default=60.0, help="of all files together")
    options.add_argument("--layout", choices=CONFIGS, default="group", help="of the norms")
    options.add_argument("--exported", type=Path, metavar="FOLDER", help="to keep the export in")
    arguments = options.parse_args()
    contenders = CONTENDERS | (LAYER_ONLY if arguments.layout == "layer" else {})
    if arguments.serve == PREPARE:
        prepare(arguments)
        return
    if arguments.serve:
        serve(lambda: contenders[arguments.serve](arguments))
        return
    names = arguments.only or list(contenders)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.exported or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[EXPORTED] = str(folder.resolve())
        if subprocess.run([sys.executable, *sys.argv, "--serve", PREPARE], check=False).returncode:
            raise SystemExit("the export failed: see above")
        job = f"transcribing, Base, {arguments.layout} norm, {arguments.audio_seconds:g} s of audio"
        report(job, compare(names, arguments), arguments)


if __name__ == "__main__":
    main()
