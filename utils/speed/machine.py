"""Measures the machine itself: its name, the speed of matrix products, the time from files to windows."""
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from utils.build import Settings, load_windows
from utils.common.environment import environment
from utils.data.windows import Windows
from utils.speed.timing import once, operations, spread, timed, without_bars


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Names the machine and the versions that the figures belong to."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    cpu = next((line.split(':')[1].strip() for line in lines if line.startswith('model name')), None)
    gpu = torch.cuda.get_device_name(device) if device.type == 'cuda' else None
    return {'device': str(device), 'gpu': gpu, 'cpu': cpu or platform.processor() or platform.machine(),
            'cores': os.cpu_count(), 'vector_instructions': torch.backends.cpu.get_cpu_capability(),
            'fp32_products': torch.get_float32_matmul_precision(), **environment()}


def measure_products(device: torch.device, *, batch: int, nodes: int, width: int, square: int,
                     seconds: float) -> dict[str, dict[str, Any]]:
    """Measures the speed of three matrix products, in FLOP/s.

    Two are those that the S-GCN is made of, with the adjacency and with the weights.
    The third is of large square matrices.

    batch: number of windows.
    nodes: N, nodes of the graph.
    width: H, features of a node.
    square: side of the large matrices.
    seconds: time to measure each product for.
    """
    shapes = {'adjacency': ((batch, nodes, nodes), (batch, nodes, width)),
              'weights': ((batch * nodes, width), (width, width)),
              'square': ((square, square), (square, square))}
    found = {}
    for name, sizes in shapes.items():
        a, b = (torch.randn(size, device=device) for size in sizes)
        if name == 'adjacency':
            a = a[:1].expand(sizes[0])  # one matrix for all windows, as in the network
        times = spread(timed(lambda: a @ b, device, seconds=seconds))  # noqa: B023
        flop = operations(lambda: a @ b)  # noqa: B023
        found[name] = {'shapes': sizes, 'flop': flop, 'time': times, 'flop_per_s': flop / times['median']}
    return found


def measure_loading(settings: Settings, root: Path, device: torch.device, *, repeats: int) -> dict[str, Any]:
    """Times the loading of all splits, from files to windows on the device.

    'cold' is the time to parse the files, 'cached' that from a cache which this measurement makes for itself.
    The first load is not counted. After it the operating system holds the files in memory, so a slow disk is
    not seen.

    repeats: how often each is timed.
    """
    def load() -> list[Windows]:
        return [load_windows(settings, root, split, device) for split in ('train', 'validation', 'test')]

    cold: list[float] = []
    cached: list[float] = []
    with (tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, XDG_CACHE_HOME=folder),
          without_bars()):
        loaded = load()
        for _ in range(repeats):
            shutil.rmtree(Path(folder) / 'ksof')
            cold.append(once(load, device))
            cached.append(once(load, device))
    return {'dataset': settings['dataset'], 'frames': sum(len(windows.frames) for windows in loaded),
            'windows': sum(len(windows) for windows in loaded), 'cold': spread(cold),
            'cached': spread(cached)}
