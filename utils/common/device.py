"""The device that a command computes on, and the memory there is."""
import logging
import os
import resource
from contextlib import suppress
from pathlib import Path

import torch

from utils.common import distributed
from utils.common.errors import InputError

log = logging.getLogger('ksof')


def choose_device(name: str) -> torch.device:
    """Returns the device of --cuda_idx.

    Where CUDA or MPS is asked for and not there, it is the CPU, with one warning.
    InputError where the name is no device, or the machine has no GPU of that number.
    """
    try:
        device = distributed.own_device(torch.device(name))
    except RuntimeError:
        raise InputError(f'--cuda_idx {name}: not a device; use cuda:0, mps or cpu') from None
    if device.type == 'cuda':
        count = torch.cuda.device_count()
        if count and (device.index or 0) >= count:
            raise InputError(f'--cuda_idx {name}: this machine has cuda:0 to cuda:{count - 1}')
        available = count > 0
    else:
        available = device.type == 'cpu' or (device.type == 'mps' and torch.backends.mps.is_available())
    if not available:
        log.warning('--cuda_idx %s is not available here: using the CPU', name)
        return torch.device('cpu')
    return device


def memory() -> int:
    """Returns the bytes of main memory that this process may have, as machine, container and ulimit say."""
    limits = [os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')]
    for path in ('/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'):
        with suppress(OSError, ValueError):  # another system, or "max"
            limits.append(int(Path(path).read_text()))
    address_space = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min(limits + [address_space] * (address_space != resource.RLIM_INFINITY))
