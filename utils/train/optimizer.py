"""Builds optimizer, learning-rate schedule and EMA, and draws the windows of an epoch."""
import math
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from utils.data.windows import Windows
from utils.train.settings import TrainSettings


def compiled(model: nn.Module) -> nn.Module:
    """Compiles the model. All batches of training have the same shape, as CUDA graphs need it."""
    return cast(nn.Module, torch.compile(model, dynamic=False, mode='reduce-overhead'))


def build_ema(model: nn.Module, decay: float) -> AveragedModel:
    """Builds the exponential moving average (EMA) of the weights and of the batch norms' statistics.

    decay: share of the average that a step keeps, once many steps are done.
    """
    return AveragedModel(model, multi_avg_fn=partial(follow, decay=decay), use_buffers=True)


@torch.no_grad()
def follow(averaged: list[Tensor], current: list[Tensor], steps: Tensor, *, decay: float) -> None:
    """Updates averages with the weights after one more step.

    The decay grows to its value, so that the first weights are soon forgotten.

    averaged: averages over `steps` steps; changed in place.
    current: weights and statistics after the step.
    """
    if not averaged[0].is_floating_point():  # a norm's count of steps
        torch._foreach_copy_(averaged, current)
        return
    change = torch._foreach_sub(current, averaged)
    # The decay stays a tensor, so that the CPU does not wait for the device.
    torch._foreach_mul_(change, 1 - ((1 + steps) / (10 + steps)).clamp(max=decay))
    torch._foreach_add_(averaged, change)


def draw_weights(windows: Windows, balance: float) -> Tensor:
    """Returns the (W,) weights with which windows are drawn.

    A window's weight is one over the number of windows of its action, to the power of `balance`.
    """
    actions = windows.action_index.cpu()
    return torch.bincount(actions)[actions].double() ** -balance


def build_optimizer(model: nn.Module, criterion: nn.Module, settings: TrainSettings) -> Optimizer:
    """Builds Adam or AdamW over the parameters of the network and of the loss.

    Those of the loss have no weight decay.
    """
    kind = Adam if settings.optimizer == 'adam' else AdamW
    groups: list[dict[str, Any]] = [
        {'params': list(model.parameters()), 'weight_decay': settings.weight_decay},
        {'params': list(criterion.parameters()), 'weight_decay': 0.0}]
    return kind(groups, lr=settings.lr_now, fused=True)


def learning_rate_factor(step: int, *, warmup: int, total: int, end: float) -> float:
    """Returns a step's learning rate as a share of the full one.

    A linear warm-up to 1 is followed by a cosine down to `end` at the last step.

    step: counted from 0.
    warmup: number of steps of the warm-up.
    total: number of steps of the whole run.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return end + (1 - end) * (1 + math.cos(math.pi * progress)) / 2


def build_lr_scheduler(optimizer: Optimizer, settings: TrainSettings, *, steps_per_epoch: int) -> LambdaLR:
    """Builds the schedule of the learning rate over all steps of the run."""
    factor = partial(learning_rate_factor, warmup=settings.warmup_steps,
                     total=settings.epoch * steps_per_epoch, end=settings.lr_end)
    return LambdaLR(optimizer, factor)
