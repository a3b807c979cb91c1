"""What the machine can do, what training and prediction take of it, and where the rest goes."""
import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import opt
from model.dct import encoding_matrix
from model.losses import LossMeans, LossTerms
from utils.build import build_network
from utils.common.precision import tf32
from utils.data.dataset import Dataset
from utils.data.lookup import DATASETS
from utils.data.windows import Windows, all_starts
from utils.report import paper
from utils.run import choose_precision
from utils.speed.machine import Effort, measure_products
from utils.speed.timing import operations, operators, peak_memory, reset_peak_memory, spread, timed, wait_for, without_bars
from utils.train.engine import evaluate, train_step
from utils.train.loop import Training, build_training

PARTS = ('data', 'forward', 'loss', 'backward', 'optimiser', 'rest')
TOP = 8  # operators shown


def settings(dataset: str, d_model: int, more: list[str]) -> argparse.Namespace:
    """The README's options for a dataset at a width, with more options of the mains."""
    reader = DATASETS[dataset]
    words = [*paper.command(dataset, '.')[1:], '--d_model', str(d_model), *more]
    return opt.parse(reader.name, reader.title, {}, node_n=reader.skeleton.node_n, argv=words)


def invented_windows(reader: Dataset, options: argparse.Namespace, frames: int, device: torch.device) -> Windows:
    """One recording of joints that wander a few mm a frame, with a dataset's shapes."""
    generator = torch.Generator().manual_seed(0)
    joints = len(reader.skeleton.joints)
    motion = torch.randn(frames, 3 * joints, generator=generator).mul(5).cumsum(0).to(device)
    starts = torch.from_numpy(all_starts(frames, options.input_n + options.output_n)).to(device)
    columns = torch.arange(3 * joints).view(-1, 3)[list(reader.skeleton.predicted)].flatten().to(device)
    return Windows(reader.actions, motion, starts, torch.zeros_like(starts), options.input_n, options.output_n, columns,
                   encoding_matrix(options.input_n, options.output_n, options.dct_n).to(device), [(0, 'invented')])


def invented_training(options: argparse.Namespace, frames: int, device: torch.device) -> Training:
    """A run as a main would begin it, on invented motion; it writes nothing."""
    torch.manual_seed(options.seed)
    reader = DATASETS[options.dataset]
    windows = invented_windows(reader, options, frames, device)
    training = build_training(build_network(vars(options)).to(device), {'train': windows}, reader.skeleton, options, Path())
    training.model.train()
    return training


def stepper(training: Training) -> Callable[[], None]:
    """Does one training step, on other windows each time."""
    options, windows = training.options, training.windows['train']
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    batches = order.split(options.batch_size)[: max(1, len(order) // options.batch_size)]

    def step() -> None:
        index = batches[training.progress.step % len(batches)].to(windows.starts.device)
        with tf32(options.tf32):
            train_step(training.network, training.criterion, windows.batch(index), training.optimiser, training.schedule,
                       training.progress, clip_norm=options.clip_norm, guard=options.skip_bad_steps > 0, amp=options.amp)
    return step


def step_parts(training: Training, step: Callable[[], None], device: torch.device, effort: Effort) -> dict[str, Any]:
    """Where a step's time goes: spread of each part in s. On a GPU each part is waited for, so their sum is more than a step."""
    marks: list[float] = []

    def mark(*_: object) -> None:
        wait_for(device)
        marks.append(time.perf_counter())

    hooks = [training.network.register_forward_pre_hook(mark), training.network.register_forward_hook(mark),
             training.optimiser.register_step_pre_hook(mark), training.optimiser.register_step_post_hook(mark)]
    combine, steps = training.criterion.combine, []

    def marked_combine(means: LossMeans) -> LossTerms:
        terms = combine(means)
        mark()
        return terms

    training.criterion.combine = marked_combine  # type: ignore[method-assign]
    for _ in range(effort.least):
        marks.clear()
        mark()
        step()
        mark()
        steps.append([after - before for before, after in zip(marks, marks[1:], strict=False)])
    for hook in hooks:
        hook.remove()
    del training.criterion.combine
    return {part: spread(list(times)) for part, times in zip(PARTS, zip(*steps, strict=True), strict=True)}


def top_operators(work: Callable[[], None], device: torch.device) -> list[dict[str, Any]]:
    """The operators that take most of one call: name, share of the time in operators, calls."""
    cuda = device.type == 'cuda'
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as profiler:
        work()
        wait_for(device)
    found = [(event.self_device_time_total if cuda else event.self_cpu_time_total, event.key, event.count)
             for event in profiler.key_averages()]
    whole = sum(time for time, *_ in found) or 1
    return [{'name': name, 'share': time / whole, 'calls': calls} for time, name, calls in sorted(found, reverse=True)[:TOP]]


def measure_evaluation(training: Training, device: torch.device, effort: Effort) -> dict[str, Any]:
    """The evaluation loop on two batches: time of a window, and operations."""
    batch, model, windows = training.options.test_batch_size, training.model.eval(), training.windows['train']
    few = replace(windows, starts=windows.starts[: 2 * batch], action_index=windows.action_index[: 2 * batch])

    def work() -> object:
        return evaluate(lambda *views: model(*views).fused, few, training.skeleton, batch_size=batch, title='evaluating')

    def predict() -> object:  # the counter does not get along with inference mode
        views = few.batch(torch.arange(len(few), device=device))
        with torch.no_grad():
            return model(views.observed, views.coefficients)

    with without_bars():
        times = spread(timed(work, device, seconds=effort.seconds, least=effort.least))
    return {'windows': len(few), 'flop': operations(predict), 'time': times, 'windows_per_s': len(few) / times['median']}


def measure_latency(training: Training, device: torch.device, effort: Effort) -> list[dict[str, Any]]:
    """Time from one window's poses, on the device, to its prediction: with one thread and with all."""
    model, threads = training.model.eval(), torch.get_num_threads()
    observed = training.windows['train'].batch(torch.zeros(1, dtype=torch.long, device=device)).observed
    found = []
    with torch.inference_mode():
        for number in (1, threads) if threads > 1 else (1,):
            torch.set_num_threads(number)
            try:
                times = timed(lambda: model(observed).fused, device, seconds=effort.seconds, least=4 * effort.least)
            finally:
                torch.set_num_threads(threads)
            found.append({'threads': number, 'time': spread(times)})
    return found


def measure(dataset: str, d_model: int, more: list[str], device: torch.device, effort: Effort) -> dict[str, Any]:
    """Everything about one dataset at one width."""
    options = settings(dataset, d_model, more)
    choose_precision(options, device)
    products = measure_products(options, device, effort)
    training = invented_training(options, effort.frames, device)
    reset_peak_memory(device)
    step = stepper(training)
    times = spread(timed(step, device, seconds=effort.seconds, least=effort.least))
    memory = peak_memory(device)
    found = {'dataset': dataset, 'd_model': d_model, 'batch_size': options.batch_size, 'test_batch_size': options.test_batch_size,
             'parameters': sum(p.numel() for p in training.model.parameters()), 'products': products,
             'step': times, 'step_flop': operations(step), 'step_operators': operators(step),
             'train_windows_per_s': options.batch_size / times['median'], 'peak_memory': memory,
             'parts': step_parts(training, step, device, effort), 'top_operators': top_operators(step, device)}
    return found | {'evaluation': measure_evaluation(training, device, effort),
                    'latency': measure_latency(training, device, effort)}
