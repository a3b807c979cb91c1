"""Measures what it costs to come from another skeleton, and to predict on and on.

CMU test files are turned into each skeleton and predicted.
"""
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.common.errors import InputError
from utils.data.skeleton import CMU
from utils.mocap.joints import match, model_joints, tables
from utils.mocap.motion import Motion, motion_of_joints
from utils.mocap.motion_files import read_motion
from utils.predict.predictor import Predictor

SHARES = (0.85, 1.15)  # bone lengths are drawn between these shares of CMU's
# Where a joint of the body that CMU lacks lies: the share of the way from the first of its joints to the
# second.
BETWEEN = {'spine1': ('pelvis', 'spine2', 0.6), 'chest': ('spine2', 'spine3', 0.8)}


class Cost(NamedTuple):
    """Errors in the field's mm at each predicted frame, (T,), over predicted joints that a skeleton has.

    predicted: from that skeleton.
    direct: from the file itself, over the same joints.
    standing_still: of that skeleton.
    """

    joints: int
    predicted: np.ndarray
    direct: np.ndarray
    standing_still: np.ndarray
    windows: int


def body_joints_of(motion: Motion) -> dict[str, np.ndarray]:
    """Returns joint of the body -> (F, 3) root-centred true mm.

    motion: on CMU's skeleton; the joints are turned as it was recorded.
    """
    world = motion.rotation.as_matrix() @ (motion.body * CMU.mm_scale_to_true).transpose(0, 2, 1)  # (F, 3, J)
    joints = dict(zip(model_joints('cmu'), world.transpose(2, 0, 1), strict=True))
    for name, (below, above, share) in BETWEEN.items():
        joints[name] = (1 - share) * joints[below] + share * joints[above]
    return joints


def other_lengths(joints: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws another length for every bone, the same on both sides.

    Directions stay, positions (F, 3) change.
    """
    names = model_joints('cmu')
    on_either_side = [name.removeprefix('left_').removeprefix('right_') for name in names]
    share = {name: rng.uniform(*SHARES) for name in on_either_side}
    changed = {names[0]: joints[names[0]]}
    for joint, parent in enumerate(CMU.parents):
        if parent >= 0:
            bone = joints[names[joint]] - joints[names[parent]]
            changed[names[joint]] = changed[names[parent]] + share[on_either_side[joint]] * bone
    for name, (below, above, part) in BETWEEN.items():
        changed[name] = (1 - part) * changed[below] + part * changed[above]
    return changed


def as_table(joints: dict[str, np.ndarray], table: str) -> dict[str, np.ndarray]:
    """Keeps the joints that a skeleton of this table has.

    Pelvis and neck lie at the midpoints where the table makes them of two joints.
    """
    names = [name for name in tables()[table] if '+' not in name]
    found = match(tables()[table], names)
    kept = {}
    for joint, columns in found.items():
        sources = [tables()[table][names[column]] for column in columns]
        if all(source in joints for source in sources):
            kept[joint] = np.mean([joints[source] for source in sources], axis=0)
    if table == 'h36m17':
        kept['pelvis'] = (joints['left_hip'] + joints['right_hip']) / 2
    return kept


def windows_of(motion: Motion, predictor: Predictor, frames: int, every: int) -> Iterator[int]:
    """Yields the last observed frames of windows whose future is recorded, without the T-pose."""
    first = predictor.first_last(motion) + int(motion.t_pose)
    yield from range(first, len(motion.body) - int(np.ceil(frames * motion.fps / predictor.fps)), every)


def distances(predictor: Predictor, motion: Motion, lasts: list[int],
              frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicts a motion and compares with its own future: CMU's skeleton and mm, no rotation of the body.

    Returns (T, J) of the prediction and of standing still, means over the windows.
    """
    own, still = [], []
    for last in lasts:
        now, step = last / motion.fps, 1 / predictor.fps
        observed = motion.at(now + step * np.arange(1 - predictor.input_n, 1), last=last)
        true = motion.at(now + step * np.arange(1, frames + 1))
        own.append(np.linalg.norm(predictor.predict(observed, frames) - true, axis=-1))
        still.append(np.linalg.norm(observed[-1] - true, axis=-1))
    return np.mean(own, axis=0), np.mean(still, axis=0)


def measure(predictor: Predictor, files: list[Path], skeletons: list[str], *, every: int, frames: int,
            seed: int = 0) -> dict[str, Cost]:
    """Predicts every `every`-th frame's window of CMU test files, directly and turned into each skeleton.

    The skeletons have other bone lengths. Files count alike, as actions do in the field's average.
    """
    rows: dict[str, list[Cost]] = {name: [] for name in ('direct', *skeletons)}
    scored = np.isin(np.arange(len(CMU.joints)), (*CMU.predicted, *CMU.copied))
    for number, path in enumerate(files):
        truth = read_motion(path, 'cmu', fps=CMU.raw_fps)
        lasts = list(windows_of(truth, predictor, frames, every))
        if not lasts:
            raise InputError(f'{path}: {len(truth.body)} frames are too few for a window and '
                             f'{frames} frames more')
        direct, _ = distances(predictor, truth, lasts, frames)
        joints = other_lengths(body_joints_of(truth), np.random.default_rng(seed + number))
        for name in rows:
            motion = truth
            if name != 'direct':
                motion = motion_of_joints(as_table(joints, name), 'cmu', table=name, fps=truth.fps,
                                          units='mm')
            own, still = distances(predictor, motion, lasts, frames)
            has = motion.known & scored
            rows[name].append(Cost(int(has.sum()), own[:, has].mean(-1), direct[:, has].mean(-1),
                                   still[:, has].mean(-1), len(lasts)))
    return {name: mean_of(costs) for name, costs in rows.items()}


def mean_of(costs: list[Cost]) -> Cost:
    """Averages the costs of several files, each of which counts the same."""
    return Cost(costs[0].joints, np.mean([cost.predicted for cost in costs], axis=0),
                np.mean([cost.direct for cost in costs], axis=0),
                np.mean([cost.standing_still for cost in costs], axis=0), sum(cost.windows for cost in costs))
