"""Spoils what a predictor observes, or moves the body as a whole, and measures its errors then."""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from utils.data.skeleton import Skeleton
from utils.data.windows import Windows
from utils.evaluate.metrics import by_action
from utils.evaluate.scoring import evaluate

NOISE_MM, LOST, TURNED, TILTED = (5, 10, 20, 40), (1, 3, 5), (45, 90, 135, 180), (10, 20, 45)
SIZES = (0.8, 0.9, 1.1, 1.2)
SEED = 0  # of noise and of what is lost: each predictor sees the same
Predict = Callable[..., Tensor]
Change = Callable[[Tensor, torch.Generator], Tensor]


class Condition(NamedTuple):
    """One way in which motion differs from the test windows.

    kind, level: in words; the levels of a kind are in order of strength.
    windows: those to predict. change: of the observed poses (B, T_in, N); None leaves them.
    scale: of the body; errors are divided by it.
    """

    kind: str
    level: str
    windows: Windows
    change: Change | None = None
    scale: float = 1.0


def noisy(observed: Tensor, generator: torch.Generator, *, mm: float) -> Tensor:
    """Moves each joint of each frame by Gaussian noise, `mm` long as a root mean square."""
    return observed + mm / 3**0.5 * torch.randn(observed.shape, generator=generator)


def joints_lost(observed: Tensor, generator: torch.Generator, *, count: int) -> Tensor:
    """Holds drawn joints of each window where they are in the middle of the observed frames."""
    poses = observed.unflatten(-1, (-1, 3)).clone()  # (B, T, J, 3)
    lost = torch.rand(poses.shape[0], poses.shape[2], generator=generator).argsort(1) < count  # (B, J)
    middle = poses.shape[1] // 2
    held = poses[:, middle - 1 : middle].expand(-1, poses.shape[1] - middle, -1, -1)
    poses[:, middle:] = torch.where(lost[:, None, :, None], held, poses[:, middle:])
    return poses.flatten(-2)


def frames_lost(observed: Tensor, generator: torch.Generator, *, count: int) -> Tensor:
    """Replaces drawn frames of each window, never the first, by the last one before them that is there."""
    windows, frames = observed.shape[:2]
    drawn = torch.rand(windows, frames - 1, generator=generator).argsort(1) < count
    there = torch.cat([torch.zeros(windows, 1, dtype=torch.bool), drawn], dim=1).logical_not()
    seen = (torch.arange(frames) * there).cummax(1).values  # (B, T) index of the frame that is shown
    return observed.gather(1, seen[..., None].expand_as(observed))


def turned(windows: Windows, axis: str, degrees: float) -> Windows:
    """Turns every pose about an axis through the root."""
    matrix = torch.from_numpy(Rotation.from_euler(axis, degrees, degrees=True).as_matrix()).float()
    return replace(windows, frames=(windows.frames.unflatten(-1, (-1, 3)) @ matrix.T).flatten(-2))


def at_half_rate(windows: Windows) -> Windows:
    """Takes every second frame of each recording, and the windows that start there and still fit."""
    length = windows.input_n + windows.output_n
    firsts = np.array([first for first, _ in windows.files])
    ends = np.array([*firsts[1:], len(windows.frames)])
    recording = np.searchsorted(firsts, windows.starts.numpy(), side='right') - 1
    kept = [torch.arange(first, end, 2) for first, end in zip(firsts, ends, strict=True)]
    new_firsts = np.cumsum([0, *(len(index) for index in kept)])
    before = windows.starts.numpy() - firsts[recording]
    inside = before // 2
    fits = torch.from_numpy((before % 2 == 0) & (inside + length <= np.diff(new_firsts)[recording]))
    starts = torch.from_numpy(new_firsts[recording] + inside)
    files = [(int(first), file) for first, (_, file) in zip(new_firsts, windows.files, strict=False)]
    return replace(windows, frames=windows.frames[torch.cat(kept)], starts=starts[fits],
                   action_index=windows.action_index[fits], files=files)


def conditions(windows: Windows) -> Iterator[Condition]:
    """Yields the test windows as they are, then every way in which they are changed.

    The half rate is left out where an action's recordings are too short for it.
    """
    yield Condition('as recorded', '', windows)
    for mm in NOISE_MM:
        yield Condition('noise on joints', f'{mm} mm', windows, partial(noisy, mm=mm))
    for count in LOST:
        yield Condition('joints lost', f'{count}', windows, partial(joints_lost, count=count))
    for count in LOST:
        yield Condition('frames lost', f'{count}', windows, partial(frames_lost, count=count))
    for kind, axis, angles in (('body turned', 'y', TURNED), ('body tilted', 'x', TILTED)):
        for degrees in angles:
            yield Condition(kind, f'{degrees} degrees', turned(windows, axis, degrees))
    for scale in SIZES:
        scaled = replace(windows, frames=scale * windows.frames)
        yield Condition('body size', f'{scale:g}', scaled, scale=scale)
    slow = at_half_rate(windows)
    if len(slow.action_index.unique()) == len(windows.action_index.unique()):
        yield Condition('frame rate', 'half', slow)


def errors_under(condition: Condition, methods: dict[str, Predict], skeleton: Skeleton, *,
                 batch_size: int) -> dict[str, list[float]]:
    """Returns each method's MPJPE at every frame, as the tables average it, in mm of the body's own size."""
    found = {}
    for name, predict in methods.items():
        generator = torch.Generator().manual_seed(SEED)

        def seen(observed: Tensor, _: Tensor, predict: Predict = predict,
                 generator: torch.Generator = generator) -> Tensor:
            return predict(condition.change(observed, generator) if condition.change else observed)

        errors = evaluate(seen, condition.windows, skeleton, batch_size=batch_size, title=name)
        table = by_action(errors.all_joints, condition.windows.action_index, condition.windows.actions)
        found[name] = [error / condition.scale for error in table['avg']]
    return found


def every(windows: Windows, step: int) -> Windows:
    """Returns each `step`-th window."""
    return replace(windows, starts=windows.starts[::step], action_index=windows.action_index[::step])


def worse(ours: Sequence[float], theirs: Sequence[float]) -> list[int]:
    """Returns the frames at which our error is the larger one, as tables show both."""
    return [f for f, (own, other) in enumerate(zip(ours, theirs, strict=True))
            if round(own, 2) > round(other, 2)]
