"""Several processes that torchrun started: what each takes, what they share, how they agree. In one process nothing changes.

All hold the same weights and all data. A step takes `batch_size` windows in each of them and is the step of one process with
all those windows: the loss's means are taken over all of them, and the gradients averaged. Rank 0 alone speaks and writes.
"""
import functools
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils.common.errors import InputError

T = TypeVar('T')


@contextmanager
def process_group() -> Iterator[None]:
    """In the block the processes that torchrun started know each other, by gloo on the CPU and nccl on CUDA."""
    if not dist.is_torchelastic_launched() or os.environ['WORLD_SIZE'] == '1':
        yield
        return
    dist.init_process_group('cpu:gloo,cuda:nccl' if torch.cuda.is_available() else 'gloo', store=launcher(),
                            rank=int(os.environ['RANK']), world_size=int(os.environ['WORLD_SIZE']))
    with redirect_stdout(io.StringIO() if rank() else sys.stdout):
        yield
    dist.destroy_process_group()  # not after an error: the others may be gone


@functools.cache
def launcher() -> dist.Store:
    """What the processes can write to and read from one by one; torchrun keeps it."""
    return next(dist.rendezvous('env://'))[0]


def processes() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def say(line: str) -> None:
    """Print a line on stderr; what all processes have to say is printed once."""
    if processes() == 1 or launcher().add(f'said: {line}', 1) == 1:
        print(line, file=sys.stderr)


def is_lost(error: RuntimeError) -> bool:
    """Whether this is how a process learns that another one has ended."""
    return processes() > 1 and (isinstance(error, dist.DistError) or 'gloo' in str(error))


def own_device(device: torch.device) -> torch.device:
    """Where this process computes: on CUDA each has the GPU of its number on this machine. InputError where there is none."""
    if processes() > 1 and device.type == 'mps':
        raise InputError('--cuda_idx mps: several processes compute on CUDA or the CPU: use --cuda_idx cpu, or no torchrun')
    if processes() == 1 or device.type != 'cuda' or not torch.cuda.is_available():
        return device
    own, count = int(os.environ['LOCAL_RANK']), torch.cuda.device_count()
    if own >= count:
        raise InputError(f'torchrun started more processes than this machine has GPUs ({count}): lower --nproc_per_node')
    torch.cuda.set_device(own)
    return torch.device('cuda', own)


def share_norms(model: nn.Module) -> None:
    """On CUDA, where it can be had, take the statistics of the network's batch norms over all processes' windows."""
    if processes() > 1 and next(model.parameters()).device.type == 'cuda':
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # in place, but for a network that is itself one


def average_norms(model: nn.Module) -> None:
    """Average the running statistics of batch norms that each process has for itself, so that all have the same network."""
    average([statistic for norm in model.modules() if isinstance(norm, nn.BatchNorm1d)
             for statistic in (norm.running_mean, norm.running_var) if statistic is not None])


def average(tensors: Sequence[Tensor]) -> None:
    """Put in place of each tensor its mean over the processes, in one exchange.

    Done after the backward pass and always in the same order, which DistributedDataParallel's buckets are not: of three
    and more processes too, a run that was stopped then goes on with the same bits.
    """
    if processes() == 1 or not tensors:
        return
    whole = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(whole)
    whole /= processes()
    parts = whole.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(list(tensors), [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)])


def means_of_all(means: Sequence[Tensor]) -> Sequence[Tensor]:
    """Means over this process's windows -> the same over all windows of the step, from equally many in each process.

    A gradient flows to this process's windows as if they were all: averaged over the processes, gradients of whatever
    is made of these means, squares too, are then those of one process that has all windows.
    """
    if processes() == 1:
        return means
    own = torch.cat([mean.flatten() for mean in means])
    everyones = own.detach().clone()
    dist.all_reduce(everyones)
    of_all = everyones / processes() + (own - own.detach())  # the same bits everywhere: what is added is 0
    parts = of_all.split([mean.numel() for mean in means])
    return [part.view_as(mean) for part, mean in zip(parts, means, strict=True)]


def own_windows(order: Tensor, batch_size: int) -> Tensor:
    """This process's part of an epoch's order: of each step's windows `batch_size`, rank 0 the first ones."""
    return order if processes() == 1 else order.view(-1, processes(), batch_size)[:, rank()].flatten()


def own_batches(windows: int, batch_size: int) -> Tensor:
    """Indices of the windows that this process evaluates: every n-th batch as one process would have it, at least one.

    The same batches give the same numbers, to the last bit.
    """
    batches = torch.arange(windows).split(batch_size)
    return torch.cat(batches[rank() % len(batches)::processes()])


def all_rows(own: Tensor, index: Tensor, rows: int) -> Tensor:
    """Every process's rows of a CPU tensor, put where its index says: (own rows, ...) -> (rows, ...)."""
    if processes() == 1:
        return own
    whole = own.new_empty(rows, *own.shape[1:])
    for where, part in gather((index, own)):
        whole[where] = part
    return whole


def gather(value: T) -> list[T]:
    """The value of every process, by rank."""
    values = [value] * processes()
    if processes() > 1:
        dist.all_gather_object(values, value)
    return values


def largest(*values: int) -> list[int]:
    """Each value's largest over the processes."""
    return [max(own) for own in zip(*gather(values), strict=True)]


def on_first(work: Callable[[], T]) -> T | None:
    """What `work` returns on rank 0, which alone does it; the others wait, and get None or the same InputError or OSError."""
    result, error = None, None
    if rank() == 0:
        try:
            result = work()
        except (InputError, OSError) as raised:
            error = raised
    if error := gather(error)[0]:
        raise error
    return result


@contextmanager
def first_then_others() -> Iterator[None]:
    """Rank 0 goes through the block first and the others after it: they find what it has left in the cache."""
    if rank():
        gather(None)
    try:
        yield
    finally:
        if not rank():
            gather(None)
