"""Prediction for a live demo or a robot: one frame in, the future out, from the frames that came last."""
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError
from utils.evaluate.metrics import complete_joints
from utils.mocap.motion import body_rotations
from utils.predict.predictor import Predictor


class Stream:
    """Takes frames as they come and predicts from the last input_n of them.

    Frames are joint positions in true mm, root-centred, in the body's frame, as `Predictor` returns them (`into_body` makes
    them of positions in the world). They must come at predictor.fps: times are not looked at and nothing is resampled.
    Each frame costs one prediction of one window, and no memory but that.
    """

    def __init__(self, predictor: Predictor):
        self.predictor = predictor
        skeleton, frames = predictor.skeleton, predictor.input_n
        self.scale = skeleton.mm_scale_to_true
        self.joints = len(skeleton.joints)
        self.predicted = list(skeleton.predicted)
        # Each frame is written twice, input_n rows apart, so that the last input_n frames always lie in one piece, in order.
        device = next(predictor.model.parameters()).device
        self.buffer = torch.zeros(1, 2 * frames, skeleton.node_n, device=device)
        self.held = torch.zeros(1, 1, 3 * self.joints, device=device)  # the last pose, all joints
        self.reset()

    def reset(self) -> None:
        """Forget all frames: after a gap, or for another person."""
        self.count = 0
        self.whole: bool | None = None  # whether frames have all joints or the predicted ones only

    @torch.inference_mode()
    def push(self, pose: np.ndarray) -> np.ndarray | None:
        """One frame, (J, 3) or the predicted joints' (N / 3, 3) -> the future of the same joints, (T_out, J, 3) in true mm.

        None until input_n frames have come. Joints that the network does not predict are copies of predicted ones at the
        same place, or stay as they are in this frame. InputError for another shape, gaps, or a change between the two.
        """
        whole = self.check(pose)
        frame = torch.from_numpy((pose / self.scale).astype(np.float32))
        place = self.count % self.predictor.input_n
        self.buffer[0, place::self.predictor.input_n] = (frame[self.predicted] if whole else frame).flatten().to(self.buffer)
        if whole:
            self.held[0, 0] = frame.flatten()
        self.whole, self.count = whole, self.count + 1
        return self.predict(place + 1) if self.count >= self.predictor.input_n else None

    def predict(self, first: int) -> np.ndarray:
        """The future of the frames from `first` on in the buffer."""
        future = self.predictor.model(self.buffer[:, first : first + self.predictor.input_n]).fused  # (1, T_out, N)
        if self.whole:
            future = complete_joints(future, self.held.expand(-1, self.predictor.output_n, -1), self.predictor.skeleton)
        return future.unflatten(-1, (-1, 3))[0].cpu().numpy().astype(np.float64) * self.scale

    def check(self, pose: np.ndarray) -> bool:
        """Whether a frame has all joints; InputError where it cannot be taken."""
        few = len(self.predicted)
        if pose.shape not in ((self.joints, 3), (few, 3)):
            raise InputError(f'a frame of shape {pose.shape}: this network takes ({self.joints}, 3), all joints, or ({few}, 3), '
                             'the predicted ones')
        if pose.dtype.kind not in 'fiu' or not np.isfinite(pose).all():
            raise InputError('a frame must be finite numbers; leave it out and reset, or fill the gap')
        whole = len(pose) == self.joints
        if self.whole not in (None, whole):
            raise InputError(f'a frame of {len(pose)} joints after frames of {few if whole else self.joints}: reset first')
        return whole


def into_body(positions: np.ndarray, dataset: str) -> tuple[np.ndarray, Rotation, np.ndarray]:
    """World positions of all joints in one frame (J, 3), true mm -> the pose that `Stream` takes, and the way back:
    rotation.apply(pose) + root are the positions. InputError where they do not tell how the body is turned."""
    root = positions[0].astype(np.float64)
    centred = positions - root
    rotation = body_rotations(centred[None], dataset)[0]
    return rotation.inv().apply(centred), rotation, root
