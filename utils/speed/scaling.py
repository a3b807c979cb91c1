"""A small computed model of training on several GPUs: communication against computation, from the network's real counts."""
import math
from typing import NamedTuple

import torch
from torch import nn

from utils.report.page import text_table
from utils.speed.measure import invented_training, settings, stepper
from utils.speed.timing import operations, operators

# What is assumed of the machines. Change these to one's own.
DEVICE_FLOP_PER_S = 20e12  # what a GPU reaches in fp32 products of these shapes
LAUNCH_S = 5e-6  # to start one operator
BACKWARD_SHARE = 2 / 3  # of a step's computation, behind which the gradients' exchange can hide
BYTES = 4  # of a gradient


class Cluster(NamedTuple):
    """Devices, what the slowest link on the ring carries in bytes/s each way, and the time of the smallest all-reduce in s."""

    name: str
    devices: int
    bandwidth: float
    latency: float


CLUSTERS = (Cluster('8 GPUs, NVLink', 8, 300e9, 20e-6), Cluster('8 GPUs, PCIe', 8, 20e9, 30e-6),
            Cluster('4 x 8 GPUs, 200 Gbit/s', 32, 25e9, 60e-6), Cluster('4 x 8 GPUs, 10 Gbit/s', 32, 1.25e9, 100e-6))


class Work(NamedTuple):
    """One device's part of a training step. norms: batch norms that the devices would share."""

    batch_size: int
    parameters: int
    flop: float
    operators: int
    norms: int


def work_of(dataset: str, d_model: int, more: list[str]) -> Work:
    """Counted in steps of two windows: products grow with the batch, everything else that is counted does not."""
    batch_size = settings(dataset, d_model, more).batch_size
    training = invented_training(settings(dataset, d_model, [*more, '--batch_size', '2']), 400, torch.device('cpu'))
    step = stepper(training)
    return Work(batch_size, sum(p.numel() for p in training.model.parameters()), operations(step) * batch_size / 2,
                100 * math.ceil(operators(step) / 100), sum(isinstance(m, nn.BatchNorm1d) for m in training.model.modules()))


def compute_time(work: Work, *, graphs: bool) -> float:
    """s; the processor starts operators while the device works, so the slower of the two counts. graphs: CUDA graphs start a
    whole step at once."""
    products = work.flop / DEVICE_FLOP_PER_S
    return products if graphs else max(products, work.operators * LAUNCH_S)


def exchange_time(work: Work, cluster: Cluster) -> float:
    """s of a ring all-reduce of all gradients: each device sends and receives 2 (n - 1) / n of them."""
    volume = 2 * (cluster.devices - 1) / cluster.devices * BYTES * work.parameters
    return cluster.latency + volume / cluster.bandwidth


def efficiency(work: Work, cluster: Cluster, *, graphs: bool = False, shared_norms: bool = False) -> float:
    """Share of a step that is computation. Batch norm statistics are exchanged once forward and once backward, and nothing
    hides that: every layer waits for them. Their volume is too small to count."""
    computing = compute_time(work, graphs=graphs)
    waiting = max(0.0, exchange_time(work, cluster) - BACKWARD_SHARE * computing)
    return computing / (computing + waiting + shared_norms * 2 * work.norms * cluster.latency)


def plan(datasets: list[str], d_model: int, more: list[str]) -> str:
    """Two tables: what a step takes on one device, and what becomes of it on several."""
    works = {dataset: work_of(dataset, d_model, more) for dataset in datasets}
    one = [['dataset', 'windows', 'M parameters', 'GFLOP', 'operators', 'products, ms', 'starting, ms'], *(
        [dataset, str(work.batch_size), f'{work.parameters / 1e6:.2f}', f'{work.flop / 1e9:.1f}', str(work.operators),
         f'{1000 * work.flop / DEVICE_FLOP_PER_S:.2f}', f'{1000 * work.operators * LAUNCH_S:.2f}']
        for dataset, work in works.items())]
    heads = ['machines', 'dataset', 'effective batch', 'exchange, ms', 'efficiency', 'with CUDA graphs', 'with shared norms']
    several = [heads, *(
        [cluster.name, dataset, str(cluster.devices * work.batch_size), f'{1000 * exchange_time(work, cluster):.2f}',
         f'{efficiency(work, cluster):.0%}', f'{efficiency(work, cluster, graphs=True):.0%}',
         f'{efficiency(work, cluster, shared_norms=True):.0%}']
        for cluster in CLUSTERS for dataset, work in works.items())]
    return f'{text_table(one)}\n\n{text_table(several, names=2)}'
