"""Predicts live, for a demo or a robot: takes one frame at a time and returns the future."""
from collections import deque

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError
from utils.evaluate.metrics import complete_joints
from utils.mocap.motion import body_rotations
from utils.predict.predictor import Predictor


class Stream:
    """Takes frames as they come, and predicts from the last input_n of them, on the CPU.

    A frame is joint positions in true mm, root-centred, in the body's frame, as `Predictor` returns them.
    `into_body` makes one of positions in the world.
    Frames must come at predictor.fps: nothing is resampled.
    Each frame costs one prediction of one window.
    """

    def __init__(self, predictor: Predictor):
        self.predictor = predictor
        self.scale = predictor.skeleton.mm_scale_to_true
        self.joints = len(predictor.skeleton.joints)
        self.predicted = list(predictor.skeleton.predicted)
        self.reset()

    def reset(self) -> None:
        """Forgets all frames. Call it after a gap, or for another person."""
        self.frames: deque[np.ndarray] = deque(maxlen=self.predictor.input_n)  # the predicted joints, (N,)
        self.whole: bool | None = None  # whether frames have all joints or the predicted ones only

    @torch.inference_mode()
    def push(self, pose: np.ndarray) -> np.ndarray | None:
        """Takes one frame and returns the future of the same joints.

        A joint that the network does not predict is a copy of a predicted one at the same place, or stays as
        it is in this frame.

        pose: (J, 3) in true mm, or (N / 3, 3) of the predicted joints alone.
        Returns (T_out, joints, 3) in true mm, or None until input_n frames have come.
        Raises InputError for another shape, gaps, or a change between the two shapes.
        """
        self.whole = self.check(pose)
        frame = (pose / self.scale).astype(np.float32)
        self.frames.append((frame[self.predicted] if self.whole else frame).flatten())
        if len(self.frames) < self.predictor.input_n:
            return None
        future = self.predictor.model(torch.from_numpy(np.stack(self.frames)[None])).fused  # (1, T_out, N)
        if self.whole:
            held = torch.from_numpy(frame.flatten()).expand(1, self.predictor.output_n, -1)
            future = complete_joints(future, held, self.predictor.skeleton)
        return future.unflatten(-1, (-1, 3))[0].numpy().astype(np.float64) * self.scale

    def check(self, pose: np.ndarray) -> bool:
        """Returns whether a frame has all joints. Raises InputError where the frame cannot be used."""
        few = len(self.predicted)
        if pose.shape not in ((self.joints, 3), (few, 3)):
            raise InputError(f'a frame of shape {pose.shape}: this network takes ({self.joints}, 3), all '
                             f'joints, or ({few}, 3), the predicted ones')
        if pose.dtype.kind not in 'fiu' or not np.isfinite(pose).all():
            raise InputError('a frame must be finite numbers; leave it out and reset, or fill the gap')
        whole = len(pose) == self.joints
        if self.whole not in (None, whole):
            before = few if whole else self.joints
            raise InputError(f'a frame of {len(pose)} joints after frames of {before}: reset first')
        return whole


def into_body(positions: np.ndarray, dataset: str) -> tuple[np.ndarray, Rotation, np.ndarray]:
    """Turns one frame's world positions into the pose that `Stream` takes.

    positions: (J, 3) in true mm.
    Returns the pose (J, 3), a rotation and the root (3,): rotation.apply(pose) + root are the positions.
    Raises InputError where the positions do not tell how the body is turned.
    """
    root = positions[0].astype(np.float64)
    centred = positions - root
    rotation = body_rotations(centred[None], dataset)[0]
    return rotation.inv().apply(centred), rotation, root
