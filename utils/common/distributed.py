"""Trains and evaluates in several processes that torchrun started. With one process nothing changes.

Every rank holds the same weights and all data. Rank 0 alone prints and writes.
A step takes `batch_size` windows in each rank; together they are the global batch.
It is the step that one process would take with all those windows: the loss is made of means over the global
batch, and gradients are averaged over the ranks.
DistributedDataParallel would minimise another loss here, as the loss squares means of the batch.
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
    """Connects the processes of torchrun for the block: by gloo on the CPU, by nccl on CUDA.

    Raises InputError where torchrun's variables are not all there.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    needed = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')
    if wrong := [name for name in needed if not os.environ.get(name, '').isdecimal()]:
        raise InputError(f'TORCHELASTIC_RUN_ID is set as by torchrun, but {", ".join(wrong)} is no number: '
                         'start with torchrun, or unset TORCHELASTIC_RUN_ID')
    if os.environ['WORLD_SIZE'] == '1':
        yield
        return
    dist.init_process_group('cpu:gloo,cuda:nccl' if torch.cuda.is_available() else 'gloo', store=launcher(),
                            rank=int(os.environ['RANK']), world_size=int(os.environ['WORLD_SIZE']))
    with redirect_stdout(io.StringIO() if rank() else sys.stdout):
        yield
    dist.destroy_process_group()  # not after an error: the others may be gone


@functools.cache
def launcher() -> dist.Store:
    """Returns the store that torchrun keeps. Each process can write to it and read from it on its own."""
    return next(dist.rendezvous('env://'))[0]


def processes() -> int:
    """Returns the world size, 1 without torchrun."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Returns this process's number, from 0."""
    return dist.get_rank() if processes() > 1 else 0


def say(line: str) -> None:
    """Prints a line on stderr once, even where all processes say it."""
    if processes() == 1 or launcher().add(f'said: {line}', 1) == 1:
        print(line, file=sys.stderr)


def is_lost(error: RuntimeError) -> bool:
    """Returns whether an error means that another process has ended."""
    return processes() > 1 and (isinstance(error, dist.DistError) or 'gloo' in str(error))


def own_device(device: torch.device) -> torch.device:
    """Returns the device of this process: on CUDA, the GPU that has its number on this machine.

    Raises InputError where there is none.
    """
    if processes() > 1 and device.type == 'mps':
        raise InputError('--cuda_idx mps: several processes compute on CUDA or the CPU: use --cuda_idx cpu, '
                         'or no torchrun')
    if processes() == 1 or device.type != 'cuda' or not torch.cuda.is_available():
        return device
    own, count = int(os.environ['LOCAL_RANK']), torch.cuda.device_count()
    if own >= count:
        raise InputError(f'torchrun started more processes than this machine has GPUs ({count}): lower '
                         '--nproc_per_node')
    torch.cuda.set_device(own)
    return torch.device('cuda', own)


def share_norms(model: nn.Module) -> None:
    """Makes batch norms take their statistics over the global batch. torch can do it on CUDA alone."""
    if processes() > 1 and next(model.parameters()).device.type == 'cuda':
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # in place, as the network itself is no batch norm


def average_norms(model: nn.Module) -> None:
    """Averages the batch norms' running statistics over the ranks, so that all have the same network."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    average([statistic for norm in model.modules() if isinstance(norm, kinds)
             for statistic in (norm.running_mean, norm.running_var) if statistic is not None])


def average(tensors: Sequence[Tensor]) -> None:
    """Replaces each tensor by its mean over the ranks, in one all_reduce.

    The order of summation is always the same, so a resumed run has the same bits, with any number of ranks.
    It is not so in DistributedDataParallel's buckets.
    """
    if processes() == 1 or not tensors:
        return
    whole = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(whole)
    whole /= processes()
    parts = whole.split([tensor.numel() for tensor in tensors])
    means = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
    torch._foreach_copy_(list(tensors), means)


def means_of_all(means: Sequence[Tensor]) -> Sequence[Tensor]:
    """Returns means over the global batch, from each rank's means over its own windows.

    A gradient with respect to a returned mean goes to this rank's own mean, unchanged.
    So gradients of anything made of the returned means, squares included, are those of one process with the
    whole global batch, once they are averaged over the ranks.
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
    """Returns this rank's part of an epoch's order (W,).

    It has `batch_size` windows of each step. Rank 0 has the first ones.
    """
    return order if processes() == 1 else order.view(-1, processes(), batch_size)[:, rank()].flatten()


def own_batches(windows: int, batch_size: int) -> Tensor:
    """Returns the indices of the windows that this rank evaluates.

    They are every n-th batch of one process, where n is the world size, and at least one batch.
    As the batches are those of one process, so are the results, to the last bit.

    windows: how many there are.
    """
    batches = torch.arange(windows).split(batch_size)
    return torch.cat(batches[rank() % len(batches)::processes()])


def all_rows(own: Tensor, index: Tensor, rows: int) -> Tensor:
    """Collects the rows of a CPU tensor from all ranks.

    own: (R, ...) this rank's rows.
    index: (R,) their places in the whole.
    Returns (rows, ...).
    """
    if processes() == 1:
        return own
    whole = own.new_empty(rows, *own.shape[1:])
    for where, part in gather((index, own)):
        whole[where] = part
    return whole


def gather(value: T) -> list[T]:
    """Returns the value of every rank, in the order of ranks."""
    values = [value] * processes()
    if processes() > 1:
        dist.all_gather_object(values, value)
    return values


def largest(*values: int) -> list[int]:
    """Returns the largest of each value over the ranks."""
    return [max(own) for own in zip(*gather(values), strict=True)]


def on_first(work: Callable[[], T]) -> T | None:
    """Does `work` on rank 0 and returns its result there. Other ranks wait, and get None.

    All ranks raise the InputError or OSError that `work` raises.
    """
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
    """Lets rank 0 through the block first. The other ranks then find what it has left in the cache."""
    if rank():
        gather(None)
    try:
        yield
    finally:
        if not rank():
            gather(None)
