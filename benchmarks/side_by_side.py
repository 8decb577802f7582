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
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"
GIB_EACH = 1.8
"""Of memory, for a contender of Base size and what it imports."""
Step = Callable[[int], None]
"""Does the work of one round, by its number."""


@dataclass(frozen=True)
class Result:
    """What was measured of one contender.

    Attributes:
        name: Of the contender.
        seconds: Of each round.
        cpu_seconds: Of each round, user and system, all threads.
        baseline_seconds: What the first contender took in the same rounds.
        peak_mib: Most memory at any time of these rounds, less what the imports took; None where the system
            does not say.
        first_seconds: Of the round to warm up, in which a contender may compile.
        error: Why it did not get to the end; the other values are then those of the rounds until there.
    """

    name: str
    seconds: list[float]
    cpu_seconds: list[float]
    baseline_seconds: list[float]
    peak_mib: float | None
    first_seconds: float | None
    error: str | None = None


class Failed(Exception):
    """A contender did not answer."""


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--threads", type=int, default=os.cpu_count(), help="of every contender")
    options.add_argument("--rounds", type=int, default=rounds, help="measured, after one to warm up")
    options.add_argument("--minutes", type=float, help="of a group: begin no round that would end later")
    options.add_argument("--seconds", type=float, default=10.0, help="audio a row")
    options.add_argument("--only", nargs="+", metavar="NAME", help="contenders; the first is the baseline")
    options.add_argument("--at-once", type=int, metavar="N", help="in memory at most; else all that fit")
    options.add_argument("--limit", type=float, default=300.0, help="seconds for a step, building included")
    options.add_argument("--dry", action="store_true", help="write no result file")
    options.add_argument("--serve", metavar="NAME", help=argparse.SUPPRESS)
    return options


def serve(build: Callable[[], Step]) -> None:
    """Be a contender: one step for every line on standard input."""
    answers, sys.stdout = sys.stdout, sys.stderr
    before = _memory_mib("VmRSS")
    step = build()
    for line in sys.stdin:
        if int(line) == 1:
            _forget_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        step(int(line))
        taken = [time.perf_counter() - wall, time.process_time() - cpu]
        peak = _memory_mib("VmHWM")
        memory = None if peak is None or before is None else peak - before
        print(json.dumps([*taken, memory]), file=answers, flush=True)


def compare(names: Sequence[str], arguments: argparse.Namespace) -> list[Result]:
    """Start the contenders and let them take turns, in another order each round.

    Where they do not fit into memory together, they come in groups, the first contender with each of them.
    One that fails is told of, and the others go on.
    """
    base, *others = arguments.only or names
    size = max((arguments.at_once or _fitting()) - 1, 1)
    groups = [others[i : i + size] for i in range(0, len(others), size)] or [[]]
    results: list[Result] = []
    with contextlib.ExitStack() as stack:
        baseline = stack.enter_context(_start(base, arguments.threads))
        for group in groups:
            with contextlib.ExitStack() as inner:
                processes = {name: inner.enter_context(_start(name, arguments.threads)) for name in group}
                found = _take_turns(base, {base: baseline, **processes}, arguments)
            results += found[1:] if results else found
    return results


def _take_turns(
    base: str, processes: "dict[str, subprocess.Popen[str]]", arguments: argparse.Namespace
) -> list[Result]:
    turns: dict[str, dict[int, list[float]]] = {name: {} for name in processes}
    errors: dict[str, str] = {}
    began = time.monotonic()
    for number in range(arguments.rounds + 1):
        since = time.monotonic()
        for name in random.Random(number).sample(list(processes), len(processes)):
            if name in errors:
                continue
            try:
                turns[name][number] = _ask(processes[name], name, number, arguments.limit)
            except Failed as error:
                if name == base:
                    raise SystemExit(f"{error}: without it there is nothing to compare with") from None
                errors[name] = str(error)
        last = ", ".join(f"{name} {turns[name][number][0]:.2f} s" for name in processes if name not in errors)
        print(f"round {number or 'to warm up'}: {last}", file=sys.stderr)
        now = time.monotonic()
        if number and arguments.minutes and now - began + (now - since) > 60 * arguments.minutes:
            break
    return [_result(name, rounds, turns[base], errors.get(name)) for name, rounds in turns.items()]


def _result(
    name: str, rounds: dict[int, list[float]], base: dict[int, list[float]], error: str | None
) -> Result:
    measured = sorted(rounds.keys() - {0})
    wall, cpu = ([rounds[number][i] for number in measured] for i in range(2))
    peak = rounds[measured[-1]][2] if measured else None
    first = rounds[0][0] if 0 in rounds else None
    return Result(name, wall, cpu, [base[number][0] for number in measured], peak, first, error)


def _fitting() -> int:
    """How many contenders fit into the memory that is free, by what one of Base size takes."""
    with contextlib.suppress(OSError):
        info = Path("/proc/meminfo").read_text(encoding="utf-8")
        free = int(re.search(r"^MemAvailable:\s*(\d+) kB", info, re.M)[1]) / 2**20  # type: ignore[index]
        return max(int(free / GIB_EACH), 2)
    return 4


def report(job: str, results: Sequence[Result], arguments: argparse.Namespace) -> None:
    """Print the table and, unless told not to, write the result file."""
    rounds = len(results[0].seconds)
    print(f"\n{job}; {facts()['cpu']}, threads: {arguments.threads}, rounds: {rounds}\n")
    print(table(results))
    if arguments.dry:
        return
    private = ("serve", "dry", "only", "exported", "limit")
    settings = {key: value for key, value in vars(arguments).items() if key not in private}
    now, script = datetime.now(UTC), Path(sys.argv[0])
    command = " ".join(["python", f"benchmarks/{script.name}", *sys.argv[1:]])
    about = {"job": job, "command": command, "date": f"{now:%Y-%m-%d %H:%M} UTC"}
    content = {**about, **settings, **facts(), "results": [asdict(result) for result in results]}
    keep(content, f"{script.stem.removeprefix('bench_')}-{arguments.threads}-threads")


def keep(content: Mapping[str, object], name: str) -> None:
    """Writes the result file of today."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {path}")


def table(results: Sequence[Result]) -> str:
    """One line a contender; ratios are the first one's time over its own: above 1 is faster.

    The ratio of medians is the median over the rounds of the ratio within a round.
    """
    lines = [
        "|   | median s | min s | CPU s | ratio, median | ratio, min | peak MiB | first round s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        if result.error is not None:
            lines.append(f"| {result.name} | {result.error} | | | | | | |")
            continue
        base = result.baseline_seconds
        paired = median(a / b for a, b in zip(base, result.seconds, strict=True))
        peak = "" if result.peak_mib is None else f"{result.peak_mib:.0f}"
        lines.append(
            f"| {result.name} | {median(result.seconds):.3f} | {min(result.seconds):.3f} "
            f"| {median(result.cpu_seconds):.3f} | {paired:.2f} "
            f"| {min(base) / min(result.seconds):.2f} | {peak} | {result.first_seconds:.1f} |"
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
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait()


def _ask(process: "subprocess.Popen[str]", name: str, number: int, limit: float) -> list[float]:
    timer = threading.Timer(limit, process.kill)
    timer.start()
    try:
        print(number, file=process.stdin, flush=True)
        answer = process.stdout.readline()  # type: ignore[union-attr]
    except OSError:  # it ended before
        answer = ""
    finally:
        late = not timer.is_alive()
        timer.cancel()
    if late:
        raise Failed(f"{name} took more than {limit:g} s")
    if not answer:
        raise Failed(f"{name} ended with code {process.wait()}: its message stands above")
    return json.loads(answer)  # type: ignore[no-any-return]


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
