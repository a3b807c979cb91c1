"""Repeated timing with its spread, operations, and memory, on any device."""
import io
import resource
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

WARM_UP = 2


def wait_for(device: torch.device) -> None:
    """Until everything that was started on the device is done."""
    if device.type != 'cpu':
        torch.accelerator.synchronize(device)


def timed(work: Callable[[], object], device: torch.device, *, seconds: float, least: int) -> list[float]:
    """Times of one call in s, after warm-up, repeated for `seconds` and at least so many times."""
    for _ in range(WARM_UP):
        work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        wait_for(device)
        started = time.perf_counter()
        work()
        wait_for(device)
        times.append(time.perf_counter() - started)
    return times


def without_bars() -> AbstractContextManager[object]:
    """Progress bars of what is measured again and again are not shown; messages are."""
    return redirect_stderr(io.StringIO())


def spread(times: list[float]) -> dict[str, float]:
    """Median, 10th, 90th and 99th percentile in s, and of how many."""
    p10, median, p90, p99 = np.percentile(times, (10, 50, 90, 99)).tolist()
    return {'median': median, 'p10': p10, 'p90': p90, 'p99': p99, 'runs': len(times)}


def operations(work: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions in one call; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


class Operators(TorchDispatchMode):
    """Counts what is started in the block: on a GPU each is a kernel or more. Views are not counted, as they do nothing.

    Not counted either: what a library call does inside, such as fused optimisers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def operators(work: Callable[[], object]) -> int:
    """Operators that one call starts."""
    with Operators() as counter:
        work()
    return counter.count


def reset_peak_memory(device: torch.device) -> None:
    """Count the peak from here on: on CUDA, and for the process on Linux; elsewhere its peak is since it began."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    clear = Path('/proc/self/clear_refs')
    if clear.exists():
        clear.write_text('5')


def peak_memory(device: torch.device) -> dict[str, int]:
    """Bytes: the process's largest resident size, and on CUDA what tensors took at most."""
    status = Path('/proc/self/status')
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith('VmHWM'))
        peak = {'rss': int(line.split()[1]) * 1024}
    else:
        unit = 1 if sys.platform == 'darwin' else 1024
        peak = {'rss': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    return peak | ({'cuda': torch.cuda.max_memory_allocated(device)} if device.type == 'cuda' else {})
