"""What the options make of a network for training: how it is called, drawn for, averaged, and stepped."""
import argparse
import math
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from model.ksof import KSOF
from utils.data.windows import Windows


def compiled(model: KSOF, options: argparse.Namespace) -> nn.Module:
    """The model as training steps call it. Every batch of training has the same shape, as CUDA graphs need it."""
    if not options.compile:
        return model
    return cast(nn.Module, torch.compile(model, dynamic=False, mode='reduce-overhead'))


def build_average(model: KSOF, options: argparse.Namespace) -> AveragedModel | None:
    """The running average of the weights and of the batch norms' statistics."""
    if not options.average:
        return None
    return AveragedModel(model, multi_avg_fn=partial(follow, decay=options.average), use_buffers=True)


@torch.no_grad()
def follow(averaged: list[Tensor], current: list[Tensor], steps: Tensor, *, decay: float) -> None:
    """Move averages over `steps` steps on by one. The decay grows to its value: the first weights are soon forgotten."""
    if not averaged[0].is_floating_point():  # a norm's count of steps
        torch._foreach_copy_(averaged, current)
        return
    change = torch._foreach_sub(current, averaged)
    torch._foreach_mul_(change, 1 - ((1 + steps) / (10 + steps)).clamp(max=decay))  # a tensor: the device is not waited for
    torch._foreach_add_(averaged, change)


def build_draw(windows: Windows, options: argparse.Namespace) -> Tensor | None:
    """(W,) weights: one over the windows of a window's action, to the power of --balance."""
    if not options.balance:
        return None
    actions = windows.action_index.cpu()
    return torch.bincount(actions)[actions].double() ** -options.balance


def build_optimiser(model: nn.Module, criterion: nn.Module, options: argparse.Namespace) -> Optimizer:
    """Adam or AdamW over the network and the loss's own parameters, the latter without weight decay."""
    kind = Adam if options.optimizer == 'adam' else AdamW
    groups: list[dict[str, Any]] = [{'params': list(model.parameters()), 'weight_decay': options.weight_decay},
                                    {'params': list(criterion.parameters()), 'weight_decay': 0.0}]
    return kind(groups, lr=options.lr_now, fused=True)


def learning_rate_factor(step: int, *, warmup: int, total: int, end: float) -> float:
    """Linear warm-up to 1, then a cosine down to `end` at the last step."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return end + (1 - end) * (1 + math.cos(math.pi * progress)) / 2


def build_schedule(optimiser: Optimizer, options: argparse.Namespace, *, steps_per_epoch: int) -> LambdaLR:
    """The learning rate at every step of the run."""
    factor = partial(learning_rate_factor, warmup=options.warmup_steps, total=options.epoch * steps_per_epoch,
                     end=options.lr_end)
    return LambdaLR(optimiser, factor)
