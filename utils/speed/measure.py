"""Measures time, operations and memory of training and prediction, and where a step's time goes."""
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from model.dct import encoding_matrix
from utils.build import Settings, build_loss, build_network, train_settings
from utils.common.precision import choose_precision, tf32
from utils.data.dataset import Dataset
from utils.data.lookup import DATASETS
from utils.data.windows import Windows, all_starts
from utils.evaluate.scoring import evaluate
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
from utils.train.engine import train_step
from utils.train.loop import Training, build_training

PARTS = ('data', 'forward', 'loss', 'backward', 'optimizer', 'rest')  # of a step; all but the rest are marked
STEP = 'training step'
TOP = 8  # operators shown


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure.

    seconds: time to measure each figure for.
    frames: length of the synthetic motion.
    square: side of the large matrices.
    """

    seconds: float
    frames: int
    square: int


FULL, QUICK = Effort(2.0, 20_000, 2048), Effort(0.0, 400, 64)


def synthetic_windows(dataset: Dataset, settings: Settings, frames: int, device: torch.device) -> Windows:
    """Makes one recording with a dataset's shapes, whose joints move by a few mm a frame at random."""
    generator = torch.Generator().manual_seed(0)
    joints = len(dataset.skeleton.joints)
    input_n, output_n = settings['input_n'], settings['output_n']
    motion = torch.randn(frames, 3 * joints, generator=generator).mul(5).cumsum(0).to(device)
    starts = torch.from_numpy(all_starts(frames, input_n + output_n)).to(device)
    columns = torch.arange(3 * joints).view(-1, 3)[list(dataset.skeleton.predicted)].flatten().to(device)
    encoding = encoding_matrix(input_n, output_n, settings['dct_n']).to(device)
    return Windows(dataset.actions, motion, starts, torch.zeros_like(starts), input_n, output_n, columns,
                   encoding, [(0, 'synthetic')])


def new_training(settings: Settings, windows: Windows) -> Training:
    """Builds a training as a main would begin it, on the windows' device; it writes nothing."""
    torch.manual_seed(settings['seed'])
    network, skeleton = build_network(settings), DATASETS[settings['dataset']].skeleton
    return build_training(network.to(windows.frames.device), build_loss(settings), {'train': windows},
                          skeleton, train_settings(settings), folder=Path(), options=settings)


def synthetic_training(settings: Settings, frames: int, device: torch.device) -> Training:
    """Builds a training on synthetic motion, in training mode."""
    windows = synthetic_windows(DATASETS[settings['dataset']], settings, frames, device)
    training = new_training(settings, windows)
    training.state.network.train()
    return training


def stepper(training: Training) -> Callable[[], None]:
    """Returns a function that does one training step, on different windows at each call."""
    state, settings, windows = training.state, training.settings, training.windows['train']
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    batches = order.split(settings.batch_size)[: max(1, len(order) // settings.batch_size)]

    def step() -> None:
        with record_function('data'):
            index = batches[state.progress.step % len(batches)].to(windows.starts.device)
            batch = windows.batch(index)
        with tf32(settings.tf32):
            train_step(state, batch, settings)
    return step


def profile_step(step: Callable[[], None], device: torch.device, *, steps: int) -> dict[str, Any]:
    """Profiles training steps.

    'parts' is the spread of the time of each part that `train_step` marks, in s.
    'top_operators' names the operators that take most time.
    On a GPU the time of a part is what the CPU takes to start it; the time of an operator is the device's.
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
            'top_operators': [{'name': name, 'share': time / total, 'calls': calls / steps}
                              for time, name, calls in top]}


def measure_evaluation(training: Training, device: torch.device, *, seconds: float) -> dict[str, Any]:
    """Measures the evaluation loop on two batches: time, windows/s, and operations of the predictions."""
    batch, model = training.settings.test_batch_size, training.state.model.eval()
    windows = training.windows['train']
    few = replace(windows, starts=windows.starts[: 2 * batch], action_index=windows.action_index[: 2 * batch])

    def work() -> object:
        return evaluate(lambda *views: model(*views).fused, few, training.skeleton, batch_size=batch,
                        title='evaluating')

    def predict() -> object:  # the counter of operations does not work in inference mode
        views = few.batch(torch.arange(len(few), device=device))
        with torch.no_grad():
            return model(views.observed, views.coefficients)

    with without_bars():
        times = spread(timed(work, device, seconds=seconds))
    return {'windows': len(few), 'flop': operations(predict), 'time': times,
            'windows_per_s': len(few) / times['median']}


def measure_latency(training: Training, device: torch.device, *, seconds: float) -> list[dict[str, Any]]:
    """Times the prediction of one window on the device, with one CPU thread and with all."""
    observed = training.windows['train'].batch(torch.zeros(1, dtype=torch.long, device=device)).observed
    model = training.state.model.eval()
    return [{'threads': threads, 'time': latency(model, observed, seconds=seconds, threads=threads)}
            for threads in sorted({1, torch.get_num_threads()})]


@torch.inference_mode()
def latency(network: nn.Module, observed: Tensor, *, seconds: float, threads: int = 1) -> dict[str, float]:
    """Returns the spread of the time of one prediction, s.

    observed: (1, T_in, N) in mm, on the network's device.
    """
    return spread(timed_singly(lambda: network(observed), observed.device, seconds=seconds, threads=threads))


def measure(settings: Settings, device: torch.device, effort: Effort) -> dict[str, Any]:
    """Measures everything about the network and the training that the settings describe."""
    settings = choose_precision(settings, device)
    batch_size = settings['batch_size']
    square = effort.square * (4 if device.type == 'cuda' and effort is FULL else 1)
    products = measure_products(device, batch=batch_size, nodes=settings['node_n'], square=square,
                                width=settings['d_model'] * settings['dct_n'], seconds=effort.seconds / 5)
    training = synthetic_training(settings, effort.frames, device)
    reset_peak_memory(device)
    step = stepper(training)
    times = spread(timed(step, device, seconds=effort.seconds))
    memory = peak_memory(device)
    return {'dataset': settings['dataset'], 'd_model': settings['d_model'], 'batch_size': batch_size,
            'test_batch_size': settings['test_batch_size'],
            'parameters': sum(p.numel() for p in training.state.model.parameters()), 'products': products,
            'step': times, 'step_flop': operations(step), 'step_operators': operators(step),
            'train_windows_per_s': batch_size / times['median'], 'peak_memory': memory,
            **profile_step(step, device, steps=5),
            'evaluation': measure_evaluation(training, device, seconds=effort.seconds),
            'latency': measure_latency(training, device, seconds=effort.seconds)}
