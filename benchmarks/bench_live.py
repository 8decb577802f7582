"""How long after it was said a word shows up: `auricle transcribe - --live` at the pace of speech.

    python benchmarks/bench_live.py --model RUN/checkpoints/best --data corpus --subset valid --seconds 60

The utterances of a corpus, with pauses between them, go through a real pipe into the command, 20 ms of sound
every 20 ms by the clock. Each line that comes back is noted with its time. Told are, by the clock,

* shown: of each final word, how long after the end of its last letter (as the recogniser has it, in the
  sound) the first result came that has it as it stays;
* final: how long until it was final; of the last words of final results, those before a pause, by themselves;
* answered: of each result, how long after the last sample that it knows.

Before the first utterance there is silence, for the program to start in.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from side_by_side import facts, keep

from auricle.audio import read
from auricle.manifest import read_manifest

RATE = 16000
TICK_SECONDS = 0.02
SAME_SECONDS = 0.3
"""A word of a partial result is the same as a final one of its text that starts within this."""


@dataclass(frozen=True)
class Line:
    """What came back, and when: seconds since the first sample was sent."""

    at: float
    update: dict[str, Any]


def sound(data: Path, subset: str, seconds: float, pause: float, lead: float) -> NDArray[np.int16]:
    """The utterances with silence around them, as raw samples."""
    parts = [np.zeros(round(lead * RATE), np.float32)]
    manifest = read_manifest(data / f"{subset}.tsv")
    for entry in manifest.entries:
        parts += [read(manifest.full_path(entry)).samples.numpy(), np.zeros(round(pause * RATE), np.float32)]
        if sum(map(len, parts)) >= (lead + seconds) * RATE:
            break
    return (np.concatenate(parts).clip(-1, 1) * 32767).astype("<i2")


def spoken(samples: NDArray[np.int16], command: Sequence[str]) -> list[Line]:
    """Sends the samples as they would be said; gives what came back."""
    lines: list[Line] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        started = time.monotonic()
        stdout = process.stdout

        def listen() -> None:
            lines.extend(Line(time.monotonic() - started, json.loads(line)) for line in stdout)

        reader = threading.Thread(target=listen)
        reader.start()
        tick = round(TICK_SECONDS * RATE)
        for start in range(0, len(samples), tick):
            # a block is there once its last sample was said
            time.sleep(max(0.0, started + (start + tick) / RATE - time.monotonic()))
            process.stdin.write(samples[start : start + tick].tobytes())
            process.stdin.flush()
        process.stdin.close()
        reader.join()
    if process.returncode:
        sys.exit(f"the command ended with {process.returncode}")
    return lines


def delays(lines: Sequence[Line]) -> dict[str, list[float]]:
    """Seconds from the end of words to results with them, and what of that was work."""
    found: dict[str, list[float]] = {"shown": [], "final": [], "final_before_a_pause": [], "answered": []}
    for place, line in enumerate(lines):
        found["answered"].append(line.at - line.update["heard_seconds"])
        words = _words(line) if line.update["final"] else []
        for word in words:
            known = (one for one in lines[: place + 1] if any(_same(word, other) for other in _words(one)))
            found["shown"].append(next(known).at - word["end_seconds"])
            found["final"].append(line.at - word["end_seconds"])
        if words:
            found["final_before_a_pause"].append(line.at - words[-1]["end_seconds"])
    return found


def _words(line: Line) -> list[dict[str, Any]]:
    words: list[dict[str, Any]] = line.update["words"]
    return words


def _same(word: dict[str, Any], other: dict[str, Any]) -> bool:
    near = abs(word["start_seconds"] - other["start_seconds"]) < SAME_SECONDS
    return near and bool(word["text"] == other["text"])


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and most, in seconds."""
    return {
        "median": round(statistics.median(values), 3),
        "percentile_95": round(float(np.percentile(values, 95)), 3),
        "most": round(max(values), 3),
    }


def main() -> None:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--model", type=Path, help="fine-tuned with CTC")
    parser.add_argument("--data", type=Path, help="folder of manifests")
    parser.add_argument("--subset", default="valid")
    parser.add_argument("--seconds", type=float, default=60.0, help="of utterances and pauses")
    parser.add_argument("--pause", type=float, default=0.75, help="between utterances, in seconds")
    parser.add_argument("--lead", type=float, default=15.0, help="of silence, for the program to start in")
    parser.add_argument("--step-seconds", type=float, default=0.5)
    parser.add_argument("--dry", action="store_true", help="write no result file")
    given = parser.parse_args()
    if given.model is None or given.data is None:
        print("left out: it takes a trained model and its corpus (--model, --data)")
        return
    samples = sound(given.data, given.subset, given.seconds, given.pause, given.lead)
    command = [sys.executable, "-m", "auricle.cli.main", "transcribe", "-", "--live", "--format", "json"]
    command += ["--model", str(given.model), "--step-seconds", str(given.step_seconds)]
    found = delays(spoken(samples, command))
    result = {
        "job": "live speech",
        **facts(),
        "sound_seconds": len(samples) / RATE,
        "step_seconds": given.step_seconds,
        "pause_seconds": given.pause,
        "words": len(found["final"]),
        **{f"{name}_after_seconds": summary(values) for name, values in found.items()},
    }
    print(json.dumps(result, indent=1))
    if not given.dry:
        keep(result, "live")


if __name__ == "__main__":
    main()
