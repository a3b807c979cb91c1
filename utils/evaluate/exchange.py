"""Test windows as a file for anybody's network, and its predictions for them."""
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.common.errors import InputError, reading
from utils.common.files import open_regular
from utils.data.dataset import Dataset
from utils.data.windows import Windows
from utils.evaluate.window_errors import arrays_of, window_errors

# How far a first predicted frame may be from the last observed pose, as a mean over all windows.
FAR_MM = 100.0
TRUE_STEPS = 4  # what is farther than so many true steps is looked at
ROOT_MM = 20.0  # a shift that all joints of most windows share
UNITS = {'metres': 1000.0, 'centimetres': 10.0, 'inches': 25.4}
SEARCHED = 200  # predictions whose own window is looked for


class Protocol(NamedTuple):
    """What a file of windows was made for; test_sample_num is -1 for all windows."""

    dataset: str
    input_n: int
    output_n: int
    test_sample_num: int


def ids_of(windows: Windows, dataset: str) -> np.ndarray:
    """Returns a text for each window, (W,): dataset, file, which person of it, first observed frame."""
    none = torch.zeros(len(windows), 1)
    found = window_errors(dataset, windows, all_joints=none, predicted_joints=none, held=none)
    return np.array([f'{dataset}/{found.files[r]}/{found.persons[r]}/{start}'
                     for r, start in zip(found.recording, found.start, strict=True)])


def observed_of(windows: Windows) -> np.ndarray:
    """Returns the observed poses of every window, (W, T_in, J, 3) in mm."""
    return poses_of(windows, 0, windows.input_n)


def poses_of(windows: Windows, first: int, end: int) -> np.ndarray:
    """Returns frames `first` to `end` of every window, (W, T, J, 3) in mm."""
    index = windows.starts.cpu()[:, None] + torch.arange(first, end)
    return windows.frames.cpu()[index].unflatten(-1, (-1, 3)).numpy()


def windows_bytes(windows: Windows, dataset: Dataset, protocol: Protocol, *, with_future: bool) -> bytes:
    """Returns the content of a file of test windows.

    Its arrays are id and action (W,), observed (W, T_in, J, 3) in mm, root-centred, joints (J,) and predicted
    (J,), 1 where a joint counts, the fields of Protocol, and, if asked for, future (W, T_out, J, 3).
    """
    joints = range(len(dataset.skeleton.joints))
    arrays: dict[str, Any] = protocol._asdict() | {
        'id': ids_of(windows, dataset.name), 'observed': observed_of(windows),
        'action': np.array(windows.actions)[windows.action_index.cpu().numpy()],
        'joints': np.array(dataset.skeleton.joints),
        'predicted': np.array([joint in dataset.skeleton.predicted for joint in joints], dtype=np.uint8)}
    if with_future:
        arrays['future'] = poses_of(windows, windows.input_n, windows.input_n + windows.output_n)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def arrays_in(path: Path, *names: str) -> list[np.ndarray]:
    """Reads arrays of an .npz that np.savez wrote. Raises InputError where it is none or lacks one."""
    with reading(path), open_regular(path) as file:
        content = file.read()
    try:
        arrays = arrays_of(content)
    except ValueError as error:
        raise InputError(f'{path}: is no file of np.savez ({str(error)[:200]})') from None
    if lacking := [name for name in names if name not in arrays]:
        raise InputError(f'{path}: has no {", ".join(lacking)}, it has {", ".join(arrays)[:200]}')
    return [arrays[name] for name in names]


def read_protocol(path: Path) -> Protocol:
    """Reads what a file of windows was made for. Raises InputError where it is none."""
    found = arrays_in(path, *Protocol._fields)
    kinds = zip(found, ('U', 'iu', 'iu', 'iu'), strict=True)
    if any(value.shape or value.dtype.kind not in kind for value, kind in kinds):
        raise InputError(f'{path}: is not a file of test windows')
    protocol = Protocol(*(value.item() for value in found))
    if not (2 <= protocol.input_n <= 2000 and 3 <= protocol.output_n <= 2000
            and protocol.test_sample_num in (-1, 8, 256)):
        raise InputError(f'{path}: is of {protocol}, which no protocol is')
    return protocol


def read_predictions(path: Path, windows: Windows, dataset: Dataset) -> Tensor:
    """Reads predictions of the windows: id (W,) as in the file of windows, predicted (W, T_out, J, 3) in mm.

    Returns those of the joints that count, (W, T_out, N) in mm.
    Raises InputError that says what gave them away, where they are not of these windows in this form.
    """
    ids, predicted = arrays_in(path, 'id', 'predicted')
    wanted = (len(windows), windows.output_n, len(dataset.skeleton.joints), 3)
    if predicted.shape != wanted or predicted.dtype.kind != 'f':
        raise InputError(f'{path}: predicted is {predicted.dtype} {predicted.shape}, and must be float '
                         f'{wanted}: {wrong_size(predicted.shape, wanted)}')
    expected = ids_of(windows, dataset.name)
    if ids.shape != expected.shape or (ids != expected).any():
        first = int((ids != expected).argmax()) if ids.shape == expected.shape else 0
        found = ids.reshape(-1)[first] if ids.size else 'nothing'
        raise InputError(f'{path}: window {first} has the id {found}, and must have {expected[first]}: keep '
                         'the order of the file of windows, and copy its ids')
    if not np.isfinite(predicted).all():
        window = int((~np.isfinite(predicted)).reshape(len(ids), -1).any(1).argmax())
        raise InputError(f'{path}: the prediction for {ids[window]} is not finite')
    counted = list(dataset.skeleton.predicted)
    last, truth = (poses_of(windows, at, at + 1)[:, 0, counted]
                   for at in (windows.input_n - 1, windows.input_n))
    check_start(path, predicted[:, 0, counted].astype(np.float64), last, truth,
                dataset.skeleton.mm_scale_to_true)
    return torch.from_numpy(predicted[:, :, counted].astype(np.float32)).flatten(2)


def wrong_size(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Says in words which size of an array is another one than wanted."""
    names = ('windows', 'predicted frames', 'joints (all of the skeleton)', 'coordinates')
    if len(shape) != len(wanted):
        return 'windows, predicted frames, joints, coordinates'
    return ', '.join(f'{found} {name}, not {want}' for found, want, name
                     in zip(shape, wanted, names, strict=True)
                     if found != want) or 'not of floating-point numbers'


def distance(poses: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the mean distance of the joints of poses (..., J, 3) from others, (...)."""
    return np.asarray(np.linalg.norm(poses - others, axis=-1).mean(-1))


def check_start(path: Path, first: np.ndarray, last: np.ndarray, truth: np.ndarray, true_mm: float) -> None:
    """Looks whether predictions begin where the observed poses end.

    first, last, truth: the first predicted, the last observed and the true next pose, (W, J, 3) in mm.
    true_mm: true millimetres in a millimetre of these poses.
    Raises InputError naming unit, root or order, where one of them explains why they do not.
    """
    off, step = distance(first, last).mean(), distance(truth, last).mean()
    shift = (first - last).mean(1)  # (W, 3)
    common = np.median(shift, axis=0)
    said = f'{path}: the first frame is {off:.0f} mm off the last observed pose on average'
    suspect = off > max(TRUE_STEPS * step, ROOT_MM)
    for unit, factor in (UNITS | {'true mm': 1 / true_mm}).items():
        if suspect and (scaled := distance(factor * first, last).mean()) < off / 4:
            raise InputError(f'{said}, times {factor:.4g} it is {scaled:.0f} mm: it is in {unit}, and must '
                             'be in the mm of the observed poses')
    centred = distance(first - shift[:, None], last).mean()
    if (suspect or np.linalg.norm(common) > ROOT_MM) and centred < off / 2:
        shown = ', '.join(str(round(value)) for value in common)
        raise InputError(f'{said}, and all joints together by ({shown}) mm at the median: the root must be '
                         'at 0 in each frame, as in the observed poses')
    some = np.linspace(0, len(first) - 1, min(len(first), SEARCHED)).astype(int)
    nearest = np.array([distance(first[window], last).argmin() for window in some] if suspect else some)
    if suspect and distance(first[some], last[nearest]).mean() < off / 4:
        at = int((nearest != some).argmax())
        raise InputError(f'{said}; the prediction of window {some[at]} begins where window {nearest[at]} '
                         'ends: the order must be that of the file of windows')
    if off > max(FAR_MM, TRUE_STEPS * step):
        raise InputError(f'{said}, the true one {step:.0f} mm: it is no prediction of these poses')
