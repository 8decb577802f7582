"""One process, or several that train together: the only file that knows torch.distributed.

A run in several processes (*workers*) takes the micro-batches that one process would, each worker every k-th
of them, and makes the same updates: gradients are summed over workers before they are divided and clipped.
Workers are started by torchrun, by `auricle train` itself where there are several devices, or by a scheduler.

What workers tell each other besides tensors is JSON: nothing that comes from the network is ever unpickled.
"""

import json
import logging
import os
import re
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from auricle.data.loader import AnyBatch
from auricle.errors import UserError
from auricle.losses import Loss
from auricle.train.compiled import layers_of
from auricle.train.draws import Position
from auricle.train.objective import Objective
from auricle.train.optim import copied
from auricle.train.place import Place
from auricle.train.replica import LossOf, Replica, may_leave_weights_out, no_loss

Json = Any
"""What JSON holds: numbers, text, None, and lists and tables of them."""

_JOINING = timedelta(minutes=10)
"""How long workers wait for each other in the beginning."""


class Engine:
    """A run in one process, and what runs in several share.

    Attributes:
        device: Where this process computes.
        rank: Number of this worker, from 0.
        num_workers: How many there are.
    """

    rank = 0
    num_workers = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def first(self) -> bool:
        """Whether this is the worker that writes and speaks."""
        return self.rank == 0

    @property
    def gradient_weight(self) -> float:
        """What exchanged gradients are multiplied by to be the sums over all workers."""
        return 1.0

    def gather(self, value: Json) -> list[Json]:
        """What each worker has to say, in their order; all have to ask at the same time."""
        return [value]

    def gather_tensor(self, value: Tensor) -> Tensor:
        """Tensors of one shape, of each worker: [k, ...], on the CPU."""
        return value.cpu()[None]

    def distribute(self, model: nn.Module) -> None:
        """Share out the weights of `model` in place, where workers share them; before any optimizer."""

    def loss(self, objective: Objective, batch: AnyBatch, position: Position, *, last: bool) -> Loss:
        """The loss of a micro-batch, ready for `backward`.

        Args:
            objective: Gives it.
            batch: A micro-batch.
            position: Where it stands.
            last: Whether it is this worker's last of the update, after which gradients are exchanged.
        """
        return objective.loss(batch, position)

    def whole(self, tensor: Tensor) -> Tensor:
        """All of a tensor of which each worker may hold a part; all workers have to ask."""
        return tensor

    def own_part(self, tensor: Tensor) -> Tensor:
        """What this worker holds of a tensor, without its graph; nobody else is asked."""
        return tensor.detach()

    def to_save(self, tensor: Tensor) -> Tensor:
        """All of a tensor, for the first worker to save, and nothing of use for others; all have to ask."""
        return tensor

    def load(self, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Give `model` whole weights.

        Raises:
            RuntimeError: They are of another.
        """
        model.load_state_dict(weights)

    def part(self, whole: Tensor, like: Tensor) -> Tensor:
        """A copy of this worker's part of `whole`, shared out as `like` is, on its device."""
        return copied(whole, like)

    def entire(self, model: nn.Module) -> AbstractContextManager[None]:
        """Within it every worker holds all weights, and may call the model as often as it likes."""
        return nullcontext()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all workers fail where one does; the one it concerns says why.

        Raises:
            UserError: Of the first worker that had one.
            SystemExit: In the others.
        """
        yield

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turn the loss of another worker into a word about it."""
        yield

    def close(self) -> None:
        """Leave the others."""


class Workers(Engine):
    """Several processes that each hold the whole model: torch's DistributedDataParallel."""

    def __init__(
        self, device: torch.device, rank: int, num_workers: int, *, find_unused: bool = False
    ) -> None:
        super().__init__(device)
        self.rank = rank
        self.num_workers = num_workers
        self._find_unused = find_unused
        self._replica: Replica | None = None

    @property
    def gradient_weight(self) -> float:
        """Torch gives the mean."""
        return float(self.num_workers)

    def gather(self, value: Json) -> list[Json]:
        """See `Engine`."""
        words = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        sizes = [int(size) for size in self.gather_tensor(torch.tensor([len(words)]))]
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(words)] = words
        rows = self.gather_tensor(padded)
        return [json.loads(row[:size].numpy().tobytes()) for row, size in zip(rows, sizes, strict=True)]

    def gather_tensor(self, value: Tensor) -> Tensor:
        """See `Engine`."""
        rows = [torch.empty_like(value, device="cpu") for _ in range(self.num_workers)]
        dist.all_gather(rows, value.cpu().contiguous())
        return torch.stack(rows)

    def loss(self, objective: Objective, batch: AnyBatch, position: Position, *, last: bool) -> Loss:
        """See `Engine`."""
        if self._replica is None:
            find_unused = self._find_unused or may_leave_weights_out(objective)
            self._replica = Replica(LossOf(objective.model), find_unused=find_unused)
        # It is the forward pass that decides whether the backward pass exchanges.
        with nullcontext() if last else self._replica.no_sync():
            total = self._replica(partial(objective.loss, batch, position))
        return replace(self._replica.module.made, total=total)

    @contextmanager
    def together(self) -> Iterator[None]:
        """See `Engine`."""
        mistake = None
        try:
            yield
        except UserError as error:
            mistake = str(error)
        concerned = [rank for rank, text in enumerate(self.gather(mistake)) if text is not None]
        if mistake is not None and concerned[0] == self.rank:
            raise UserError(mistake if self.first else f"worker {self.rank}: {mistake}")
        if concerned:
            sys.exit(2)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See `Engine`."""
        try:
            yield
        except RuntimeError as error:
            if not (isinstance(error, dist.DistError) or re.search("gloo|NCCL|ProcessGroup", str(error))):
                raise
            if not self.first:
                sys.exit(1)  # the first one, or who started them all, has said it
            reason = str(error).splitlines()[0].split(". ")[0]  # gloo goes on with advice and good wishes
            raise UserError(
                "another worker has ended, and the run with it: start it again, and it goes on from the last "
                f"checkpoint ({reason})"
            ) from error

    def close(self) -> None:
        """See `Engine`."""
        self._replica = None
        if dist.is_initialized():
            dist.destroy_process_group()


class ShardingWorkers(Workers):
    """Several processes that each hold a part of every weight: torch's FSDP2.

    Its modules are imported when they are used: they take seconds, which most runs have no use for.
    """

    def distribute(self, model: nn.Module) -> None:
        """See `Engine`: each layer is gathered when it is its turn, the rest with the whole."""
        from torch.distributed.fsdp import fully_shard

        # No model changes in place what a layer gave.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
        for layer in layers_of(model):
            fully_shard(layer)
        self._root = LossOf(model)
        fully_shard(self._root)

    def loss(self, objective: Objective, batch: AnyBatch, position: Position, *, last: bool) -> Loss:
        """See `Engine`: gradients are exchanged after every micro-batch, as nobody can hold them all."""
        total = self._root(partial(objective.loss, batch, position))
        return replace(self._root.made, total=total)

    def whole(self, tensor: Tensor) -> Tensor:
        """See `Engine`."""
        from torch.distributed.tensor import DTensor

        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def own_part(self, tensor: Tensor) -> Tensor:
        """See `Engine`."""
        from torch.distributed.tensor import DTensor

        held = tensor.detach()
        return held.to_local() if isinstance(held, DTensor) else held

    def to_save(self, tensor: Tensor) -> Tensor:
        """See `Engine`: one after the other, so that no device has to hold all of them at once."""
        whole = self.whole(tensor)
        return whole.cpu() if self.first else whole.new_empty(0)

    def load(self, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """See `Engine`."""
        own = model.state_dict()
        if any(name not in own or own[name].shape != weight.shape for name, weight in weights.items()):
            raise RuntimeError("another model")
        model.load_state_dict({name: self.part(weight, own[name]) for name, weight in weights.items()})

    def part(self, whole: Tensor, like: Tensor) -> Tensor:
        """See `Engine`."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(like, DTensor):
            return super().part(whole, like)
        # Every worker has the same whole: it needs nothing from the others.
        moved = whole.to(like.device, copy=True)
        return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)

    @contextmanager
    def entire(self, model: nn.Module) -> Iterator[None]:
        """See `Engine`."""
        from torch.distributed.fsdp import FSDPModule

        self._root(no_loss)  # torch wants the outermost module to be the first that runs
        _, *layers = parts = [part for part in self._root.modules() if isinstance(part, FSDPModule)]
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield
        finally:
            for layer in layers:
                layer.set_reshard_after_forward(True, recurse=False)
            for part in parts:
                part.reshard()


def open_engine(*, cpu: bool = False, sharded: bool = False, find_unused: bool = False) -> Engine:
    """The engine of this process, once all workers are there.

    Args:
        cpu: Compute on the CPU even where there is an accelerator.
        sharded: Share out the weights among the workers, rather than have all of them in each.
        find_unused: Look for weights without gradient even where the model is not known to leave any out.

    Raises:
        UserError: The environment is damaged, a device is missing, or the others do not come.
    """
    place = Place.here()
    cuda = torch.cuda.is_available() and not cpu
    if place is None:
        return Engine(torch.device("cuda" if cuda else "cpu"))
    if cuda and place.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"there is no device for worker {place.local_rank} of this machine, which has "
            f"{torch.cuda.device_count()}: start fewer (torchrun --nproc-per-node), or train on the CPU "
            "(common.cpu=true)"
        )
    if place.rank > 0:
        logging.getLogger("auricle").setLevel(logging.ERROR)  # what the first one says goes for all
    device = torch.device("cuda", place.local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        _join(place, "cpu:gloo,cuda:nccl" if cuda else "gloo")
    kind = ShardingWorkers if sharded else Workers
    return kind(device, place.rank, place.num_workers, find_unused=find_unused)


def _join(place: Place, backend: str) -> None:
    if place.is_loopback and sys.platform == "linux":
        # Workers of one machine shall not talk through an address that others can reach.
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(name, "lo")
    try:
        dist.init_process_group(backend, store=_store(place), rank=place.rank, world_size=place.num_workers)
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"worker {place.rank} of {place.num_workers} cannot join the others at {place.host}:{place.port} "
            f"({reason}): see that all are started, and that MASTER_ADDR and MASTER_PORT are free and theirs"
        ) from error


def _store(place: Place) -> Any:  # any: torch does not export the type
    """Where workers find each other: served by the first of them, or by the torchrun that started it."""
    serves = place.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    listener = None
    if serves and place.is_loopback:
        # Torch would listen on all addresses of the machine.
        family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
        server = socket.create_server((place.host, place.port), family=family, backlog=2 * place.num_workers)
        listener = server.detach()
    return dist.TCPStore(  # type: ignore[attr-defined]
        place.host,
        place.port,
        place.num_workers,
        is_master=serves,
        timeout=_JOINING,
        master_listen_fd=listener,
    )


def check_same(values: Sequence[Json], what: str) -> None:
    """See that all workers have the same of something.

    Raises:
        UserError: They have not.
    """
    for rank, value in enumerate(values):
        if value != values[0]:
            raise UserError(
                f"worker {rank} has {what} {value} and worker 0 {values[0]}: give all workers the same "
                "files, on a disk that they share"
            )
