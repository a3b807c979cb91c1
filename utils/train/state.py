"""All that changes while a run trains, and its way into a checkpoint and back."""
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
from utils.common.checkpoint import Checkpoint


@dataclass
class EpochProgress:
    """How far an epoch is. Its tensors stay on the device, so that a step never waits for it.

    step: steps done.
    seconds: the time that they took.
    sums: (7,) sums of the loss terms over the good steps.
    bad_steps: () steps with a loss or gradient that was not finite.
    first_bad: (8,) the first such step, counted from 0, and its loss terms.
    """

    step: int
    seconds: float
    sums: Tensor
    bad_steps: Tensor
    first_bad: Tensor


def epoch_start(device: torch.device) -> EpochProgress:
    """Returns the progress of an epoch of which nothing is done."""
    terms = len(LossTerms._fields)
    return EpochProgress(0, 0.0, torch.zeros(terms, device=device), torch.zeros((), device=device),
                         torch.zeros(1 + terms, device=device))


@dataclass
class TrainState:
    """What changes while a run trains.

    network: the model as a step calls it: itself, or its compiled form with the same weights.
    ema: the running average of the model's weights, where the run has one.
    history: an entry for each finished epoch, as in history.csv.
    """

    model: KSOF
    network: nn.Module
    criterion: KSOFLoss
    optimizer: Optimizer
    lr_scheduler: LambdaLR
    ema: AveragedModel | None
    progress: EpochProgress
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Where the state lies."""
        return self.progress.sums.device

    @property
    def scored(self) -> nn.Module:
        """The network whose weights are validated and saved: the EMA, or the model itself."""
        return self.model if self.ema is None else self.ema.module

    @property
    def best(self) -> dict[str, float] | None:
        """The epoch with the lowest validation error."""
        return min(self.history, key=lambda entry: entry['validation'], default=None)

    def state_dict(self) -> Checkpoint:
        """Returns everything that resuming needs, as tensors and plain containers. Every rank must call it."""
        random, *random_of_others = distributed.gather(random_states(self.device))
        # The EMA needs the weights in training besides, and how many steps it is of.
        average = None if self.ema is None else {'model': self.model.state_dict(), 'steps': int(self.ema.n_averaged)}
        return {
            'model': self.scored.state_dict(), 'average': average, 'criterion': self.criterion.state_dict(),
            'optimizer': self.optimizer.state_dict(), 'lr_scheduler': self.lr_scheduler.state_dict(),
            'step': self.lr_scheduler.last_epoch, 'epoch': len(self.history), 'progress': vars(self.progress),
            'history': self.history, 'best': self.best, 'random': random, 'random_of_others': random_of_others,
        }

    def load_state_dict(self, saved: Checkpoint) -> None:
        """Takes over what `state_dict` returned, this rank's random states included."""
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
        restore_random_states([saved['random'], *saved.get('random_of_others', [])][distributed.rank()], self.device)


def random_states(device: torch.device) -> dict[str, Any]:
    """Returns the states of the generators that dropout and augmentation draw from."""
    states = {'cpu': torch.get_rng_state()}
    if device.type == 'cuda':
        states['cuda'] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: dict[str, Any], device: torch.device) -> None:
    """Puts the generators back to where `random_states` found them."""
    torch.set_rng_state(states['cpu'])
    if device.type == 'cuda' and 'cuda' in states:
        torch.cuda.set_rng_state(states['cuda'], device)
