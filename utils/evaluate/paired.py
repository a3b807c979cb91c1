"""The difference of two settings on the same windows, with an interval by bootstrap over recordings.

Windows of a recording overlap, so neighbours have nearly the same error: a bootstrap over windows would give
intervals far too narrow. What is drawn are recordings or blocks of one, within each action.
"""
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from utils.common.errors import InputError
from utils.evaluate.window_errors import WindowErrors

DRAWS = 2000
SEED = 0
FEW = 8  # recordings of an action: with fewer, each is cut into blocks
BLOCK = 2  # windows' lengths in a block
INTERVAL = (2.5, 97.5)  # percentiles of the draws
SAME_MM = 0.05  # two runs on the same motion agree on the error of holding the last pose up to rounding


class Pairs(NamedTuple):
    """The errors of two settings on W windows that all their runs were tested on.

    first, second: MPJPE in mm of each run of a setting, (S, W, T), float64.
    action: index into actions, (W,).
    unit: what is drawn with it in the bootstrap, (W,).
    actions: names of those that have windows.
    whole: those whose units are whole recordings; the others' are blocks.
    """

    first: np.ndarray
    second: np.ndarray
    action: np.ndarray
    unit: np.ndarray
    actions: list[str]
    whole: list[str]


class Difference(NamedTuple):
    """Second minus first, in mm at T frames.

    mean, low, high: (T,), the last two the 95 % interval.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def keys_of(errors: WindowErrors) -> Iterator[tuple[object, ...]]:
    """Yields what tells windows apart: file, person, first predicted frame, action, and a number."""
    seen: Counter[tuple[object, ...]] = Counter()
    files, persons = errors.files[errors.recording].tolist(), errors.persons[errors.recording].tolist()
    frames, actions = (errors.start + errors.input_n).tolist(), errors.actions[errors.action].tolist()
    for key in zip(files, persons, frames, actions, strict=True):
        yield (*key, seen[key])  # a protocol that draws may draw a window twice
        seen[key] += 1


def shared_windows(runs: Sequence[WindowErrors], names: Sequence[str]) -> list[np.ndarray]:
    """Finds the windows that all runs were tested on: for each run their indices, in the first run's order.

    names: of the runs, for messages.
    InputError where there are none, or where the runs saw different motion under the same name.
    """
    tables = [{key: k for k, key in enumerate(keys_of(errors))} for errors in runs]
    shared = [key for key in tables[0] if all(key in table for table in tables[1:])]
    if not shared:
        raise InputError(f'{names[0]} and {names[-1]}: were tested on different windows, with none in common')
    indices = [np.array([table[key] for key in shared]) for table in tables]
    for errors, index, name in zip(runs, indices, names, strict=True):
        apart = np.abs(errors.held[index] - runs[0].held[indices[0]])
        if errors.input_n > 1 and apart.max() > SAME_MM:
            file, _, frame, *_ = shared[int(apart.argmax())]
            raise InputError(f'{names[0]} and {name}: saw different motion in {file} at frame {frame}, so '
                             'their windows are no pairs; evaluate both on the same files')
    return indices


def pair(first: Sequence[WindowErrors], second: Sequence[WindowErrors], names: Sequence[str],
         only: Sequence[str]) -> Pairs:
    """Puts the runs of two settings side by side, window by window.

    first, second: the errors of each setting's runs.
    names: of all runs.
    only: the actions that count.
    """
    runs = [*first, *second]
    frames = min(run.all_joints.shape[1] for run in runs)
    indices = shared_windows(runs, names)
    kept = np.isin(runs[0].actions[runs[0].action[indices[0]]], list(only))
    if not kept.any():
        raise InputError(f'{names[0]} and {names[-1]}: have no windows in common of {", ".join(only)}')
    errors = np.stack([run.all_joints[index[kept], :frames].astype(np.float64)
                       for run, index in zip(runs, indices, strict=True)])
    own, index = runs[0], indices[0][kept]
    found, action = np.unique(own.action[index], return_inverse=True)
    unit, cut = bootstrap_units(own.recording[index], own.start[index], action, length=own.input_n + frames)
    actions = own.actions[found].tolist()
    return Pairs(errors[: len(first)], errors[len(first):], action, unit, actions,
                 [name for k, name in enumerate(actions) if k not in cut])


def bootstrap_units(recording: np.ndarray, start: np.ndarray, action: np.ndarray, *,
                    length: int) -> tuple[np.ndarray, set[int]]:
    """Returns the unit of each window that is drawn as one, (W,), and the actions whose recordings were cut.

    A unit is a recording. Where an action has fewer than FEW, each is cut into equal blocks of at least BLOCK
    windows' lengths of frames, but at least two blocks.

    recording, start, action: of each window, (W,).
    length: frames of a window.
    """
    unit, count, cut = np.zeros(len(start), dtype=np.int64), 0, set()
    for of_action in np.unique(action):
        recordings = np.unique(recording[action == of_action])
        for one in recordings:
            mine = (action == of_action) & (recording == one)
            first, span, blocks = start[mine].min(), int(np.ptp(start[mine])) + 1, 1
            if len(recordings) < FEW:
                blocks = max(2, span // (BLOCK * length))
                cut.add(int(of_action))
            unit[mine] = count + (start[mine] - first) * blocks // span
            count += blocks
    return np.unique(unit, return_inverse=True)[1], cut


def mean_over_actions(errors: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Averages (..., W, T) over the windows of each action, then over the actions: (..., T)."""
    return np.stack([errors[..., action == k, :].mean(-2) for k in np.unique(action)]).mean(0)


def drawn_means(errors: np.ndarray, action: np.ndarray, unit: np.ndarray, *, draws: int,
                seed: int) -> np.ndarray:
    """Averages the errors over windows, then actions, in every draw of the bootstrap.

    Of an action's n units n - 1 are drawn, with replacement, which makes the spread that of a mean of n
    (McCarthy and Snowden, 1985). Equal seeds draw equal units.

    errors: (S, W, T). Returns (draws, S, T).
    """
    generator, total = np.random.default_rng(seed), np.zeros((draws, errors.shape[0], errors.shape[2]))
    actions = np.unique(action)
    for one in actions:
        mine = action == one
        units, index = np.unique(unit[mine], return_inverse=True)
        n = len(units)
        weights = generator.multinomial(max(n - 1, 1), [1 / n] * n, size=draws)  # (draws, n)
        sums = np.zeros((n, errors.shape[0], errors.shape[2]))
        np.add.at(sums, index, errors[:, mine].transpose(1, 0, 2))
        drawn = weights @ sums.reshape(n, -1) / (weights @ np.bincount(index))[:, None]
        total += drawn.reshape(total.shape)
    return total / len(actions)


def over_seeds(means: np.ndarray, *, seed: int) -> np.ndarray:
    """Averages drawn means (draws, S, T) over a setting's runs, of which several are drawn too."""
    draws, runs, _ = means.shape
    weights = np.ones((draws, runs))
    if runs > 1:
        drawn = np.random.default_rng(seed).multinomial(runs - 1, [1 / runs] * runs, size=draws)
        weights = drawn / (runs - 1)
    return np.einsum('ds,dst->dt', weights, means)


def difference(pairs: Pairs, *, draws: int = DRAWS, seed: int = SEED) -> Difference:
    """Returns second minus first: the mean over windows, then actions, with a 95 % interval.

    Both settings are averaged over the same drawn windows. The interval holds the spread of a setting's runs,
    where there are several: those of the two settings are drawn apart, unless they are the same runs.
    """
    settings = (pairs.first, pairs.second)
    drawn = [drawn_means(errors, pairs.action, pairs.unit, draws=draws, seed=seed) for errors in settings]
    seeds = seed + 1, seed + 1 if np.array_equal(*settings) else seed + 2
    of_both = [over_seeds(means, seed=one) for means, one in zip(drawn, seeds, strict=True)]
    first, second = (mean_over_actions(errors.mean(0), pairs.action) for errors in settings)
    low, high = np.percentile(of_both[1] - of_both[0], INTERVAL, axis=0)
    return Difference(second - first, low, high)


def of_action(pairs: Pairs, action: str) -> Pairs:
    """Returns the windows of one action alone."""
    mine = pairs.action == pairs.actions.index(action)
    return pairs._replace(first=pairs.first[:, mine], second=pairs.second[:, mine],
                          action=np.zeros(int(mine.sum()), dtype=int), unit=pairs.unit[mine],
                          actions=[action], whole=[name for name in pairs.whole if name == action])


def windows_won(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Returns the shares of windows in which the first, and in which the second setting is better, (T,)."""
    first, second = pairs.first.mean(0), pairs.second.mean(0)
    return (first < second).mean(0), (second < first).mean(0)


def spread(errors: np.ndarray, action: np.ndarray) -> np.ndarray | None:
    """Returns the standard deviation over a setting's runs of their means, (T,); None for a single run."""
    return mean_over_actions(errors, action).std(0, ddof=1) if len(errors) > 1 else None
