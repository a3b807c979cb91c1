"""Predictions as files: .npy, .csv with times and joint names, .bvh for animation programs."""
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.common.errors import InputError
from utils.common.files import whole_file, write_text
from utils.data.skeleton import Skeleton
from utils.mocap.bvh_writer import bvh_text
from utils.predict.predictor import Forecast

KINDS = ('.npy', '.csv', '.bvh')
SLIDING_KINDS = ('.npy', '.csv')


def write_forecast(path: Path, forecast: Forecast, skeleton: Skeleton, *,
                   with_observed: bool = False) -> None:
    """Writes the future: .npy (T, J, 3), .csv with time stamps and named columns, or .bvh in cm.

    Whole or not at all.

    with_observed: the observed frames stand before the prediction.
    InputError for another ending.
    """
    poses, times = forecast.future, forecast.future_ms
    if with_observed:
        poses = np.concatenate([forecast.observed, poses])
        times = np.concatenate([forecast.observed_ms, times])
    kind = path.suffix.lower()
    if kind == '.npy':
        write_array(path, poses)
    elif kind == '.csv':
        write_text(path, table(forecast.joints, {'time_ms': [f'{time:.3f}' for time in times]}, poses))
    elif kind == '.bvh':
        step = forecast.future_ms[0] / 1000
        write_text(path, bvh_text(poses, skeleton, 1 / step))
    else:
        raise InputError(f'{path}: write {", ".join(KINDS)}')


def write_sliding(path: Path, lasts: list[int], forecasts: list[Forecast]) -> None:
    """Writes the predictions of many windows into one file.

    That is .npy (W, T, J, 3), or .csv with the last observed frame.
    """
    if path.suffix.lower() == '.npy':
        write_array(path, np.stack([forecast.future for forecast in forecasts]))
        return
    times = [f'{time:.3f}' for forecast in forecasts for time in forecast.future_ms]
    frames = [str(last) for last, forecast in zip(lasts, forecasts, strict=True) for _ in forecast.future_ms]
    write_text(path, table(forecasts[0].joints, {'last_frame': frames, 'time_ms': times},
                           np.concatenate([forecast.future for forecast in forecasts])))


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes a .npy, whole or not at all."""
    with whole_file(path) as temporary, temporary.open('wb') as file:
        np.save(file, array)


def table(joints: Sequence[str], columns: dict[str, list[str]], poses: np.ndarray) -> str:
    """Returns poses (T, J, 3) as CSV, a line each: the given columns, then x, y and z of each joint in mm."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator='\n')
    rows.writerow([*columns, *(f'{joint}_{axis}_mm' for joint in joints for axis in 'xyz')])
    for *first, pose in zip(*columns.values(), poses, strict=True):
        rows.writerow([*first, *(f'{value:.3f}' for value in pose.flat)])
    return text.getvalue()
