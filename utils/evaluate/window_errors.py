"""The errors of every test window, as one file beside a run's tables: what a comparison needs."""
import io
import math
import zipfile
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from utils.data.windows import Windows

FILE = 'errors.npz'


class WindowErrors(NamedTuple):
    """The MPJPE of W windows at each of T predicted frames, and what tells the windows apart.

    dataset: its name.
    input_n: observed frames of a window.
    all_joints, predicted_joints: MPJPE, (W, T) in mm, float32.
    held: MPJPE of holding the last pose at the first predicted frame, (W,) in mm, float32: the same in two
        runs only where they were tested on the same motion.
    start: first observed frame of a window in its recording, at the used frame rate, (W,).
    recording: index into files and persons, (W,).
    action: index into actions, (W,).
    files: file of each recording, below the dataset's folder, (R,).
    persons: which person of its file a recording is, from 0, (R,).
    actions: (A,).
    """

    dataset: str
    input_n: int
    all_joints: np.ndarray
    predicted_joints: np.ndarray
    held: np.ndarray
    start: np.ndarray
    recording: np.ndarray
    action: np.ndarray
    files: np.ndarray
    persons: np.ndarray
    actions: np.ndarray


def window_errors(dataset: str, windows: Windows, *, all_joints: Tensor, predicted_joints: Tensor,
                  held: Tensor) -> WindowErrors:
    """Puts errors (W, T) in mm and the windows that they are of together.

    held: those of holding the last pose, (W, T) in mm.
    """
    firsts = np.array([first for first, _ in windows.files])
    starts = windows.starts.cpu().numpy()
    recording = np.searchsorted(firsts, starts, side='right') - 1
    seen: Counter[str] = Counter()
    persons = []
    for _, file in windows.files:
        persons.append(seen[file])
        seen[file] += 1
    return WindowErrors(
        dataset, windows.input_n, all_joints.float().numpy(), predicted_joints.float().numpy(),
        held[:, 0].float().numpy(), start=(starts - firsts[recording]).astype(np.int32),
        recording=recording.astype(np.int32), action=windows.action_index.cpu().numpy().astype(np.int32),
        files=np.array([file for _, file in windows.files]), persons=np.array(persons, dtype=np.int32),
        actions=np.array(windows.actions))


def to_bytes(errors: WindowErrors) -> bytes:
    """Returns the content of errors.npz: the same bytes for the same errors."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in errors._asdict().items()}
    np.savez(file, **arrays)
    return file.getvalue()


def arrays_of(content: bytes) -> dict[str, np.ndarray]:
    """Reads an uncompressed .npz of plain numbers and texts. ValueError where it is none.

    No array is made that is longer than its bytes in the file, and nothing is unpickled.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(content):
                    raise ValueError(f'{info.filename} is compressed')
                arrays[info.filename.removesuffix('.npy')] = array_of(archive.read(info))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f'no .npz ({error})') from None
    return arrays


def array_of(content: bytes) -> np.ndarray:
    """Reads one .npy of plain numbers or texts. ValueError where it is none."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if (read := readers.get(version)) is None:
        raise ValueError(f'.npy of version {version}')
    shape, fortran, dtype = read(file)
    rest = content[file.tell():]
    if dtype.kind not in 'fiuU' or fortran or math.prod(shape) * dtype.itemsize != len(rest):
        raise ValueError('an array that is not of plain numbers or texts, or not whole')
    return np.frombuffer(rest, dtype).reshape(shape)


def from_bytes(content: bytes) -> WindowErrors:
    """Reads what `to_bytes` made. ValueError where it is none, is not whole, or holds what cannot be."""
    arrays = arrays_of(content)
    if lacking := set(WindowErrors._fields) - arrays.keys():
        raise ValueError(f'lacks {", ".join(sorted(lacking))}')
    found: dict[str, Any] = {name: arrays[name] for name in WindowErrors._fields}
    if found['dataset'].shape or found['input_n'].shape or found['input_n'].dtype.kind not in 'iu':
        raise ValueError('dataset or input_n is no single value')
    errors = WindowErrors(**found | {'dataset': str(found['dataset']), 'input_n': int(found['input_n'])})
    count = len(errors.start) if errors.start.ndim == 1 else -1
    shapes = [errors.held, errors.recording, errors.action]
    if count < 1 or errors.all_joints.ndim != 2 or not errors.all_joints.size or (
            errors.predicted_joints.shape != errors.all_joints.shape) or any(
            array.shape != (count,) for array in (*shapes, errors.all_joints[:, 0])):
        raise ValueError('arrays of different lengths')
    indices = (errors.start, errors.recording, errors.action, errors.persons)
    if any(array.dtype.kind not in 'iu' for array in indices):
        raise ValueError('an index that is no whole number')
    if errors.files.shape != errors.persons.shape or errors.files.ndim != 1 or errors.actions.ndim != 1:
        raise ValueError('files, persons or actions is no list')
    for index, names in ((errors.recording, errors.files), (errors.action, errors.actions)):
        if index.min() < 0 or index.max() >= len(names) or names.dtype.kind != 'U':
            raise ValueError('a recording or action that is not there')
    numbers = (errors.all_joints, errors.predicted_joints, errors.held)
    if any(array.dtype.kind != 'f' or not np.isfinite(array).all() or (array < 0).any() for array in numbers):
        raise ValueError('an error that is not finite, or below 0')
    return errors
