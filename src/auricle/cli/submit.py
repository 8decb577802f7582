"""Handing a training run to a cluster: SLURM through submitit, one process a task."""

import os
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.cli.workers import words_for
from auricle.errors import UserError

if TYPE_CHECKING:
    from auricle.config.schema import Recipe

CLUSTERS = ("slurm", "local")
"""What ``--submit`` takes; local runs the tasks on this machine, to try a recipe as the cluster would."""


@dataclass(frozen=True, slots=True)
class Training:
    """What each task of a job does; submitit carries it there.

    Attributes:
        words: After ``auricle``.
    """

    words: tuple[str, ...]

    def __call__(self) -> int:
        """Train as one worker of the job."""
        import submitit
        import torch

        from auricle.cli.main import main

        job = submitit.JobEnvironment()
        alone = job.num_nodes == 1
        bound = torch.cuda.device_count() == 1  # the cluster has given each task a device of its own
        # A port that other jobs on the machine are unlikely to have.
        port = 20000 + zlib.crc32(str(job.job_id).encode()) % 40000
        os.environ |= {
            "RANK": str(job.global_rank),
            "WORLD_SIZE": str(job.num_tasks),
            "LOCAL_RANK": "0" if bound else str(job.local_rank),
            "LOCAL_WORLD_SIZE": str(job.num_tasks // job.num_nodes),
            "MASTER_ADDR": "127.0.0.1" if alone else job.hostnames[0],
            "MASTER_PORT": os.environ.get("MASTER_PORT", str(port)),
        }
        code = main(self.words)
        if code:
            sys.exit(code)
        return code

    def checkpoint(self, *args: Any, **options: Any) -> Any:
        """Of a job that is put back into the queue: the run goes on from its last checkpoint."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def submit(recipe: "Recipe", cluster: str, options: Sequence[str]) -> Any:
    """Hand a run to a cluster; gives submitit's job.

    Args:
        recipe: What to do. It is written into the run folder, with what the job says.
        cluster: One of `CLUSTERS`.
        options: "KEY=VALUE" each, in submitit's words: nodes, tasks_per_node, gpus_per_node, cpus_per_task,
            timeout_min, slurm_partition, slurm_account, ...

    Raises:
        UserError: submitit or the cluster is missing, or does not know an option.
    """
    if cluster not in CLUSTERS:
        raise UserError(f"--submit {cluster}: give one of {', '.join(CLUSTERS)}")
    try:
        import submitit
    except ImportError:
        raise UserError("--submit needs submitit: pip install 'auricle[slurm]'") from None
    folder = Path(recipe.checkpoint.save_dir).expanduser() / "submitted"
    values = {"name": "auricle", "timeout_min": 24 * 60} | dict(_option(option) for option in options)
    words = words_for(recipe, folder.resolve())
    try:
        executor = submitit.AutoExecutor(folder=folder / "%j", cluster=cluster)
        executor.update_parameters(**values)
        job = executor.submit(Training(tuple(words)))
    except (RuntimeError, TypeError, NameError, ValueError, submitit.core.utils.FailedJobError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--submit {cluster} does not work here: {reason}") from None
    return job


def _option(text: str) -> tuple[str, str | int]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UserError(f"--submit-option {text}: write KEY=VALUE, as in nodes=2 or slurm_partition=gpu")
    return name, int(value) if value.isdecimal() else value
