"""``auricle bench``: how fast a recogniser is on this machine, and where the time goes."""

import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auricle.cli.backend import BackendOption, PrecisionOption, open_model
from auricle.cli.device import pick_device
from auricle.cli.options import MODEL, DeviceOption
from auricle.cli.output import check_writable_file
from auricle.cli.progress import progress
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.cli.bench_run import Measured
    from auricle.convert.loaded import Loaded
    from auricle.decode.arithmetic import Precision

Arch = Literal["base", "large"]


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Audio files or folders; without any, bundled recordings."),
    ] = None,
    model: Annotated[Path | None, MODEL] = None,
    arch: Annotated[
        Arch, typer.Option(help="Without --model: a model of this size with random weights.")
    ] = "base",
    seconds: Annotated[float, typer.Option(min=1.0, help="About how much of the bundled audio.")] = 60.0,
    rounds: Annotated[int, typer.Option(min=1, help="Measured, after one to warm up.")] = 3,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the CPU.", show_default="as torch chooses")
    ] = None,
    batch_seconds: Annotated[
        float, typer.Option(min=1.0, max=86400.0, help="Audio in a batch, as in transcribe.")
    ] = 30.0,
    device: DeviceOption = None,
    backend: BackendOption = None,
    precision: PrecisionOption = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="A file to write the numbers to.", show_default=False)
    ] = None,
) -> None:
    """Measure a recogniser: seconds of audio a second, and the time of each stage.

    Files go the way of `auricle transcribe`, from the disk to the text. The share of the peak compares the
    model's products with one large matrix product in the same precision on the same device.
    """
    import torch

    from auricle.cli.bench_run import measure
    from auricle.cli.transcribe import find_audio
    from auricle.decode.backend import ExportedCTC, precision_of
    from auricle.decode.emissions import check_recogniser
    from auricle.files import atomic_write_text

    if json_file is not None:
        check_writable_file(json_file)
    if threads is not None:
        torch.set_num_threads(threads)
    names = find_audio(paths) if paths else _bundled(seconds)
    if model is None and backend not in (None, "torch"):
        raise UserError(f"--backend {backend} needs --model: a checkpoint, or what auricle export wrote")
    loaded = open_model(model, device, backend, precision) if model else _random(arch, device, precision)
    recogniser, dictionary = check_recogniser(loaded.model, loaded.dictionary)
    with progress("rounds", rounds + 1) as advance:
        measured = measure(
            recogniser,
            dictionary,
            names,
            batch_seconds=batch_seconds,
            rounds=rounds,
            on_round=advance,
        )
    facts = {
        "model": str(model or f"{arch}, random weights"),
        "backend": backend or ("onnxruntime" if isinstance(recogniser, ExportedCTC) else "torch"),
        "precision": precision_of(recogniser),
        "device": str(recogniser.proj.weight.device),
        "threads": torch.get_num_threads(),
        "rounds": rounds,
        "batch_seconds": batch_seconds,
        "files": len(names),
    }
    typer.echo(_table(facts, measured))
    if json_file is not None:
        numbers = {
            **facts,
            **asdict(measured),
            "audio_seconds_per_second": measured.audio_seconds / measured.seconds,
            "share_of_peak": measured.share_of_peak,
        }
        atomic_write_text(json_file, json.dumps(numbers, indent=1) + "\n")


def _bundled(seconds: float) -> list[str]:
    """As many of the bundled recordings as make some `seconds`, in the order of their names."""
    from auricle import audio

    names: list[str] = []
    heard = 0.0
    folder = Path(str(files("auricle") / "demo" / "audio" / "en"))
    for path in sorted(folder.glob("*.opus")):
        if heard >= seconds:
            break
        names.append(str(path))
        header = audio.info(path)
        heard += header.num_samples / header.sample_rate
    return names


def _random(arch: Arch, device: str | None, precision: "Precision | None") -> "Loaded":
    """A model of a published size: how fast it is does not depend on what it has learned."""
    import torch

    from auricle.convert.loaded import Loaded
    from auricle.decode.backend import for_inference
    from auricle.dictionary import Dictionary
    from auricle.models.config import CTCConfig, EncoderConfig, Wav2Vec2Config
    from auricle.models.ctc import Wav2Vec2CTC

    large = EncoderConfig(num_layers=24, dim=1024, ffn_dim=4096, num_heads=16, pre_norm=True)
    encoders = {
        "base": Wav2Vec2Config(),
        "large": Wav2Vec2Config(conv_norm="layer", conv_bias=True, normalize=True, encoder=large),
    }
    letters = Dictionary([*"|ETAONIHSRDLUMWCFGYPBVK'XJQZ"])
    config = CTCConfig(encoder=encoders[arch], num_labels=len(letters))
    torch.manual_seed(0)
    built = Wav2Vec2CTC(config).eval().to(pick_device(device))
    return Loaded(for_inference(built, precision or "float32"), letters, config, 0, Path(arch))


def _table(facts: dict[str, object], measured: "Measured") -> str:
    """What was found, for reading."""
    from auricle.cli.bench_run import IN_MODEL

    lines = [", ".join(f"{name} {value}" for name, value in facts.items()), ""]
    for name, taken in measured.stages.items():
        part = "  " if name in IN_MODEL else ""
        lines.append(f"{part + name:<14}{taken:9.3f} s {100 * taken / measured.seconds:6.1f} %")
    speed = measured.audio_seconds / measured.seconds
    lines += [
        f"{'all':<14}{measured.seconds:9.3f} s for {measured.audio_seconds:.1f} s of audio",
        "",
        f"audio seconds per second  {speed:.1f}",
        f"memory                    {measured.memory_mib:.0f} MiB at most",
    ]
    if measured.peak is not None and measured.share_of_peak is not None:
        rates = measured.operations / measured.stages["model"] / 1e9, measured.peak / 1e9
        share = 100 * measured.share_of_peak
        lines.append(f"share of the peak         {share:.0f} % ({rates[0]:.0f} of {rates[1]:.0f} GFLOP/s)")
    return "\n".join(lines)
