"""What the pictures show: one window's observed, predicted and true poses, and how a person is turned towards the viewer."""
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from utils.data.dataset import Dataset
from utils.data.skeleton import Skeleton
from utils.data.windows import Windows
from utils.evaluate.metrics import complete_joints
from utils.predict.trained import Trained
from utils.report.page import label_frames

LEFT, RIGHT, CENTRE = 'left', 'right', 'centre'
AZIMUTH, ELEVATION = 35.0, 8.0  # degrees: from the person's front towards their left side, and upwards


@dataclass(frozen=True)
class Scene:
    """One window. observed: (T_in, J, 3); predicted and, where the future is known, truth: (T_out, J, 3), mm.

    name: how its files begin; title: what it says above a picture.
    """

    name: str
    title: str
    reader: Dataset
    observed: np.ndarray
    predicted: np.ndarray
    truth: np.ndarray | None = None

    @property
    def skeleton(self) -> Skeleton:
        return self.reader.skeleton

    @cached_property
    def errors(self) -> np.ndarray | None:
        """(T_out, J) distances in mm between the prediction and the truth, where there is one."""
        return None if self.truth is None else np.linalg.norm(self.predicted - self.truth, axis=-1)

    @property
    def mpjpe(self) -> np.ndarray | None:
        """(T_out,) mean of the errors over all joints, as the field scores a prediction."""
        return None if self.errors is None else self.errors.mean(-1)

    @property
    def mpjpe_standing_still(self) -> np.ndarray | None:
        """(T_out,) the same for the last observed pose as a prediction."""
        return None if self.truth is None else np.linalg.norm(self.observed[-1] - self.truth, axis=-1).mean(-1)

    @cached_property
    def axes(self) -> np.ndarray:
        return body_axes(self.observed, self.skeleton)

    @property
    def label_ms(self) -> list[int]:
        return self.skeleton.label_ms(len(self.predicted))

    @property
    def true_ms(self) -> list[float]:
        """True times of the predicted frames; the last observed one is at 0."""
        return self.skeleton.true_ms(len(self.predicted))

    @property
    def observed_ms(self) -> list[float]:
        step = self.skeleton.true_ms_per_frame
        return [round(step * k, 2) for k in range(1 - len(self.observed), 1)]

    @property
    def table_frames(self) -> list[int]:
        """The predicted frames that the tables show."""
        return label_frames(self.reader, len(self.predicted))


@torch.inference_mode()
def scenes_of(trained: Trained, windows: Windows, indices: list[int], *, note: str = '') -> list[Scene]:
    """The scenes of these windows, with the prediction completed to all joints as the field scores it.

    note: what a title says besides dataset, file (which names the action) and used frames.
    """
    reader = trained.dataset
    batch = windows.batch(torch.tensor(indices, device=windows.starts.device))
    fused = trained.model(batch.observed, batch.coefficients).fused
    predicted = complete_joints(fused, batch.future_all, reader.skeleton)
    scenes = []
    for row, index in enumerate(indices):
        start, source = int(windows.starts[index]), windows.source(index)
        action = windows.actions[batch.actions[row]] if len(windows.actions) > 1 else ''
        last = source.start + windows.input_n + windows.output_n - 1
        title = ', '.join(filter(None, [source.file, f'frames {source.start} to {last}', note]))
        observed = poses(windows.frames[start: start + windows.input_n])
        scenes.append(Scene(f'{action or reader.name}_{index:06d}', f'{reader.title}: {title}', reader, observed,
                            poses(predicted[row]), poses(batch.future_all[row])))
    return scenes


def poses(flat: Tensor) -> np.ndarray:
    """(T, 3 J) -> (T, J, 3) on the CPU."""
    return flat.unflatten(-1, (-1, 3)).cpu().numpy()


def choose(errors: Tensor, windows: Windows, count: int, *, worst: bool, allowed: Tensor | None = None) -> list[int]:
    """The `count` windows with the largest (or smallest) error, in that order, of which no two share a frame.

    errors: (W,) one number a window; allowed: (W,) which of them may be taken, if not all. Neighbouring windows of one
    motion differ by a frame: without that rule the first few would all show the same moment. Fewer come back where there
    are not so many.
    """
    starts = windows.starts.cpu()
    free = torch.ones(len(starts), dtype=torch.bool) if allowed is None else allowed.cpu().clone()
    chosen: list[int] = []
    for index in errors.argsort(descending=worst, stable=True).tolist():
        if len(chosen) == count:
            break
        if free[index]:
            chosen.append(index)
            free &= (starts - starts[index]).abs() >= windows.input_n + windows.output_n
    return chosen


def side(joint: str) -> str:
    """The side of the body that a joint's name gives: LeftArm, LThumb and left_hip are left, LowerBack is neither."""
    match = re.match(r'(Left|left_|L(?=[A-Z]))|(Right|right_|R(?=[A-Z]))', joint)
    return CENTRE if match is None else LEFT if match[1] else RIGHT


def bones(skeleton: Skeleton) -> list[tuple[int, int, str]]:
    """(joint, parent, side) of every bone. Some have no length: the benchmarks keep joints at the place of others."""
    return [(joint, parent, side(skeleton.joints[joint])) for joint, parent in enumerate(skeleton.parents) if parent >= 0]


def joint_named(skeleton: Skeleton, *names: str) -> int:
    """The joint that goes by one of these names."""
    return next(j for j, joint in enumerate(skeleton.joints) if joint in names)


def body_axes(observed: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Rows: the directions to the person's left, up and forward, so that `poses @ axes.T` faces the same way for all.

    observed: (T, J, 3), standing upright on average; its last pose faces forward. Up is the coordinate axis along which
    the head is above the root: y in Human3.6M and CMU mocap, while the 3DPW sequences do not agree.
    """
    head = (observed[:, joint_named(skeleton, 'Head', 'head')] - observed[:, 0]).mean(0)
    up = np.zeros(3)
    up[np.abs(head).argmax()] = np.sign(head[np.abs(head).argmax()])
    last = observed[-1]
    hips = last[joint_named(skeleton, 'LeftUpLeg', 'left_hip')] - last[joint_named(skeleton, 'RightUpLeg', 'right_hip')]
    left = hips - (hips @ up) * up
    left /= np.linalg.norm(left)
    return np.stack([left, up, np.cross(left, up)])


def project(poses: np.ndarray, axes: np.ndarray, azimuth: float = AZIMUTH, elevation: float = ELEVATION) -> np.ndarray:
    """Parallel projection, (..., 3) -> (..., 3): to the viewer's right, up, and towards the viewer, mm."""
    a, e = np.radians([azimuth, elevation])
    camera = np.array([
        [np.cos(a), 0, -np.sin(a)],
        [-np.sin(a) * np.sin(e), np.cos(e), -np.cos(a) * np.sin(e)],
        [np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)],
    ])
    return poses @ (camera @ axes).T
