"""What training and prediction take of a machine, and where a step's time goes."""
import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

import opt
from model.dct import encoding_matrix
from utils.build import build_network
from utils.common.precision import tf32
from utils.data.dataset import Reader
from utils.data.lookup import READERS
from utils.data.windows import Windows, all_starts
from utils.report import paper
from utils.run import choose_precision
from utils.speed.machine import measure_products
from utils.speed.timing import (
    operations,
    operators,
    peak_memory,
    reset_peak_memory,
    spread,
    timed,
    timed_singly,
    wait_for,
    without_bars,
)
from utils.train.engine import evaluate, train_step
from utils.train.loop import Training, build_training

PARTS = ('data', 'forward', 'loss', 'backward', 'optimizer', 'rest')  # of a step; all but the rest are marked in it
STEP = 'training step'
TOP = 8  # operators shown


@dataclass(frozen=True)
class Effort:
    """How much is measured: seconds for each figure, frames of synthetic motion, side of the large matrices."""

    seconds: float
    frames: int
    square: int


FULL, QUICK = Effort(2.0, 20_000, 2048), Effort(0.0, 400, 64)


def settings(dataset: str, d_model: int, more: list[str]) -> argparse.Namespace:
    """Returns the paper's options for a dataset at a width, with more options of the mains."""
    reader = READERS[dataset]
    words = [*paper.command(dataset, '.')[1:], '--d_model', str(d_model), *more]
    return opt.parse(reader.name, reader.title, {}, node_n=reader.skeleton.node_n, argv=words)


def synthetic_windows(reader: Reader, options: argparse.Namespace, frames: int, device: torch.device) -> Windows:
    """Makes one recording of joints that wander a few mm a frame, with a dataset's shapes."""
    generator = torch.Generator().manual_seed(0)
    joints = len(reader.skeleton.joints)
    motion = torch.randn(frames, 3 * joints, generator=generator).mul(5).cumsum(0).to(device)
    starts = torch.from_numpy(all_starts(frames, options.input_n + options.output_n)).to(device)
    columns = torch.arange(3 * joints).view(-1, 3)[list(reader.skeleton.predicted)].flatten().to(device)
    encoding = encoding_matrix(options.input_n, options.output_n, options.dct_n).to(device)
    return Windows(reader.actions, motion, starts, torch.zeros_like(starts), options.input_n, options.output_n, columns,
                   encoding, [(0, 'synthetic')])


def synthetic_training(options: argparse.Namespace, frames: int, device: torch.device) -> Training:
    """Builds a run as a main would begin it, on synthetic motion; it writes nothing."""
    torch.manual_seed(options.seed)
    reader = READERS[options.dataset]
    windows = synthetic_windows(reader, options, frames, device)
    training = build_training(build_network(vars(options)).to(device), {'train': windows}, reader.skeleton, options, Path())
    training.model.train()
    return training


def stepper(training: Training) -> Callable[[], None]:
    """Returns a function that does one training step, on other windows each time."""
    options, windows = training.options, training.windows['train']
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    batches = order.split(options.batch_size)[: max(1, len(order) // options.batch_size)]

    def step() -> None:
        with record_function('data'):
            index = batches[training.progress.step % len(batches)].to(windows.starts.device)
            batch = windows.batch(index)
        with tf32(options.tf32):
            train_step(training.network, training.criterion, batch, training.optimiser, training.schedule,
                       training.progress, clip_norm=options.clip_norm, guard=options.skip_bad_steps > 0, amp=options.amp)
    return step


def profile_step(step: Callable[[], None], device: torch.device, *, steps: int) -> dict[str, Any]:
    """Profiles training steps: 'parts', the spread of each in s, and 'top_operators', those that take most.

    The parts are the marks in `train_step`. On a GPU they are the time the processor takes to start them, and the
    operators' time is the device's.
    """
    cuda = device.type == 'cuda'
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as profiler:
        for _ in range(steps):
            with record_function(STEP):
                step()
        wait_for(device)
    marks: dict[str, list[float]] = {name: [] for name in (STEP, *PARTS[:-1])}
    for event in profiler.events():
        if event.name in marks and event.device_type == DeviceType.CPU:
            marks[event.name].append(event.time_range.elapsed_us() / 1e6)
    wholes = marks.pop(STEP)
    marks['rest'] = [whole - sum(parts) for whole, *parts in zip(wholes, *marks.values(), strict=True)]
    own = [(event.self_device_time_total if cuda else event.self_cpu_time_total, event.key, event.count)
           for event in profiler.key_averages()]
    total = sum(time for time, *_ in own) or 1
    top = sorted((entry for entry in own if entry[1] not in (STEP, *PARTS)), reverse=True)[:TOP]
    return {'parts': {part: spread(times) for part, times in marks.items()},
            'top_operators': [{'name': name, 'share': time / total, 'calls': calls / steps} for time, name, calls in top]}


def measure_evaluation(training: Training, device: torch.device, *, seconds: float) -> dict[str, Any]:
    """Measures the evaluation loop on two batches: time, windows/s, and operations of the predictions."""
    batch, model, windows = training.options.test_batch_size, training.model.eval(), training.windows['train']
    few = replace(windows, starts=windows.starts[: 2 * batch], action_index=windows.action_index[: 2 * batch])

    def work() -> object:
        return evaluate(lambda *views: model(*views).fused, few, training.skeleton, batch_size=batch, title='evaluating')

    def predict() -> object:  # the counter does not get along with inference mode
        views = few.batch(torch.arange(len(few), device=device))
        with torch.no_grad():
            return model(views.observed, views.coefficients)

    with without_bars():
        times = spread(timed(work, device, seconds=seconds))
    return {'windows': len(few), 'flop': operations(predict), 'time': times, 'windows_per_s': len(few) / times['median']}


def measure_latency(training: Training, device: torch.device, *, seconds: float) -> list[dict[str, Any]]:
    """Times the way from one window's poses, on the device, to its prediction: with one thread and with all."""
    model = training.model.eval()
    observed = training.windows['train'].batch(torch.zeros(1, dtype=torch.long, device=device)).observed
    with torch.inference_mode():
        return [{'threads': threads,
                 'time': spread(timed_singly(lambda: model(observed).fused, device, seconds=seconds, threads=threads))}
                for threads in sorted({1, torch.get_num_threads()})]


def measure(dataset: str, d_model: int, more: list[str], device: torch.device, effort: Effort) -> dict[str, Any]:
    """Measures everything about one dataset at one width."""
    options = settings(dataset, d_model, more)
    choose_precision(options, device)
    square = effort.square * (4 if device.type == 'cuda' and effort is FULL else 1)
    products = measure_products(device, batch=options.batch_size, nodes=options.node_n, square=square,
                                width=options.d_model * options.dct_n, seconds=effort.seconds / 5)
    training = synthetic_training(options, effort.frames, device)
    reset_peak_memory(device)
    step = stepper(training)
    times = spread(timed(step, device, seconds=effort.seconds))
    memory = peak_memory(device)
    return {'dataset': dataset, 'd_model': d_model, 'batch_size': options.batch_size,
            'test_batch_size': options.test_batch_size,
            'parameters': sum(p.numel() for p in training.model.parameters()), 'products': products,
            'step': times, 'step_flop': operations(step), 'step_operators': operators(step),
            'train_windows_per_s': options.batch_size / times['median'], 'peak_memory': memory,
            **profile_step(step, device, steps=5),
            'evaluation': measure_evaluation(training, device, seconds=effort.seconds),
            'latency': measure_latency(training, device, seconds=effort.seconds)}
