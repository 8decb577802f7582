"""Which worker of a run this process is, by the environment that torchrun made customary."""

import ipaddress
import os
from dataclasses import dataclass

from auricle.errors import UserError


@dataclass(frozen=True, slots=True)
class Place:
    """Which worker this process is, and where the workers meet.

    Attributes:
        rank: From 0.
        num_workers: Of the run.
        local_rank: Which worker of this machine.
        host: Where the first worker listens; this machine alone unless somebody says otherwise.
        port: Its port.
    """

    rank: int
    num_workers: int
    local_rank: int
    host: str = "127.0.0.1"
    port: int = 29500

    @staticmethod
    def here() -> "Place | None":
        """As the environment says; None where it speaks of one process.

        Raises:
            UserError: It contradicts itself.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")
        given = {name: os.environ.get(name, "") for name in names}
        if not given["WORLD_SIZE"]:
            return None
        try:
            size, rank = int(given["WORLD_SIZE"]), int(given["RANK"] or 0)
            local, port = int(given["LOCAL_RANK"] or rank), int(given["MASTER_PORT"] or 29500)
        except ValueError:
            said = ", ".join(f"{name}={value}" for name, value in given.items())
            raise UserError(
                f"the environment of workers is damaged ({said}): start them with torchrun"
            ) from None
        if not 0 <= rank < size:
            raise UserError(f"RANK={rank} and WORLD_SIZE={size} do not go together: start with torchrun")
        if size == 1:
            return None
        return Place(rank, size, local, os.environ.get("MASTER_ADDR") or "127.0.0.1", port)

    @property
    def is_loopback(self) -> bool:
        """Whether all workers are on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
