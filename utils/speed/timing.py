"""Measures times and their spread, and counts operations, operators, reads and memory, on any device."""
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
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

WARM_UP = 2  # calls


def wait_for(device: torch.device) -> None:
    """Waits until the device has done everything that was started on it."""
    if device.type != 'cpu':
        torch.accelerator.synchronize(device)


def once(work: Callable[[], object], device: torch.device) -> float:
    """Times one call, without a warm-up. Returns s."""
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def timer_of(work: Callable[[], object], device: torch.device, threads: int) -> Timer:
    """Returns a timer of `work` that waits for the device, after a warm-up."""
    def clock() -> float:
        wait_for(device)
        return time.perf_counter()

    timer = Timer('work()', globals={'work': work}, timer=clock, num_threads=threads)
    timer.timeit(WARM_UP)
    return timer


def timed(work: Callable[[], object], device: torch.device, *, seconds: float) -> list[float]:
    """Times `work` for at least `seconds`, and longer while the times spread by more than a tenth.

    Returns times of one call in s. For very short calls each of them is the mean of several calls.
    """
    timer = timer_of(work, device, torch.get_num_threads())
    return timer.adaptive_autorange(min_run_time=seconds, max_run_time=1 + 2 * seconds).times


def timed_singly(work: Callable[[], object], device: torch.device, *, seconds: float, least: int = 8,
                 threads: int) -> list[float]:
    """Times single calls, so that rare slow ones show. Returns s.

    seconds: time to measure for, in all.
    least: number of calls to time at least.
    threads: CPU threads that torch may use.
    """
    timer = timer_of(work, device, threads)
    times: list[float] = []
    while len(times) < least or sum(times) < seconds:
        times += timer.timeit(1).times
    return times


def without_bars() -> AbstractContextManager[object]:
    """Hides progress bars, which would be drawn once for every repetition. Messages are shown."""
    return redirect_stderr(io.StringIO())


def spread(times: list[float]) -> dict[str, float]:
    """Returns the median and the 10th, 90th and 99th percentile in s, and the number of times."""
    p10, median, p90, p99 = np.percentile(times, (10, 50, 90, 99)).tolist()
    return {'median': median, 'p10': p10, 'p90': p90, 'p99': p99, 'runs': len(times)}


def operations(work: Callable[[], object]) -> int:
    """Counts the floating-point operations of the products and convolutions in one call.

    A multiplication and an addition count as two.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


class Operators(TorchDispatchMode):
    """Counts the operators that start in the block; on a GPU each is one kernel or more.

    Views are left out, as they compute nothing, and so are the profiler's marks.
    What a library call does inside, as in fused optimizers, is not seen.
    """

    count = 0

    def counts(self, func: Any) -> bool:
        """Tells whether an operator counts."""
        return not func.is_view and func.namespace != 'profiler'

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += self.counts(func)
        return func(*args, **(kwargs or {}))


def operators(work: Callable[[], object]) -> int:
    """Counts the operators that one call starts."""
    with Operators() as counter:
        work()
    return counter.count


class PythonReads(TorchFunctionMode):
    """Counts the values that Python reads from the device in the block; for each of them the CPU waits."""

    READS = {getattr(torch.Tensor, name) for name in
             ('item', 'tolist', 'cpu', 'numpy', '__bool__', '__float__', '__int__', '__index__',
              '__contains__')}

    count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in self.READS
        return func(*args, **(kwargs or {}))


class TorchReads(Operators):
    """Counts the values that torch's own code reads from the device in the block.

    Operators whose result's size depends on values read them too.
    """

    READS = ('aten::_local_scalar_dense', 'aten::nonzero', 'aten::masked_select', 'aten::is_nonzero',
             'aten::equal')

    def counts(self, func: Any) -> bool:
        """Tells whether an operator reads a value."""
        return func.name().split('.')[0] in self.READS


def reset_peak_memory(device: torch.device) -> None:
    """Forgets the peak of the memory so far: on CUDA, and for the process on Linux.

    On other systems the process's peak cannot be reset.
    """
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    clear = Path('/proc/self/clear_refs')
    if clear.exists():
        clear.write_text('5')


def peak_memory(device: torch.device) -> dict[str, int]:
    """Returns peaks in bytes: the process's resident size, and on CUDA the memory of the tensors."""
    unit = 1 if sys.platform == 'darwin' else 1024
    peak = {'rss': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    return peak | ({'cuda': torch.cuda.max_memory_allocated(device)} if device.type == 'cuda' else {})
