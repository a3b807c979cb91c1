"""Holds what the pictures show, the poses of one window, and turns them to the viewer."""
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from utils.data.dataset import Dataset, label_frames
from utils.data.skeleton import Skeleton
from utils.data.windows import Windows
from utils.evaluate.metrics import complete_joints
from utils.predict.trained import Trained

LEFT, RIGHT, CENTRE = 'left', 'right', 'centre'
AZIMUTH, ELEVATION = 35.0, 8.0  # degrees: from the person's front towards their left side, and upwards


@dataclass(frozen=True)
class Scene:
    """One window: its observed, predicted and true poses.

    name: the start of its files' names.
    title: the line above a picture.
    dataset: whose skeleton and frame rate the poses have.
    observed: (T_in, J, 3) mm.
    predicted: (T_out, J, 3) mm.
    truth: (T_out, J, 3) mm, or None where the future is unknown.
    run: the name of the run or checkpoint that predicted.
    model: the network in a few words.
    window: its number in the test split, or None for a motion that is in none.
    """

    name: str
    title: str
    dataset: Dataset
    observed: np.ndarray
    predicted: np.ndarray
    truth: np.ndarray | None = None
    run: str = ''
    model: str = ''
    window: int | None = None

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of the poses."""
        return self.dataset.skeleton

    @cached_property
    def errors(self) -> np.ndarray | None:
        """(T_out, J) distances in mm between the prediction and the truth, where there is one."""
        return None if self.truth is None else np.linalg.norm(self.predicted - self.truth, axis=-1)

    @property
    def mpjpe(self) -> np.ndarray | None:
        """(T_out,) mean of the errors over all joints, as the field scores a prediction."""
        return None if self.errors is None else self.errors.mean(-1)

    @property
    def mpjpe_zero_velocity(self) -> np.ndarray | None:
        """(T_out,) the same for the last observed pose as a prediction."""
        if self.truth is None:
            return None
        return np.linalg.norm(self.observed[-1] - self.truth, axis=-1).mean(-1)

    @cached_property
    def axes(self) -> np.ndarray:
        """(3, 3) the person's own directions, as `body_axes` finds them."""
        return body_axes(self.observed, self.skeleton)

    @property
    def label_ms(self) -> list[int]:
        """The field's labels of the predicted frames."""
        return self.skeleton.label_ms(len(self.predicted))

    @property
    def true_ms(self) -> list[float]:
        """True times of the predicted frames in ms; the last observed one is at 0."""
        return self.skeleton.true_ms(len(self.predicted))

    @property
    def observed_ms(self) -> list[float]:
        """True times of the observed frames in ms; the last one is at 0."""
        step = self.skeleton.true_ms_per_frame
        return [round(step * k, 2) for k in range(1 - len(self.observed), 1)]

    @property
    def table_frames(self) -> list[int]:
        """Indices of the predicted frames that the tables show."""
        return label_frames(self.dataset, len(self.predicted))


@torch.inference_mode()
def scenes_of(trained: Trained, windows: Windows, indices: list[int], *, run: str = '',
              note: str = '') -> list[Scene]:
    """Predicts these windows; a prediction is completed to all joints as the field scores it.

    indices: numbers of the windows in the split.
    run: name of the run, for the page.
    note: text at the end of a title, behind dataset, file (which names the action) and frames.
    """
    dataset, model = trained.dataset, describe(trained)
    batch = windows.batch(torch.tensor(indices, device=windows.starts.device))
    fused = trained.model(batch.observed, batch.coefficients).fused
    predicted = complete_joints(fused, batch.future_all, dataset.skeleton)
    scenes = []
    for row, index in enumerate(indices):
        start, source = int(windows.starts[index]), windows.source(index)
        action = windows.actions[batch.actions[row]] if len(windows.actions) > 1 else ''
        last = source.start + windows.input_n + windows.output_n - 1
        title = ', '.join(filter(None, [source.file, f'frames {source.start} to {last}', note]))
        observed = poses(windows.frames[start: start + windows.input_n])
        scenes.append(Scene(f'{action or dataset.name}_{index:06d}', f'{dataset.title}: {title}', dataset,
                            observed, poses(predicted[row]), poses(batch.future_all[row]), run, model, index))
    return scenes


def describe(trained: Trained) -> str:
    """Describes the network: its frames, its size and the epoch it is from."""
    settings, size = trained.settings, sum(weights.numel() for weights in trained.model.parameters())
    return (f'KSOF, {settings["input_n"]} observed + {settings["output_n"]} predicted frames, '
            f'{size / 1e6:.2f} M parameters, epoch {trained.epoch}')


def poses(flat: Tensor) -> np.ndarray:
    """Splits (T, 3 J) into (T, J, 3) on the CPU."""
    return flat.unflatten(-1, (-1, 3)).cpu().numpy()


def choose(errors: Tensor, windows: Windows, count: int, *, worst: bool, allowed: Tensor | None = None,
           same_recording: bool = False) -> list[int]:
    """Chooses the `count` windows with the largest or smallest error, in that order.

    No two share a frame, because neighbouring windows would show the same moment.
    Each is of another recording as long as there is one; then further windows of the same recordings follow.
    Fewer are returned where there are not as many.

    errors: (W,) one number for each window.
    worst: whether those with the largest error are chosen.
    allowed: (W,) which windows may be chosen; None for all.
    same_recording: whether several windows of one recording may be chosen from the start.
    """
    order = errors.argsort(descending=worst, stable=True).tolist()
    starts = windows.starts.cpu()
    free = torch.ones(len(starts), dtype=torch.bool) if allowed is None else allowed.cpu().clone()
    chosen: list[int] = []
    for each_another in (False,) if same_recording else (True, False):
        recordings: set[str] = set()
        for index in order:
            if len(chosen) == count:
                break
            if not free[index] or (each_another and windows.source(index).file in recordings):
                continue
            chosen.append(index)
            recordings.add(windows.source(index).file)
            free &= (starts - starts[index]).abs() >= windows.input_n + windows.output_n
    return sorted(chosen, key=order.index)


def side(joint: str) -> str:
    """Returns the side of the body that a joint's name tells.

    LeftArm, LThumb and left_hip are on the left; LowerBack is in the centre.
    """
    match = re.match(r'(Left|left_|L(?=[A-Z]))|(Right|right_|R(?=[A-Z]))', joint)
    return CENTRE if match is None else LEFT if match[1] else RIGHT


def bones(skeleton: Skeleton) -> list[tuple[int, int, str]]:
    """Returns (joint, parent, side) of every bone.

    Some bones have no length, because the benchmarks keep joints that lie where another one does.
    """
    return [(joint, parent, side(skeleton.joints[joint]))
            for joint, parent in enumerate(skeleton.parents) if parent >= 0]


def joint_named(skeleton: Skeleton, *names: str) -> int:
    """Returns the index of the joint that has one of these names."""
    return next(j for j, joint in enumerate(skeleton.joints) if joint in names)


def body_axes(observed: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Returns a (3, 3) matrix whose rows point to the person's left, up and forward.

    With it `poses @ axes.T` faces the same way for every window.
    Up is the coordinate axis along which the head is above the root.
    It is y in Human3.6M and CMU mocap, but differs between the sequences of 3DPW.

    observed: (T, J, 3) in mm, upright on average. The last pose defines where forward is.
    """
    head = (observed[:, joint_named(skeleton, 'Head', 'head')] - observed[:, 0]).mean(0)
    up = np.zeros(3)
    up[np.abs(head).argmax()] = np.sign(head[np.abs(head).argmax()])
    last = observed[-1]
    left_hip, right_hip = (last[joint_named(skeleton, *names)] for names in
                           (('LeftUpLeg', 'left_hip'), ('RightUpLeg', 'right_hip')))
    hips = left_hip - right_hip
    left = hips - (hips @ up) * up
    left /= np.linalg.norm(left)
    return np.stack([left, up, np.cross(left, up)])


def project(poses: np.ndarray, axes: np.ndarray, azimuth: float = AZIMUTH,
            elevation: float = ELEVATION) -> np.ndarray:
    """Projects poses in parallel, (..., 3) -> (..., 3) in mm.

    The coordinates of the result point to the viewer's right, up, and towards the viewer.

    axes: (3, 3) from `body_axes`.
    azimuth, elevation: where the viewer stands, in degrees.
    """
    a, e = np.radians([azimuth, elevation])
    camera = np.array([
        [np.cos(a), 0, -np.sin(a)],
        [-np.sin(a) * np.sin(e), np.cos(e), -np.cos(a) * np.sin(e)],
        [np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)],
    ])
    return poses @ (camera @ axes).T
