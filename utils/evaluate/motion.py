"""Tabulates how predictions move: acceleration and bone-length errors of several methods, by action."""
from collections.abc import Callable

from torch import Tensor

from utils.evaluate.metrics import ActionTable
from utils.evaluate.scoring import FrameErrors

Motion = dict[str, dict[str, ActionTable]]  # measure -> method -> table
ERRORS, ACCELERATION, TRUTH = ('acceleration error', 'bone-length error'), 'acceleration', 'truth'


def motion_of(errors: dict[str, FrameErrors], table: Callable[[Tensor], ActionTable]) -> Motion:
    """Makes the tables of several methods' errors on the same windows. The truth has an acceleration only.

    errors: method -> its errors.
    table: averages errors (W, T_out) by action.
    """
    true = next(iter(errors.values())).true_acceleration
    return {ERRORS[0]: {name: table(found.acceleration_error) for name, found in errors.items()},
            ERRORS[1]: {name: table(found.bone_length) for name, found in errors.items()},
            ACCELERATION: {name: table(found.own_acceleration) for name, found in errors.items()}
            | {TRUTH: table(true)}}
