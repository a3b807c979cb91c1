"""Checks this project on a GPU: errors in every number format, speed, memory, host reads, two processes.

Each check is one row of a table. A check that raises becomes a row that says so, and the others go on.
"""
import csv
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from utils.build import Settings, load_windows
from utils.common.checkpoint import reason_of
from utils.common.environment import PROJECT
from utils.common.precision import tf32
from utils.data.windows import Windows
from utils.report.tables import markdown_table
from utils.speed.measure import new_training
from utils.speed.timing import PythonReads, TorchReads, peak_memory, reset_peak_memory
from utils.train.engine import LOG_EVERY, epoch_order, mean_terms, train_epoch
from utils.train.loop import Training

OK, FAILED, NOT_RUN = 'ok', 'FAILED', 'not run'
PLAIN = 'plain'
# The settings that each run changes, and how far its MPJPE over the epoch may be from the plain run's, as a
# share of it. Rounding errors grow from step to step, so correct runs differ too.
VARIANTS: dict[str, tuple[Mapping[str, bool], float]] = {
    PLAIN: ({}, 0.0), '--tf32': ({'tf32': True}, 0.02), '--amp': ({'amp': True}, 0.05),
    '--compile': ({'compile': True}, 0.02)}
ON_CPU = 1e-3  # tolerance between GPU and CPU, over the first LOG_EVERY steps
TWO_PROCESSES = 0.02  # between one process and two that share its steps, over an epoch
NEEDS_CUDA = 'needs CUDA'


@dataclass
class Check:
    """One row of the report.

    name: what is checked.
    status: OK, FAILED or NOT_RUN.
    note: what the report says below the table.
    mpjpe: mean over the epoch's steps, in mm.
    windows_per_s: training speed.
    megabytes: peak memory of the process, then of the tensors on the GPU.
    reads: number of values that the CPU read from the device.
    """

    name: str
    status: str
    note: str = ''
    mpjpe: float = math.nan
    windows_per_s: float = math.nan
    megabytes: list[float] = field(default_factory=list)
    reads: int | None = None


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """Runs a check.

    An exception becomes the note of a failed check, because the report must be written whatever happens.
    """
    try:
        return check()
    except Exception as error:
        return Check(name, FAILED, f'{type(error).__name__}: {reason_of(error)}')


def on_cuda(name: str, device: torch.device, check: Callable[[], Check]) -> Check:
    """Runs a check that needs CUDA, where there is CUDA."""
    return guarded(name, check) if device.type == 'cuda' else Check(name, NOT_RUN, NEEDS_CUDA)


def run_steps(training: Training, steps: int | None) -> tuple[float, float]:
    """Trains for an epoch, or for its first `steps`.

    Returns MPJPE over all steps in mm, and the speed in windows/s.
    The speed leaves out the steps before the first log step, in which a GPU warms up.
    """
    settings, windows, progress = training.settings, training.windows['train'], training.state.progress
    order = epoch_order(len(windows), seed=settings.seed, epoch=1)
    if steps is not None:
        order = order[: steps * settings.batch_size]
    marks = []
    with tf32(settings.tf32):
        for _ in train_epoch(training.state, windows, settings, order=order, title='checking'):
            marks.append((progress.step, progress.seconds))
    (first, begun), (last, ended) = marks[0], marks[-1]
    speed = (last - first) * settings.batch_size / (ended - begun) if last > first else math.nan
    return mean_terms(progress)['fused'], speed


def check_line(name: str, settings: Settings, windows: Windows, steps: int | None) -> Check:
    """Trains one epoch and notes MPJPE, windows/s and peak memory."""
    device = windows.frames.device
    reset_peak_memory(device)
    mpjpe, speed = run_steps(new_training(settings, windows), steps)
    memory = [bytes_ / 1e6 for bytes_ in peak_memory(device).values()]
    status, note = (OK, '') if math.isfinite(mpjpe) else (FAILED, 'MPJPE is not finite')
    return Check(name, status, note, mpjpe, speed, memory)


def check_reads(name: str, settings: Settings, windows: Windows) -> Check:
    """Counts the values that the CPU reads from the device; for each of them it waits.

    Between two log steps there may be none.
    So an epoch of more steps and as many log steps must not read more values.
    """
    counts = []
    for steps in (LOG_EVERY + 2, 2 * LOG_EVERY):  # two log steps each
        with PythonReads() as python, TorchReads() as inner:
            run_steps(new_training(settings, windows), steps)
        counts.append(max(python.count, inner.count))
    fewer, more = counts
    note = f'{fewer} in {LOG_EVERY + 2} steps, {more} in {2 * LOG_EVERY}'
    return Check(name, OK if fewer == more else FAILED, note, reads=more)


def compared(check: Check, reference: Check, tolerance: float) -> Check:
    """Fails a check whose MPJPE is further from the reference's than the tolerance, relative."""
    if check.status != OK or reference.status != OK:
        return check
    difference = abs(check.mpjpe / reference.mpjpe - 1)
    check.note = f'MPJPE {difference:.1e} off "{reference.name}", {tolerance:g} allowed'
    if not difference <= tolerance:
        check.status = FAILED
    return check


def check_dataset(settings: Settings, root: Path, device: torch.device, steps: int | None) -> list[Check]:
    """Trains an epoch at one dataset's settings on synthetic motion, in every number format.

    settings: without dropout, whose random numbers differ between formats and devices.
    root: the dataset's folder.
    steps: steps to train; None for a whole epoch.
    """
    name = settings['dataset']
    windows = load_windows(settings, root, 'train', device)
    checks: dict[str, Check] = {}
    for variant, (changes, tolerance) in VARIANTS.items():
        title = f'{name} {variant}'
        check = partial(check_line, title, dict(settings) | dict(changes), windows, steps)
        checks[variant] = on_cuda(title, device, check) if changes else guarded(title, check)
        if changes:
            compared(checks[variant], checks[PLAIN], tolerance)
    reads, devices = f'{name} readings', f'{name} as on the CPU'
    return [*checks.values(), guarded(reads, lambda: check_reads(reads, settings, windows)),
            on_cuda(devices, device, lambda: check_devices(devices, settings, root, windows))]


def check_devices(name: str, settings: Settings, root: Path, windows: Windows) -> Check:
    """Compares the first steps on the GPU with the same steps on the CPU."""
    on_cpu = load_windows(settings, root, 'train', torch.device('cpu'))
    reference = check_line('the CPU', settings, on_cpu, LOG_EVERY)
    return compared(check_line(name, settings, windows, LOG_EVERY), reference, ON_CPU)


def check_tests(device: torch.device) -> Check:
    """Runs the tests that need CUDA."""
    name = 'CUDA tests'

    def check() -> Check:
        command = [sys.executable, '-m', 'pytest', '-m', 'cuda', '-p', 'no:cacheprovider', '--durations=0']
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
        lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ['no output']
        failed = [line for line in lines if line.startswith(('FAILED', 'ERROR'))]
        return Check(name, OK if done.returncode == 0 else FAILED, '; '.join([lines[-1], *failed]))
    return on_cuda(name, device, check)


def check_two_processes(words: list[str], folder: Path, gpus: int) -> Check:
    """Compares an epoch of one process with an epoch of two processes that share its steps, by torchrun.

    words: command line of a main, with the batch size of one process.
    folder: where both run folders are made.
    gpus: number of GPUs of this machine.
    """
    name = 'two GPUs by torchrun'
    if gpus < 2:
        return Check(name, NOT_RUN, 'needs two GPUs')
    batch = int(words[words.index('--batch_size') + 1])
    one = run_main([sys.executable, *words], folder / 'one')
    torchrun = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']
    two = run_main([*torchrun, *words, '--batch_size', str(batch // 2)], folder / 'two')
    check = Check(name, OK, mpjpe=float(two['fused']), windows_per_s=float(two['windows_per_s']))
    return compared(check, Check('one process', OK, mpjpe=float(one['fused'])), TWO_PROCESSES)


def run_main(command: list[str], folder: Path) -> dict[str, str]:
    """Runs a main for one epoch into a run folder and returns the epoch's row of its history.

    Raises RuntimeError with the last line of its messages if it fails.
    """
    whole = [*command, '--epoch', '1', '--exp', str(folder)]
    done = subprocess.run(whole, cwd=PROJECT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ['no message'])[-1])
    with (folder / 'history.csv').open() as file:
        return next(csv.DictReader(file))


def cuda_facts() -> dict[str, Any]:
    """Describes the GPUs and the libraries that drive them."""
    if not torch.cuda.is_available():
        return {'CUDA': f'not available (torch {torch.__version__} for CUDA {torch.version.cuda})'}
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    names = [f'{gpu.name} ({gpu.total_memory / 1e9:.0f} GB, capability {gpu.major}.{gpu.minor})'
             for gpu in gpus]
    return {'GPUs': ', '.join(names), 'CUDA': torch.version.cuda, 'cuDNN': torch.backends.cudnn.version(),
            'NCCL': torch.cuda.nccl.version()}


def report(machine: Mapping[str, Any], checks: list[Check], *, small: bool) -> str:
    """Returns the report as Markdown: machine, table, what failed, what was not run.

    small: whether the network is narrow and the steps are few, so that the figures mean nothing.
    """
    heads = ['check', 'result', 'windows/s', 'MPJPE, mm', 'MB', 'readings']
    rows = [[check.name, check.status, shown(check.windows_per_s, '.0f'), shown(check.mpjpe, '.3f'),
             ' + '.join(f'{value:.0f}' for value in check.megabytes) or '-',
             '-' if check.reads is None else str(check.reads)] for check in checks]
    about = ('A narrow network, few steps: the figures are worth nothing. ' if small else '') \
        + "Synthetic motion, no dropout. MB: the process's peak, and the tensors' on the GPU."
    lines = ['# GPU check', '', *(f'- {name}: {value}' for name, value in machine.items()), '',
             about, '', markdown_table([heads, *rows], names=2)]
    for title, status in (('Failed', FAILED), ('Not run', NOT_RUN), ('Noted', OK)):
        noted = [check for check in checks if check.status == status and check.note]
        lines += ['', f'{title}: {len(noted)}' + (':' if noted else '.'),
                  *(f'- {check.name}: {check.note}' for check in noted)]
    return '\n'.join(lines) + '\n'


def shown(value: float, form: str) -> str:
    """Formats a number, or a dash where there is none."""
    return '-' if math.isnan(value) else format(value, form)
