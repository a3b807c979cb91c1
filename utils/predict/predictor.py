"""Prediction for a person's own motion: a checkpoint, positions or a file in, future positions in true mm out."""
import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from utils.common.errors import InputError
from utils.common.files import whole_file, write_text
from utils.data.lookup import dataset_named
from utils.data.skeleton import Skeleton
from utils.evaluate.metrics import complete_joints
from utils.mocap.motion import Motion, motion_of_positions
from utils.predict.trained import checkpoint_path, load_trained


class Forecast(NamedTuple):
    """Joint positions (T, J, 3) in true mm and their times in true ms from the last observed frame.

    truth: the recorded future, where the file goes on for as long as the prediction; else None.
    """

    joints: tuple[str, ...]
    observed: np.ndarray
    observed_ms: np.ndarray
    future: np.ndarray
    future_ms: np.ndarray
    truth: np.ndarray | None


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

    def __call__(self, positions: np.ndarray, *, fps: float, units: str, last: int = -1) -> np.ndarray:
        """Future positions (T_out, J, 3) in true mm, root-centred in the body's frame.

        positions: (F, J, 3) or (F, 3 J) in the dataset's joint order, world or root-centred; fps: their frame rate; units:
        mm, cm, m, in or asf; last: the last observed frame. InputError if they do not fit the network.
        """
        return self.forecast(motion_of_positions(positions, self.dataset, fps=fps, units=units), last=last).future

    def forecast(self, motion: Motion, *, last: int = -1, world: bool = False) -> Forecast:
        """Predict what follows frame `last` of a motion (from the end if negative).

        world: put the poses back where the root is in frame `last`, turned as it is there; where it goes from there is not
        predicted. InputError where the motion is too short before that frame or does not say where the root is.
        """
        last = self.check_last(motion, last)
        now, step = last / motion.fps, 1 / self.fps
        past = step * np.arange(1 - self.input_n, 1)
        ahead = step * np.arange(1, self.output_n + 1)
        observed = motion.at(now + past, last=last)
        future = self.predict(observed)
        truth = motion.at(now + ahead) if now + ahead[-1] < (len(motion.body) - 1) / motion.fps + 1e-9 else None
        scale = self.skeleton.mm_scale_to_true

        def place(poses: np.ndarray) -> np.ndarray:
            if not world:
                return poses * scale
            if motion.position is None:
                raise InputError('the file does not tell the unit of the root\'s position: add --units, or leave --world out')
            return np.einsum('ij,tpj->tpi', motion.rotation[last].as_matrix(), poses * scale) + motion.position[last]

        return Forecast(self.skeleton.joints, place(observed), 1000 * past, place(future), 1000 * ahead,
                        None if truth is None else place(truth))

    def check_last(self, motion: Motion, last: int) -> int:
        """The frame's index from the start. InputError if it is not there, or too early to have been led up to."""
        frames = len(motion.body)
        if not -frames <= last < frames:
            raise InputError(f'frame {last}: the motion has frames 0 to {frames - 1}')
        last %= frames
        if last / motion.fps < (self.input_n - 1) / self.fps - 1e-9:
            needed = int(np.ceil((self.input_n - 1) * motion.fps / self.fps - 1e-9)) + 1
            raise InputError(f'{last + 1} frames at {motion.fps:g} fps up to the last observed one: the network observes '
                             f'{self.input_n} frames at {self.fps:g} fps, so it takes {needed}')
        return last

    @torch.inference_mode()
    def predict(self, observed: np.ndarray) -> np.ndarray:
        """Observed poses (T_in, J, 3) in the body's frame and the benchmark's mm -> all joints of the future, (T_out, J, 3).

        Joints that the network does not predict are copies of predicted ones at the same place, or stay as last observed.
        """
        poses = torch.from_numpy(observed.astype(np.float32))
        seen = poses[:, list(self.skeleton.predicted)].flatten(1)  # (T_in, N)
        held = poses[-1].flatten().expand(1, self.output_n, -1)  # (1, T_out, 3 J)
        whole = complete_joints(self.model(seen[None]).fused, held, self.skeleton)
        return whole.view(self.output_n, -1, 3).numpy().astype(np.float64)


def load_predictor(path: str | Path) -> Predictor:
    """The network in a checkpoint, or the best one in a run folder, on the CPU. InputError if it cannot be used."""
    trained = load_trained(checkpoint_path(Path(path)))
    return Predictor(trained.model, trained.dataset.name, trained.settings['input_n'], trained.settings['output_n'])


def write_forecast(path: Path, forecast: Forecast) -> None:
    """Write the future as .npy, (T_out, J, 3), or as .csv with time stamps and named columns. Whole or not at all."""
    kind = path.suffix.lower()
    if kind == '.npy':
        with whole_file(path) as temporary, temporary.open('wb') as file:
            np.save(file, forecast.future)
    elif kind == '.csv':
        text = io.StringIO()
        table = csv.writer(text, lineterminator='\n')
        table.writerow(['time_ms', *(f'{joint}_{axis}_mm' for joint in forecast.joints for axis in 'xyz')])
        for time, pose in zip(forecast.future_ms, forecast.future, strict=True):
            table.writerow([f'{time:.3f}', *(f'{value:.3f}' for value in pose.flat)])
        write_text(path, text.getvalue())
    else:
        raise InputError(f'{path}: write .npy or .csv')
