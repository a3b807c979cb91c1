"""Holds everything that changes while a run trains, and moves it into a checkpoint and back."""
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from model.ksof import KSOF
from model.losses import KSOFLoss, LossTerms
from utils.common import distributed
from utils.common.checkpoint import Checkpoint, best_entry
from utils.common.structure import Number, check_like


@dataclass
class EpochProgress:
    """How far an epoch is.

    Its tensors stay on the device, so that a step never waits for the device.

    step: number of steps done.
    seconds: time that they took.
    sums: (7,) sums of the loss terms over the good steps.
    bad_steps: () number of steps whose loss or gradient was not finite.
    first_bad: (8,) index of the first such step, counted from 0, and its loss terms.
    """

    step: int
    seconds: float
    sums: Tensor
    bad_steps: Tensor
    first_bad: Tensor


def epoch_start(device: torch.device) -> EpochProgress:
    """Returns the progress of an epoch of which no step is done."""
    terms = len(LossTerms._fields)
    return EpochProgress(0, 0.0, torch.zeros(terms, device=device), torch.zeros((), device=device),
                         torch.zeros(1 + terms, device=device))


@dataclass
class TrainState:
    """What changes while a run trains.

    network: the model, or its compiled form with the same weights; this is what a step calls.
    ema: moving average of the model's weights; None where the run has none.
    progress: how far the present epoch is.
    history: one entry for each finished epoch, as in history.csv.
    """

    model: nn.Module
    network: nn.Module
    criterion: KSOFLoss
    optimizer: Optimizer
    lr_scheduler: LambdaLR
    ema: AveragedModel | None
    progress: EpochProgress
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """The device that the state is on."""
        return self.progress.sums.device

    @property
    def scored(self) -> nn.Module:
        """The network whose weights are validated and saved: the EMA, or the model itself."""
        return self.model if self.ema is None else self.ema.module

    @property
    def best(self) -> dict[str, float] | None:
        """Entry of the epoch that the run keeps; None before the first epoch."""
        return best_entry(self.history)

    def state_dict(self) -> Checkpoint:
        """Returns everything that a resume needs, as tensors and plain containers.

        Every rank must call it, because the random states of all ranks are gathered.
        """
        random, *random_of_others = distributed.gather(random_states(self.device))
        average = None
        if self.ema is not None:  # 'model' below is then the EMA, so the weights in training are saved here
            average = {'model': self.model.state_dict(), 'steps': int(self.ema.n_averaged)}
        return {
            'model': self.scored.state_dict(), 'average': average, 'criterion': self.criterion.state_dict(),
            'optimizer': self.optimizer.state_dict(), 'lr_scheduler': self.lr_scheduler.state_dict(),
            'step': self.lr_scheduler.last_epoch, 'epoch': len(self.history), 'progress': vars(self.progress),
            'history': self.history, 'best': self.best, 'random': random,
            'random_of_others': random_of_others,
        }

    def check(self, saved: Checkpoint, *, steps_per_epoch: int) -> None:
        """Compares a checkpoint with what this state, not yet begun, would have saved at that step.

        Every rank must call it. Epochs, history and best epoch were checked when the file was read.
        Raises ValueError that names the first leaf that differs.
        """
        fresh, saved = self.state_dict(), {'average': None, 'random_of_others': [], **saved}
        progress = {'step': Number(int, 0, steps_per_epoch), 'seconds': Number(float, 0, 1e9)}
        seen: dict[int, int] = {}
        check_like(saved['progress'], fresh['progress'] | progress, 'progress', seen)
        taken = saved['epoch'] * steps_per_epoch + saved['progress']['step']
        parameters = [weights for group in self.optimizer.param_groups for weights in group['params']]
        # All of KSOF's parameters have a gradient in each step; those of a network of one's own may not.
        there, whole = saved['optimizer']['state'], isinstance(self.model, KSOF)
        moments = {k: {'step': weights.new_zeros(()), 'exp_avg': torch.empty_like(weights, device='meta'),
                       'exp_avg_sq': torch.empty_like(weights, device='meta')}
                   for k, weights in enumerate(parameters)
                   if weights.requires_grad and taken and (whole or k in there)}
        rates = [Number(float, 0, 1.001 * rate) for rate in fresh['lr_scheduler']['base_lrs']]
        groups = [group | {'lr': rate}
                  for group, rate in zip(fresh['optimizer']['param_groups'], rates, strict=True)]
        expected = {
            'model': fresh['model'], 'criterion': fresh['criterion'], 'step': taken,
            'history': saved['history'],
            'average': fresh['average'] and fresh['average'] | {'steps': taken},
            'optimizer': {'state': moments, 'param_groups': groups},
            'lr_scheduler': fresh['lr_scheduler'] | {'last_epoch': taken, '_step_count': taken + 1,
                                                     '_last_lr': rates}}
        for name, part in expected.items():
            check_like(saved[name], part, name, seen)
        theirs, ours = ([states['cpu'] for states in (state['random'], *state['random_of_others'])]
                        for state in (saved, fresh))
        check_like(theirs, ours, 'random', seen)

    def load_state_dict(self, saved: Checkpoint) -> None:
        """Restores what `state_dict` returned, with the random states of this rank. `check` comes before."""
        average = saved.get('average')
        self.model.load_state_dict(average['model'] if average else saved['model'])
        if self.ema is not None and average:
            self.ema.module.load_state_dict(saved['model'])
            self.ema.n_averaged.fill_(average['steps'])
        self.criterion.load_state_dict(saved['criterion'])
        self.optimizer.load_state_dict(saved['optimizer'])
        self.lr_scheduler.load_state_dict(saved['lr_scheduler'])
        progress: dict[str, Any] = {name: value.to(self.device) if isinstance(value, Tensor) else value
                                    for name, value in saved['progress'].items()}
        self.progress = EpochProgress(**progress)
        self.history = list(saved['history'])
        random_of_ranks = [saved['random'], *saved.get('random_of_others', [])]
        restore_random_states(random_of_ranks[distributed.rank()], self.device)


def random_states(device: torch.device) -> dict[str, Any]:
    """Returns the states of the random generators that dropout and augmentation use."""
    states = {'cpu': torch.get_rng_state()}
    if device.type == 'cuda':
        states['cuda'] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Sets the random generators to the states that `random_states` returned."""
    torch.set_rng_state(states['cpu'])
    if device.type == 'cuda' and 'cuda' in states:
        torch.cuda.set_rng_state(states['cuda'], device)
