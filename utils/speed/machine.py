"""What the machine itself can do: its name, the speed of matrix products, the time from files to windows."""
import argparse
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.common import checkpoint
from utils.common.errors import InputError
from utils.data.dataset import Dataset, find_root
from utils.data.lookup import DATASETS
from utils.data.windows import Windows
from utils.run import load_windows
from utils.speed.timing import operations, spread, timed, wait_for, without_bars


@dataclass(frozen=True)
class Effort:
    """How long each figure is measured: for so many s, and at least so many times. frames: of the invented motion."""

    seconds: float
    least: int
    frames: int
    square: int


FULL, QUICK = Effort(2.5, 5, 20_000, 2048), Effort(0.0, 2, 400, 64)


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What the figures belong to."""
    cpuinfo = Path('/proc/cpuinfo')
    names = [line.split(':')[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith('model name')] \
        if cpuinfo.exists() else []
    return {'device': str(device), 'gpu': torch.cuda.get_device_name(device) if device.type == 'cuda' else None,
            'cpu': names[0] if names else platform.processor() or platform.machine(), 'cores': os.cpu_count(),
            'vector_instructions': torch.backends.cpu.get_cpu_capability(),
            'fp32_products': torch.get_float32_matmul_precision(), **checkpoint.environment()}


def measure_products(options: argparse.Namespace, device: torch.device, effort: Effort) -> dict[str, dict[str, Any]]:
    """Speed of the two products that the S-GCN is made of, and of a large square one, in FLOP/s."""
    batch, nodes, width = options.batch_size, options.node_n, options.d_model * options.dct_n
    square = effort.square * (4 if device.type == 'cuda' and effort is FULL else 1)
    shapes: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], tuple[int, ...], tuple[int, ...]]] = {
        'adjacency': (lambda a, x: torch.bmm(a.expand(batch, -1, -1), x), (nodes, nodes), (batch, nodes, width)),
        'weights': (torch.mm, (batch * nodes, width), (width, width)), 'square': (torch.mm, (square, square), (square, square))}
    found = {}
    for name, (product, *sizes) in shapes.items():
        a, b = (torch.randn(size, device=device) for size in sizes)
        times = spread(timed(lambda: product(a, b), device, seconds=effort.seconds / 5, least=effort.least))  # noqa: B023
        flop = operations(lambda: product(a, b))  # noqa: B023
        found[name] = {'shapes': sizes, 'flop': flop, 'time': times, 'flop_per_s': flop / times['median']}
    return found


def measure_loading(reader: Dataset, root: Path, options: argparse.Namespace, device: torch.device,
                    effort: Effort) -> dict[str, Any]:
    """Time from files to windows of all three splits on the device: parsed, and from the cache, which is a temporary one.

    The files themselves are in memory after the first time, where there is room: a disk's own slowness is not in this.
    """
    def load() -> list[Windows]:
        return [load_windows(reader, root, split, options, device) for split in ('train', 'validation', 'test')]

    before = os.environ.get('XDG_CACHE_HOME')
    cold: list[float] = []
    cached: list[float] = []
    with tempfile.TemporaryDirectory() as folder, without_bars():
        os.environ['XDG_CACHE_HOME'] = folder
        try:
            for _ in range(2 if effort is QUICK else 3):
                for child in Path(folder).iterdir():
                    shutil.rmtree(child)
                for times in cold, cached:
                    started = time.perf_counter()
                    loaded = load()
                    wait_for(device)
                    times.append(time.perf_counter() - started)
        finally:
            os.environ.pop('XDG_CACHE_HOME')
            if before is not None:
                os.environ['XDG_CACHE_HOME'] = before
    return {'dataset': reader.name, 'frames': sum(len(windows.frames) for windows in loaded),
            'windows': sum(len(windows) for windows in loaded), 'cold': spread(cold), 'cached': spread(cached)}


def roots(data_dir: str, datasets: list[str]) -> dict[str, Path]:
    """The folders of the datasets that are in data_dir. InputError where none is."""
    found = {}
    for name in datasets:
        try:
            found[name] = find_root(data_dir, DATASETS[name])
        except InputError as error:
            missing = error
    if not found:
        raise missing
    return found
