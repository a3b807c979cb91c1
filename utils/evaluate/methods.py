"""The methods of one evaluation, the network and both baselines, scored on the same windows."""
import functools
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from model.baselines import ConstantVelocity, ZeroVelocity
from utils.data.dataset import Dataset
from utils.data.windows import Windows
from utils.evaluate.metrics import PCK_MM, ActionTable, by_action
from utils.evaluate.motion import Motion, motion_of
from utils.evaluate.results import BASELINES, NETWORK, PREDICTED
from utils.evaluate.scoring import FrameErrors, evaluate
from utils.evaluate.window_errors import WindowErrors, window_errors


class Scores(NamedTuple):
    """What an evaluation measured.

    methods: MPJPE by action of the network, in both averages, and of the baselines.
    motion: how all three move.
    pck: distance in mm, as a text -> method -> PCK by action in percent.
    of_windows: the network's errors of every window.
    """

    methods: dict[str, ActionTable]
    motion: Motion
    pck: Motion
    of_windows: WindowErrors


def score_methods(predict: Callable[..., Tensor], windows: Windows, dataset: Dataset, *,
                  batch_size: int) -> Scores:
    """Scores a predictor and both baselines.

    predict: observed poses (B, T_in, N) in mm and their DCT coefficients -> poses (B, T_out, N) in mm.
    """
    score = functools.partial(evaluate, windows=windows, skeleton=dataset.skeleton, batch_size=batch_size,
                              title='testing')
    errors: dict[str, FrameErrors] = {NETWORK: score(predict)}
    for name, baseline in zip(BASELINES, (ZeroVelocity, ConstantVelocity), strict=True):
        errors[name] = score(baseline(windows.output_n).to(windows.frames.device))
    table = functools.partial(by_action, action_index=windows.action_index, actions=windows.actions)
    methods = {NETWORK: table(errors[NETWORK].all_joints), PREDICTED: table(errors[NETWORK].predicted_joints),
               **{name: table(errors[name].all_joints) for name in BASELINES}}
    pck = {f'{distance:g}': {name: table(100 * found.within[..., k]) for name, found in errors.items()}
           for k, distance in enumerate(PCK_MM)}
    own = errors[NETWORK]
    return Scores(methods, motion_of(errors, table), pck,
                  window_errors(dataset.name, windows, all_joints=own.all_joints,
                                predicted_joints=own.predicted_joints, held=errors[BASELINES[0]].all_joints))
