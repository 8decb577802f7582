"""Programs measured against each other: each in a process of its own, taking turns, one at a time.

So neither runs in memory that the other has warmed up, and what else goes on on the machine falls on all of
them alike. A contender is this same script started again with `--serve NAME`: it builds its model, then makes
one step for every line that it reads, and answers with what the step took.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"
Step = Callable[[int], None]
"""Does the work of one round, by its number."""


@dataclass(frozen=True)
class Result:
    """What was measured of one contender.

    Attributes:
        name: Of the contender.
        seconds: Of each round.
        cpu_seconds: Of each round, user and system, all threads.
        peak_mib: Most memory at any time of these rounds, less what the imports took; None where the system
            does not say.
        first_seconds: Of the round to warm up, in which a contender may compile.
    """

    name: str
    seconds: list[float]
    cpu_seconds: list[float]
    peak_mib: float | None
    first_seconds: float = 0.0


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--threads", type=int, default=os.cpu_count(), help="of every contender")
    options.add_argument("--rounds", type=int, default=rounds, help="measured, after one to warm up")
    options.add_argument("--minutes", type=float, help="begin no round that would end later than that")
    options.add_argument("--seconds", type=float, default=10.0, help="audio a row")
    options.add_argument("--only", nargs="+", metavar="NAME", help="contenders; the first is the baseline")
    options.add_argument("--dry", action="store_true", help="write no result file")
    options.add_argument("--serve", metavar="NAME", help=argparse.SUPPRESS)
    return options


def serve(build: Callable[[], Step]) -> None:
    """Be a contender: one step for every line on standard input."""
    answers, sys.stdout = sys.stdout, sys.stderr
    before = _memory_mib("VmRSS")
    step = build()
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        step(int(line))
        taken = [time.perf_counter() - wall, time.process_time() - cpu]
        peak = _memory_mib("VmHWM")
        memory = None if peak is None or before is None else peak - before
        if int(line) == 0:
            _forget_peak()
        print(json.dumps([*taken, memory]), file=answers, flush=True)


def compare(names: Sequence[str], arguments: argparse.Namespace) -> list[Result]:
    """Start the contenders and let them take turns, in another order each round.

    One that fails, where there is no compiler for instance, is left out; its message stands above.
    """
    turns: dict[str, list[list[float]]] = {name: [] for name in arguments.only or names}
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(_start(name, arguments.threads)) for name in turns}
        for number in range(arguments.rounds + 1):
            since = time.monotonic()
            for name in random.Random(number).sample(list(turns), len(turns)):
                answer = _ask(processes[name], name, number)
                if answer is None:
                    del turns[name]
                else:
                    turns[name].append(answer)
            last = ", ".join(f"{name} {rounds[-1][0]:.2f} s" for name, rounds in turns.items())
            print(f"round {number or 'to warm up'}: {last}", file=sys.stderr)
            now = time.monotonic()
            if number and arguments.minutes and now - began + (now - since) > 60 * arguments.minutes:
                break
    if not turns:
        raise SystemExit("no contender got to the end")
    return [
        Result(name, [x[0] for x in rest], [x[1] for x in rest], rest[-1][2], first[0])
        for name, (first, *rest) in turns.items()
    ]


def report(job: str, results: Sequence[Result], arguments: argparse.Namespace) -> None:
    """Print the table and, unless told not to, write the result file."""
    rounds = len(results[0].seconds)
    print(f"\n{job}; {facts()['cpu']}, threads: {arguments.threads}, rounds: {rounds}\n")
    print(table(results))
    if arguments.dry:
        return
    settings = {key: value for key, value in vars(arguments).items() if key not in ("serve", "dry", "only")}
    now = datetime.now(UTC)
    script = Path(sys.argv[0])
    about = {"job": job, "command": " ".join(["python", f"benchmarks/{script.name}", *sys.argv[1:]])}
    about |= {"date": f"{now:%Y-%m-%d %H:%M} UTC"}
    content = {**about, **settings, **facts(), "results": [asdict(result) for result in results]}
    name = f"{now:%Y-%m-%d}-{script.stem.removeprefix('bench_')}-{arguments.threads}-threads.json"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {RESULTS / name}")


def table(results: Sequence[Result]) -> str:
    """One line a contender; ratios are the first one's time over its own: above 1 is faster.

    The ratio of medians is the median over the rounds of the ratio within a round.
    """
    base = results[0]
    lines = [
        "|   | median s | min s | CPU s | ratio, median | ratio, min | peak MiB | first round s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        paired = median(a / b for a, b in zip(base.seconds, result.seconds, strict=True))
        peak = "" if result.peak_mib is None else f"{result.peak_mib:.0f}"
        lines.append(
            f"| {result.name} | {median(result.seconds):.3f} | {min(result.seconds):.3f} "
            f"| {median(result.cpu_seconds):.3f} | {paired:.2f} "
            f"| {min(base.seconds) / min(result.seconds):.2f} | {peak} | {result.first_seconds:.1f} |"
        )
    return "\n".join(lines)


def facts() -> dict[str, str]:
    """What the numbers depend on."""
    import torch
    import transformers

    model, flags = platform.processor() or platform.machine(), ""
    with contextlib.suppress(OSError):
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = re.search(r"^model name\s*: (.*)$", info, re.M)[1]  # type: ignore[index]
        flags = re.search(r"^flags\s*: (.*)$", info, re.M)[1]  # type: ignore[index]
    wide = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags.split()]
    return {
        "cpu": f"{model} ({', '.join(wide) or 'no vector extensions known'})",
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


@contextlib.contextmanager
def _start(name: str, threads: int):  # type: ignore[no-untyped-def]
    command = [sys.executable, *sys.argv, "--serve", name]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield process
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()


def _ask(process: subprocess.Popen[str], name: str, number: int) -> list[float] | None:
    with contextlib.suppress(BrokenPipeError):
        print(number, file=process.stdin, flush=True)
        answer = process.stdout.readline()  # type: ignore[union-attr]
        if answer:
            return json.loads(answer)  # type: ignore[no-any-return]
    print(f"{name} ended before its time: left out", file=sys.stderr)
    return None


def _forget_peak() -> None:
    """Have the system count the most memory from now on: compiling takes some that steps do not."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _memory_mib(key: str) -> float | None:
    """A line of /proc/self/status; getrusage would count what the parent had before it started us."""
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(re.search(rf"^{key}:\s*(\d+) kB", status, re.M)[1]) / 1024  # type: ignore[index]
    return None
