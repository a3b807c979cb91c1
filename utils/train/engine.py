"""One training step, and one epoch of them."""
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from model.ksof import Prediction
from model.losses import LossMeans, LossTerms
from utils.common import distributed
from utils.common.errors import DivergedError
from utils.common.progress import Progress
from utils.data.windows import Batch, Windows
from utils.train.settings import TrainSettings
from utils.train.signals import StopRequest
from utils.train.state import EpochProgress, TrainState

LOG_EVERY = 10  # steps from one log step to the next: each waits for the device


def epoch_order(windows: int, *, seed: int, epoch: int, weights: Tensor | None = None) -> Tensor:
    """Returns the order in which an epoch takes the windows, (W,).

    It depends on seed and epoch alone, so that resuming repeats it.

    weights: how often each window is drawn, (W,). Without them each is taken once.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    if weights is None:
        return torch.randperm(windows, generator=generator)
    return torch.multinomial(weights, windows, replacement=True, generator=generator)


def train_epoch(state: TrainState, windows: Windows, settings: TrainSettings, *, order: Tensor, title: str,
                request: StopRequest | None = None,
                left: Callable[[float], str] | None = None) -> Generator[float]:
    """Trains for the rest of an epoch and yields at every log step and at its end.

    Yields the share of the epoch that is done; state.progress says how it goes.

    Of several processes each takes `batch_size` windows of a step. A last, smaller batch is left out.
    In one process a stop request makes the next step a log step, so that the caller can save and stop there.

    order: the windows of the epoch, (W,), those already done included.
    left: says, from the share of the epoch that is done, how long the run takes yet; the bar shows it.
    DivergedError when more than `skip_bad_steps` steps had a loss or gradient that was not finite.
    """
    state.network.train()
    progress = state.progress
    global_batch = settings.batch_size * distributed.processes()
    steps = max(1, len(order) // global_batch)
    own = distributed.own_windows(order[: steps * global_batch], settings.batch_size)
    todo = own[progress.step * settings.batch_size:]
    started = time.perf_counter() - progress.seconds
    with Progress(total=steps * global_batch, initial=progress.step * global_batch, desc=title,
                  unit=' windows', bar_format='{desc} {percentage:3.0f}%|{bar}|',
                  quiet=distributed.rank() > 0) as bar:
        for batch in windows.batches(settings.batch_size, order=todo):
            train_step(state, batch, settings)
            stop = request is not None and request.number is not None and distributed.processes() == 1
            if progress.step % LOG_EVERY and progress.step < steps and not stop:
                continue
            means = mean_terms(progress, state.criterion.terms)
            progress.seconds = time.perf_counter() - started
            if progress.bad_steps > settings.skip_bad_steps:
                raise diverged(state, windows, order, global_batch, title)
            for network in (state.model, state.ema):
                if network is not None:
                    distributed.average_norms(network)
            share = progress.step / steps
            when = left(share).split(', ')[0] if left else ''  # the time of day has no room in 80 columns
            bar.bar_format = '{desc} {percentage:3.0f}%|{bar}| ' + when
            bar.set_description_str(f'{title}  {training_errors(means)}', refresh=False)
            bar.update(progress.step * global_batch - bar.n)
            yield share


def train_step(state: TrainState, batch: Batch, settings: TrainSettings) -> None:
    """Takes one step: forward, loss, backward, gradient clipping, optimizer, schedule, EMA.

    Several processes take it together: the loss is made of means over all their windows, and gradients are
    averaged. Where loss or gradient is not finite the weights stay as they are. Where such steps may be
    skipped, so do the running statistics of batch norms and loss. A profiler shows a step's parts under the
    names in record_function.
    """
    model, optimizer = state.model, state.optimizer
    buffers = [*model.buffers(), *state.criterion.buffers()] if settings.skip_bad_steps else []
    kept = [buffer.clone() for buffer in buffers]
    with record_function('forward'):
        prediction = predict_mixed(state.network, batch.observed, batch.coefficients, amp=settings.amp)
    with record_function('loss'):
        means = distributed.means_of_all(state.criterion.means(prediction, batch.future))
        terms = state.criterion.combine(LossMeans(*means))
    with record_function('backward'):
        optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        distributed.average([p.grad for p in parameters if p.grad is not None])
        norm = nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
    with record_function('optimizer'):
        bad = ~(norm.isfinite() & terms.total.isfinite())
        # Fused optimizers skip a step on the device where this is 1.
        # Mixed precision does so with steps that have overflown.
        optimizer.found_inf = bad.float()  # type: ignore[attr-defined]
        optimizer.step()
        state.lr_scheduler.step()
    for buffer, before in zip(buffers, kept, strict=True):
        buffer.copy_(torch.where(bad, before, buffer))
    if state.ema is not None:
        state.ema.update_parameters(model)
    count(state.progress, terms, bad)


def predict_mixed(network: nn.Module, *views: Tensor, amp: bool) -> Prediction:
    """Returns the network's predictions in float32, its products in bfloat16 if `amp`.

    bfloat16 has float32's range, so gradients need no scaling. Poses of a metre would be rounded to 4 mm in
    it: the network adds displacements to float32 poses, and the loss must be taken of what this returns,
    outside of autocast.
    """
    with torch.autocast(views[0].device.type, torch.bfloat16, enabled=amp):
        prediction = network(*views)
    return Prediction(*(part.float() for part in prediction))


def count(progress: EpochProgress, terms: LossTerms, bad: Tensor) -> None:
    """Adds a step to the progress, on the device.

    bad: (), whether its loss or gradient was not finite.
    """
    values = torch.stack(terms).detach()
    numbered = torch.cat([values.new_tensor([progress.step]), values])
    progress.first_bad = torch.where(bad & (progress.bad_steps == 0), numbered, progress.first_bad)
    progress.bad_steps = progress.bad_steps + bad
    progress.sums = progress.sums + torch.where(bad, 0, values)
    progress.step += 1


def mean_terms(progress: EpochProgress, terms: Sequence[str] = LossTerms._fields) -> dict[str, float]:
    """Returns the mean loss terms of the epoch's good steps so far. Waits for the device.

    terms: the names of those that are wanted.
    """
    good = (progress.step - progress.bad_steps).clamp(min=1)
    means = dict(zip(LossTerms._fields, (progress.sums / good).tolist(), strict=True))
    return {name: means[name] for name in terms}


def training_errors(means: Mapping[str, float]) -> str:
    """Returns the errors of an epoch's predictions for bar and line, the fused one first.

    They have three or four digits.
    """
    fused = digits(means['fused'])
    if 'temporal' not in means:  # a network of one's own has no paths
        return f'MPJPE {fused} mm'
    return f'fused {fused} mm, K-TCN {digits(means["temporal"], 3)}, S-GCN {digits(means["spatial"], 3)}'


def digits(value: float, count: int = 4) -> str:
    """Returns a number of 0 and more in so many digits: 8.12, 81.23, 812.3, 8123."""
    whole = len(str(int(value))) if math.isfinite(value) else count
    return f'{value:.{max(0, min(count - whole, count - 2))}f}'


def diverged(state: TrainState, windows: Windows, order: Tensor, global_batch: int,
             title: str) -> DivergedError:
    """Returns an error that names the first step that was not finite, its loss terms and its files."""
    step, *values = state.progress.first_bad.tolist()
    terms = ', '.join(f'{name} {value:.4g}' for name, value in zip(LossTerms._fields, values, strict=True)
                      if name in state.criterion.terms)
    batch = order[int(step) * global_batch : (int(step) + 1) * global_batch].tolist()
    files = ', '.join(sorted({windows.source(index).file for index in batch}))
    return DivergedError(f'{title}, step {step + 1:.0f}: the loss or its gradient is not finite ({terms}); '
                         f'windows from {files}; the last checkpoint is kept: try a lower --lr_now, or '
                         '--skip_bad_steps')
