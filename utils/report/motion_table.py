"""How predictions move, beyond where they are: a run's acceleration and bone-length errors as tables."""
from collections.abc import Callable

from torch import Tensor

from utils.data.skeleton import Skeleton
from utils.evaluate.metrics import ActionTable
from utils.evaluate.scoring import FrameErrors

Motion = dict[str, dict[str, ActionTable]]  # measure -> method -> table
ERRORS, ACCELERATION, TRUTH = ('acceleration error', 'bone-length error'), 'acceleration', 'truth'


def motion_of(errors: dict[str, FrameErrors], table: Callable[[Tensor], ActionTable]) -> Motion:
    """The tables of several methods' errors on the same windows; the truth has an acceleration only."""
    true = next(iter(errors.values())).true_acceleration
    return {ERRORS[0]: {name: table(found.acceleration_error) for name, found in errors.items()},
            ERRORS[1]: {name: table(found.bone_length) for name, found in errors.items()},
            ACCELERATION: {name: table(found.own_acceleration) for name, found in errors.items()} | {TRUTH: table(true)}}


def motion_rows(motion: Motion, frames: list[int]) -> list[tuple[str, list[float]]]:
    """Each error of each method at these frames, mean of the actions."""
    return [(f'{measure}: {method}', [table['avg'][f] for f in frames])
            for measure in ERRORS for method, table in motion.get(measure, {}).items()]


def motion_sentences(motion: Motion, skeleton: Skeleton) -> tuple[str, str]:
    """What stands above the rows, and below them: how much the predictions and the truth accelerate at all."""
    means = ', '.join(f'{method} {sum(table["avg"]) / len(table["avg"]):.2f} ({table["avg"][0]:.2f})'
                      for method, table in motion.get(ACCELERATION, {}).items())
    return (f'Smoothness and bones, averaged in the same way: acceleration error of the {len(skeleton.predicted)} predicted '
            f'joints in mm per frame squared (frames are {skeleton.true_ms_per_frame:.1f} ms apart), length error of '
            f'{len(skeleton.bones)} bones in mm:',
            'Mean acceleration in mm per frame squared, over all predicted frames and in brackets at the first, where they join '
            f'the observed ones: {means}.')
