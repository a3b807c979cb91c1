"""The one training loop and the one evaluation loop."""
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from model.losses import KSOFLoss, LossTerms
from utils.data.skeleton import Skeleton
from utils.data.windows import Windows
from utils.errors import DivergedError
from utils.metrics import by_action, frame_errors

REPORT_EVERY = 10  # steps between two readings of the loss: each reading waits for the device


class FrameErrors(NamedTuple):
    """MPJPE of every window at every frame, (W, T_out) mm on the CPU: all joints, and the predicted ones only."""

    all_joints: Tensor
    predicted_joints: Tensor


def epoch_order(windows: int, *, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch takes the windows: a function of seed and epoch alone, so that resuming repeats it."""
    return torch.randperm(windows, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


def train_epoch(model: nn.Module, criterion: KSOFLoss, windows: Windows, optimiser: Optimizer, schedule: LRScheduler,
                *, batch_size: int, clip_norm: float, order: Tensor, title: str) -> dict[str, float]:
    """One pass over the windows in the given order; a last, smaller batch is left out. Returns the mean loss terms.

    Raises DivergedError, with the terms, when one is not finite.
    """
    model.train()
    steps = max(1, len(order) // batch_size)
    means: dict[str, float] = {}
    parameters = [p for group in optimiser.param_groups for p in group['params']]
    sums = torch.zeros(len(LossTerms._fields), device=windows.frames.device)
    started = time.perf_counter()
    with tqdm(total=steps * batch_size, desc=title, unit=' windows', leave=False, dynamic_ncols=True) as bar:
        for step, batch in enumerate(windows.batches(batch_size, order=order[: steps * batch_size]), start=1):
            terms = criterion(model(batch.observed, batch.coefficients), batch.future)
            optimiser.zero_grad(set_to_none=True)
            terms.total.backward()
            nn.utils.clip_grad_norm_(parameters, clip_norm)
            optimiser.step()
            schedule.step()
            sums += torch.stack(terms).detach()
            if step % REPORT_EVERY == 0 or step == steps:
                means = dict(zip(LossTerms._fields, (sums / step).tolist(), strict=True))
                check_finite(means, f'{title}, by step {step}')
                bar.set_postfix({name: f'{value:.1f}' for name, value in means.items()}, refresh=False)
                bar.update(step * batch_size - bar.n)
    return means | {'windows_per_s': steps * batch_size / (time.perf_counter() - started)}


def check_finite(means: dict[str, float], where: str) -> None:
    """DivergedError with every term if one of the mean loss terms is not finite."""
    if not all(abs(value) < float('inf') for value in means.values()):
        terms = ', '.join(f'{name} {value:.4g}' for name, value in means.items())
        raise DivergedError(f'{where}: the loss is not finite ({terms}); the last checkpoint is kept: try a lower --lr_now')


@torch.inference_mode()
def evaluate(predict: Callable[..., Tensor], windows: Windows, skeleton: Skeleton, *, batch_size: int,
             title: str) -> FrameErrors:
    """Errors of one predictor, (observed, coefficients) -> (B, T_out, N), on every window of a split."""
    parts = [
        frame_errors(predict(batch.observed, batch.coefficients), batch.future_all, skeleton)
        for batch in tqdm(windows.batches(batch_size), total=-(-len(windows) // batch_size), desc=title, unit=' batches',
                          leave=False, dynamic_ncols=True)
    ]
    return FrameErrors(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))


def validate(model: nn.Module, windows: Windows, skeleton: Skeleton, *, batch_size: int) -> float:
    """The number that selects an epoch: MPJPE over all frames of the validation windows, mean of the actions, mm."""
    model.eval()
    errors = evaluate(lambda *views: model(*views).fused, windows, skeleton, batch_size=batch_size, title='validating')
    average = by_action(errors.all_joints, windows.action_index, windows.actions)['avg']
    return sum(average) / len(average)
