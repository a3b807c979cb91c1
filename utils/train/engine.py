"""The one training loop and the one evaluation loop."""
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel
from torch.profiler import record_function
from tqdm import tqdm

from model.ksof import Prediction
from model.losses import KSOFLoss, LossMeans, LossTerms
from utils.common import distributed
from utils.common.errors import DivergedError
from utils.data.skeleton import Skeleton
from utils.data.windows import Batch, Windows
from utils.evaluate.metrics import acceleration_errors, bone_length_errors, by_action, frame_errors

REPORT_EVERY = 10  # steps between two readings of the loss: each reading waits for the device


class FrameErrors(NamedTuple):
    """What is measured of every window at every frame, (W, T_out) on the CPU.

    MPJPE over all joints and over the predicted ones, mm; acceleration error and the accelerations themselves over the
    predicted ones, mm per frame squared; bone-length error, mm.
    """

    all_joints: Tensor
    predicted_joints: Tensor
    acceleration_error: Tensor
    own_acceleration: Tensor
    true_acceleration: Tensor
    bone_length: Tensor


def epoch_order(windows: int, *, seed: int, epoch: int, weights: Tensor | None = None) -> Tensor:
    """The order in which an epoch takes the windows: a function of seed and epoch alone, so that resuming repeats it.

    Each once; with weights (W,) as many are drawn, each as often as its weight says.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    if weights is None:
        return torch.randperm(windows, generator=generator)
    return torch.multinomial(weights, windows, replacement=True, generator=generator)


@dataclass
class EpochProgress:
    """How far an epoch is; kept on the device, so that a step never waits for it.

    step: steps done; seconds: time they took; sums: (7,) sums of the loss terms over the good ones; bad_steps: () steps
    with a loss or gradient that was not finite; first_bad: (8,) the first such step, counted from 0, and its terms.
    """

    step: int
    seconds: float
    sums: Tensor
    bad_steps: Tensor
    first_bad: Tensor


def epoch_start(device: torch.device) -> EpochProgress:
    """The progress of an epoch of which nothing is done."""
    terms = len(LossTerms._fields)
    return EpochProgress(0, 0.0, torch.zeros(terms, device=device), torch.zeros((), device=device),
                         torch.zeros(1 + terms, device=device))


def train_epoch(model: nn.Module, criterion: KSOFLoss, windows: Windows, optimiser: Optimizer, schedule: LRScheduler,
                progress: EpochProgress, *, batch_size: int, clip_norm: float, skip_bad_steps: int, order: Tensor, title: str,
                stop: Callable[[], bool], after_reading: Callable[[], None], amp: bool = False,
                averaged: AveragedModel | None = None) -> dict[str, float]:
    """The rest of one pass over the windows in the given order; a last, smaller batch is left out. Returns mean loss terms.

    averaged follows the model's weights. Of several processes each takes `batch_size` windows of a step.
    Every REPORT_EVERY steps, and when `stop` says so, the loss is read and `after_reading` is called, which may save and
    may raise. A step whose loss or gradient is not finite changes nothing. Raises DivergedError when there are more than
    `skip_bad_steps` of them.
    """
    model.train()
    together = batch_size * distributed.processes()
    steps = max(1, len(order) // together)
    todo = distributed.own_windows(order[: steps * together], batch_size)[progress.step * batch_size:]
    means = read_progress(progress)
    started = time.perf_counter() - progress.seconds
    with tqdm(total=steps * together, initial=progress.step * together, desc=title, unit=' windows', leave=False,
              dynamic_ncols=True, disable=distributed.rank() > 0) as bar:
        for batch in windows.batches(batch_size, order=todo):
            train_step(model, criterion, batch, optimiser, schedule, progress, clip_norm=clip_norm,
                       guard=skip_bad_steps > 0, amp=amp)
            if averaged is not None:
                averaged.update_parameters(model)
            if progress.step % REPORT_EVERY == 0 or progress.step == steps or stop():
                means = read_progress(progress)
                progress.seconds = time.perf_counter() - started
                if progress.bad_steps > skip_bad_steps:
                    raise diverged(progress, windows, order, together, title)
                distributed.average_norms(model)
                if averaged is not None:
                    distributed.average_norms(averaged)
                bar.set_postfix({name: f'{value:.1f}' for name, value in means.items()}, refresh=False)
                bar.update(progress.step * together - bar.n)
                after_reading()
    return means | {'windows_per_s': progress.step * together / progress.seconds}


def train_step(model: nn.Module, criterion: KSOFLoss, batch: Batch, optimiser: Optimizer, schedule: LRScheduler,
               progress: EpochProgress, *, clip_norm: float, guard: bool, amp: bool = False) -> None:
    """One step; weights stay as they are where loss or gradient is not finite. guard: so do the batch norms' averages."""
    kept = [buffer.clone() for buffer in model.buffers()] if guard else []
    with record_function('forward'):  # the names under which a profiler shows a step's parts
        prediction = predict_mixed(model, batch.observed, batch.coefficients, amp=amp)
    with record_function('loss'):
        means = distributed.means_of_all(criterion.means(prediction, batch.future))
        terms = criterion.combine(LossMeans(*means))
    with record_function('backward'):
        optimiser.zero_grad(set_to_none=True)
        terms.total.backward()
        parameters = [p for group in optimiser.param_groups for p in group['params']]
        distributed.average([p.grad for p in parameters if p.grad is not None])
        norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
    with record_function('optimizer'):
        bad = ~(norm.isfinite() & terms.total.isfinite())
        # Fused optimisers leave a step out on the device where this is 1: the way mixed precision skips overflown steps.
        optimiser.found_inf = bad.float()  # type: ignore[attr-defined]
        optimiser.step()
    schedule.step()
    for buffer, before in zip(model.buffers(), kept, strict=False):
        buffer.copy_(torch.where(bad, before, buffer))
    values = torch.stack(terms).detach()
    numbered = torch.cat([values.new_tensor([progress.step]), values])
    progress.first_bad = torch.where(bad & (progress.bad_steps == 0), numbered, progress.first_bad)
    progress.bad_steps = progress.bad_steps + bad
    progress.sums = progress.sums + torch.where(bad, 0, values)
    progress.step += 1


def predict_mixed(network: nn.Module, *views: Tensor, amp: bool) -> Prediction:
    """The network's predictions in float32, its products in bfloat16 if `amp`.

    bfloat16 has float32's range, so gradients need no scaling. Poses of a metre would be rounded to 4 mm in it: the
    network adds displacements to float32 poses, and the loss must be taken of what this returns, outside of autocast.
    """
    with torch.autocast(views[0].device.type, torch.bfloat16, enabled=amp):
        prediction = network(*views)
    return Prediction(*(part.float() for part in prediction))


def read_progress(progress: EpochProgress) -> dict[str, float]:
    """Mean loss terms so far."""
    good = (progress.step - progress.bad_steps).clamp(min=1)
    return dict(zip(LossTerms._fields, (progress.sums / good).tolist(), strict=True))


def diverged(progress: EpochProgress, windows: Windows, order: Tensor, batch_size: int, title: str) -> DivergedError:
    """What to say of the first step whose loss or gradient was not finite."""
    step, *values = progress.first_bad.tolist()
    terms = ', '.join(f'{name} {value:.4g}' for name, value in zip(LossTerms._fields, values, strict=True))
    batch = order[int(step) * batch_size : (int(step) + 1) * batch_size].tolist()
    files = ', '.join(sorted({windows.source(index).file for index in batch}))
    return DivergedError(f'{title}, step {step + 1:.0f}: the loss or its gradient is not finite ({terms}); windows from '
                         f'{files}; the last checkpoint is kept: try a lower --lr_now, or --skip_bad_steps')


@torch.inference_mode()
def evaluate(predict: Callable[..., Tensor], windows: Windows, skeleton: Skeleton, *, batch_size: int,
             title: str) -> FrameErrors:
    """Errors of one predictor, (observed, coefficients) -> (B, T_out, N), on every window of a split."""
    own = distributed.own_batches(len(windows), batch_size)

    def errors(batch: Batch) -> tuple[Tensor, ...]:
        predicted = predict(batch.observed, batch.coefficients)
        return (*frame_errors(predicted, batch.future_all, skeleton),
                *acceleration_errors(predicted, batch.future, batch.observed),
                bone_length_errors(predicted, batch.future_all, skeleton))

    parts = [
        errors(batch)
        for batch in tqdm(windows.batches(batch_size, order=own), total=-(-len(own) // batch_size), desc=title, unit=' batches',
                          leave=False, dynamic_ncols=True, disable=distributed.rank() > 0)
    ]
    return FrameErrors(*(distributed.all_rows(torch.cat(part).cpu(), own, len(windows)) for part in zip(*parts, strict=True)))


def validate(model: nn.Module, windows: Windows, skeleton: Skeleton, *, batch_size: int) -> dict[str, float]:
    """Means over the actions and all frames of the validation windows.

    'validation', the number that selects an epoch: MPJPE, mm. 'acceleration_error', and 'acceleration' of the prediction
    itself, mm per frame squared.
    """
    model.eval()
    errors = evaluate(lambda *views: model(*views).fused, windows, skeleton, batch_size=batch_size, title='validating')
    measured = {'validation': errors.all_joints, 'acceleration_error': errors.acceleration_error,
                'acceleration': errors.own_acceleration}
    averages = {name: by_action(values, windows.action_index, windows.actions)['avg'] for name, values in measured.items()}
    return {name: sum(average) / len(average) for name, average in averages.items()}
