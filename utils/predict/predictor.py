"""Predicts how a person's own motion goes on.

A checkpoint and positions or a file come in; future positions in true mm come out.
"""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from utils.common.errors import InputError
from utils.data.lookup import dataset_named
from utils.data.skeleton import Skeleton
from utils.evaluate.metrics import complete_joints
from utils.mocap.body import back_to_person
from utils.mocap.motion import Motion, as_array, motion_of_positions
from utils.predict.trained import checkpoint_path, load_trained


class Forecast(NamedTuple):
    """Joint positions (T, J, 3) in true mm and their times in true ms from the last observed frame.

    truth: the recorded future, where the file goes on for as long as the prediction; else None.
    known: (J,) which joints the recording has. The others are placed, and no error is taken of them.
    horizon: the network's; frames from there on are a continuation, predicted from predicted ones.
    """

    joints: tuple[str, ...]
    observed: np.ndarray
    observed_ms: np.ndarray
    future: np.ndarray
    future_ms: np.ndarray
    truth: np.ndarray | None
    known: np.ndarray
    horizon: int

    @property
    def errors(self) -> np.ndarray | None:
        """Mean distance from the recorded future at each frame over the recording's joints, (T,) true mm."""
        return None if self.truth is None else self.distances(self.future)

    @property
    def errors_standing_still(self) -> np.ndarray | None:
        """The same of the last observed pose as a prediction."""
        return None if self.truth is None else self.distances(self.observed[-1:])

    def distances(self, poses: np.ndarray) -> np.ndarray:
        """Mean distance of poses (T or 1, J, 3) from the recorded future, (T,)."""
        return np.linalg.norm(poses - self.truth, axis=-1)[:, self.known].mean(-1)


@dataclass(frozen=True)
class Predictor:
    """A trained network and what it was trained for. Made by `load_predictor`."""

    model: nn.Module
    dataset: str
    input_n: int
    output_n: int

    @property
    def skeleton(self) -> Skeleton:
        return dataset_named(self.dataset).skeleton

    @property
    def fps(self) -> float:
        """True frames per second that the network observes and predicts."""
        return 1000 / self.skeleton.true_ms_per_frame

    def __call__(self, positions: Any, *, fps: float, units: str, last: int = -1, frames: int | None = None,
                 joints: str | Path | None = None, up: str | None = None,
                 mirror_x: bool = False) -> np.ndarray:
        """Returns future positions (T, J, 3) in true mm, root-centred in the body's frame.

        Of a batch they are (B, T, J, 3).

        positions: (F, J, 3) or (F, 3 J), or a batch (B, F, J, 3) or (B, F, 3 J), world or root-centred, as
            list, array or tensor.
        fps: their frame rate.
        units: mm, cm, m, in or asf.
        last: the last observed frame.
        frames: how many to predict; the network's horizon if None.
        joints, up, mirror_x: see `read_motion`.
        InputError if they do not fit the network.
        """
        array = as_array(positions)
        batch = array.ndim == 4 or array.ndim == 3 and array.shape[2] != 3
        if batch and not len(array):
            raise InputError(f'positions of shape {array.shape}: an empty batch')
        futures = [self.forecast(motion_of_positions(one, self.dataset, fps=fps, units=units, joints=joints,
                                                     up=up,
                                                     mirror_x=mirror_x), last=last, frames=frames).future
                   for one in (array if batch else array[None])]
        return np.stack(futures) if batch else futures[0]

    def forecast(self, motion: Motion, *, last: int = -1, world: bool = False,
                 frames: int | None = None) -> Forecast:
        """Predicts what follows frame `last` of a motion (from the end if negative).

        world: put the poses back where the root is in frame `last`, turned as it is there; where it goes from
            there is not predicted.
        frames: how many to predict; beyond the network's horizon, predictions are fed back.
        InputError where the motion is too short before that frame.
        """
        last = self.check_last(motion, last)
        frames = self.output_n if frames is None else frames
        now, step = last / motion.fps, 1 / self.fps
        past = step * np.arange(1 - self.input_n, 1)
        ahead = step * np.arange(1, frames + 1)
        observed = motion.at(now + past, last=last)
        future = self.predict(observed, frames)
        goes_on = now + ahead[-1] < (len(motion.body) - 1) / motion.fps + 1e-9
        own, truth = motion.person_at(now + past, last=last), None
        if own is None or motion.person is None:  # the skeleton's own lengths
            scale = self.skeleton.mm_scale_to_true
            seen, coming = observed * scale, future * scale
            if goes_on:
                truth = motion.at(now + ahead) * scale
        else:
            lengths_of = np.concatenate([motion.person[:last + 1], own[-1:]])
            seen, coming = own, back_to_person(future, observed[-1], lengths_of, self.skeleton)
            if goes_on:
                truth = motion.person_at(now + ahead)
        if world:
            turn, place = motion.rotation[last].as_matrix(), motion.position[last]
            seen, coming = (np.einsum('ij,tpj->tpi', turn, part) + place for part in (seen, coming))
            if truth is not None:
                truth = np.einsum('ij,tpj->tpi', turn, truth) + place
        return Forecast(self.skeleton.joints, seen, 1000 * past, coming, 1000 * ahead, truth, motion.known,
                        self.output_n)

    def check_last(self, motion: Motion, last: int) -> int:
        """Returns the frame's index from the start.

        InputError if it is not there, or too early to have been led up to.
        """
        frames = len(motion.body)
        if not -frames <= last < frames:
            raise InputError(f'frame {last}: the motion has frames 0 to {frames - 1}')
        last %= frames
        needed = self.first_last(motion)
        if last < needed:
            raise InputError(f'{last + 1} frames at {motion.fps:g} fps up to the last observed one: the '
                             f'network observes '
                             f'{self.input_n} frames at {self.fps:g} fps, so it takes {needed + 1}')
        return last

    def first_last(self, motion: Motion) -> int:
        """Returns the first frame that can be the last observed one."""
        return max(1, int(np.ceil((self.input_n - 1) * motion.fps / self.fps - 1e-9)))

    def reaches_t_pose(self, motion: Motion, last: int) -> bool:
        """Tells whether the observed frames up to `last` reach a T-pose at the recording's start."""
        return motion.t_pose and last - self.first_last(motion) < 1

    @torch.inference_mode()
    def predict(self, observed: np.ndarray, frames: int | None = None) -> np.ndarray:
        """Predicts all joints of the future, (T, J, 3), in the body's frame and the benchmark's mm.

        Joints that the network does not predict are copies of predicted ones at the same place, or stay as
        last observed.

        observed: (T_in, J, 3) in the same frame and unit.
        frames: how many; beyond the horizon the network is asked again with its own prediction as observed.
        """
        frames = self.output_n if frames is None else frames
        poses = torch.from_numpy(observed.astype(np.float32))
        held = poses[-1].flatten().expand(1, self.output_n, -1)  # (1, T_out, 3 J)
        while len(poses) < self.input_n + frames:
            seen = poses[-self.input_n:, list(self.skeleton.predicted)].flatten(1)  # (T_in, N)
            whole = complete_joints(self.model(seen[None]).fused, held, self.skeleton)
            poses = torch.cat([poses, whole.view(self.output_n, -1, 3)])
        return poses[self.input_n: self.input_n + frames].numpy().astype(np.float64)


def load_predictor(path: str | Path) -> Predictor:
    """Loads the network in a checkpoint, or the best one in a run folder, on the CPU.

    InputError if it cannot be used.
    """
    trained = load_trained(checkpoint_path(Path(path)))
    return Predictor(trained.model, trained.dataset.name, trained.settings['input_n'],
                     trained.settings['output_n'])
