"""Cuts the recordings of a split into windows, and gathers batches of them on the device."""
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.dct import encode, encoding_matrix
from utils.common.errors import InputError, reading
from utils.data.augment import Augmentation
from utils.data.dataset import Dataset, Recording, missing_files, read_recordings

log = logging.getLogger('ksof')


def all_starts(length: int, window: int, step: int = 1, first: int = 0) -> np.ndarray:
    """Returns every `step`-th start of a window in `length` frames, from frame `first` on.

    There is none where the window does not fit.
    """
    return np.arange(first, length - window + 1, step)


class Batch(NamedTuple):
    """Windows as the network takes them: N predicted coordinates in mm.

    The future has all 3 J coordinates too, for scoring.
    """

    observed: Tensor  # (B, T_in, N)
    coefficients: Tensor  # (B, N, K)
    future: Tensor  # (B, T_out, N)
    future_all: Tensor  # (B, T_out, 3 J)
    actions: Tensor  # (B,) index into Windows.actions


class Source(NamedTuple):
    """The place of a window: its file, and its first frame there."""

    file: str
    start: int


@dataclass
class Windows:
    """Holds all frames of a split on the device, once, and the starts of its windows.

    A batch is one gather from the frames.
    """

    actions: tuple[str, ...]
    frames: Tensor  # (F, 3 J) in mm
    starts: Tensor  # (W,) first frame of each window
    action_index: Tensor  # (W,)
    input_n: int
    output_n: int
    predicted: Tensor  # (N,) columns of `frames` that the network sees
    encoding: Tensor  # (K, T_in)
    files: list[tuple[int, str]]  # first frame and file of each recording
    missing_files: list[str] = field(default_factory=list)  # of a dataset that is a fixed set of files
    augmentation: Augmentation | None = None  # what changes a window each time it is taken

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def ends(self) -> Tensor:
        """(W,) the frame after the recording that each window is from."""
        firsts = [first for first, _ in self.files]
        ends = torch.tensor([*firsts[1:], len(self.frames)], device=self.starts.device)
        begun = torch.searchsorted(torch.tensor(firsts, device=self.starts.device), self.starts, right=True)
        return ends[begun - 1]  # the last recording that has begun is the window's own

    @cached_property
    def checksum(self) -> str:
        """BLAKE2b of all frames and window starts. It is the same only for the same data, to the last bit."""
        digest = hashlib.blake2b(digest_size=16)
        for tensor in (self.frames, self.starts):
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def batch(self, index: Tensor) -> Batch:
        """Gathers the windows with these indices (B,)."""
        length = self.input_n + self.output_n
        starts = self.starts[index]  # (B,)
        if self.augmentation:
            window = self.augmentation.windows(self.frames, starts, self.ends[index], length)  # (B, T, 3 J)
        else:
            window = self.frames[starts[:, None] + torch.arange(length, device=starts.device)]
        seen = window[:, :, self.predicted]  # (B, T, N)
        observed, future = seen[:, : self.input_n], seen[:, self.input_n :]
        return Batch(observed, encode(observed, self.encoding), future, window[:, self.input_n :],
                     self.action_index[index])

    def batches(self, size: int, *, order: Tensor | None = None) -> Iterator[Batch]:
        """Yields batches of `size` windows: all once, or those of `order` (W,). The last may be smaller."""
        order = torch.arange(len(self)) if order is None else order
        for first in range(0, len(order), size):
            yield self.batch(order[first : first + size].to(self.starts.device))

    def source(self, index: int) -> Source:
        """Returns the place of one window."""
        start = int(self.starts[index])
        first, file = max(entry for entry in self.files if entry[0] <= start)
        return Source(file, start - first)

    def counts(self) -> dict[str, int]:
        """Returns the number of windows of each action that has any."""
        counts = torch.bincount(self.action_index, minlength=len(self.actions)).tolist()
        return {action: count for action, count in zip(self.actions, counts, strict=True) if count}


def window_starts(dataset: Dataset, split: str, recordings: list[Recording], *, input_n: int, output_n: int,
                  skip_rate: int, test_sample_num: int) -> list[np.ndarray]:
    """Returns the window starts of each recording.

    These are all starts, every skip_rate-th one in training, or those that a test protocol draws.

    skip_rate: frames between the starts of training windows.
    test_sample_num: test windows drawn for each action; -1 for all.
    Raises InputError where a drawn window would leave its recording.
    """
    window = input_n + output_n
    if split != 'test' or test_sample_num < 0:
        step = skip_rate if split == 'train' else 1
        first = first_test_start(dataset, input_n) if split == 'test' else 0
        return [all_starts(len(recording.frames), window, step, first) for recording in recordings]
    starts: dict[int, np.ndarray] = {}
    for action in dataset.actions:
        mine = [i for i, recording in enumerate(recordings) if recording.action == action]
        if mine:
            lengths = [len(recordings[i].frames) for i in mine]
            drawn = dataset.test_starts(lengths, test_sample_num, input_n, output_n)
            starts.update(zip(mine, drawn, strict=True))
            if not any(len(starts[i]) for i in mine):
                log.warning('%s: not every take is there, so it has no drawn windows: left out', action)
    for i, recording in enumerate(recordings):
        if np.any(starts[i] < 0) or np.any(starts[i] + window > len(recording.frames)):
            raise InputError(f'{recording.source}: drawn windows of {input_n} + {output_n} frames do not fit '
                             f'into its {len(recording.frames)}: use --test_sample_num -1 or shorter windows')
    return [starts[i] for i in range(len(recordings))]


def first_test_start(dataset: Dataset, input_n: int) -> int:
    """Returns the frame at which all-windows testing starts in each recording."""
    return max(0, dataset.test_history - input_n)


def skip_short(recordings: list[Recording], needed: int, split: str) -> list[Recording]:
    """Leaves out recordings too short for one window, with a warning.

    needed: frames that one window needs.
    Raises InputError where nothing is left.
    """
    for recording in recordings:
        if len(recording.frames) < needed:
            log.warning('%s: %d frames, shorter than the %d that one window needs: skipped in %s',
                        recording.source, len(recording.frames), needed, split)
    long_enough = [recording for recording in recordings if len(recording.frames) >= needed]
    if not long_enough:
        raise InputError(f'{split}: no sequence has the {needed} frames that one window needs; '
                         'lower --input_n or --output_n')
    return long_enough


def build_windows(dataset: Dataset, root: Path, split: str, *, input_n: int, output_n: int, dct_n: int,
                  skip_rate: int, test_sample_num: int, device: torch.device,
                  allow_missing: bool = False, refit: bool = False) -> Windows:
    """Reads 'train', 'validation' or 'test' and cuts it into windows on `device`.

    root: the dataset's own folder.
    dct_n: DCT coefficients of the observed poses that the network takes.
    skip_rate, test_sample_num: see `window_starts`.
    allow_missing: goes on where files of a fixed dataset are missing.
    refit: see `read_recordings`.
    Raises InputError where no recording is long enough, or for a missing file that is not allowed to be.
    """
    with reading(root):
        missing = missing_files(dataset, root, split, allow=allow_missing)
        recordings = read_recordings(dataset, root, split, input_n + output_n, refit=refit)
    return cut_windows(dataset, recordings, split, input_n=input_n, output_n=output_n, dct_n=dct_n,
                       skip_rate=skip_rate, test_sample_num=test_sample_num, device=device, missing=missing)


def cut_windows(dataset: Dataset, recordings: list[Recording], split: str, *, input_n: int, output_n: int,
                dct_n: int, skip_rate: int, test_sample_num: int, device: torch.device,
                missing: list[str]) -> Windows:
    """Puts all frames of a split on `device`, with the starts of its windows.

    The parameters are those of `build_windows`.
    missing: files that the dataset lacks, for the results.
    Raises InputError where there is no window.
    """
    needed = input_n + output_n + (first_test_start(dataset, input_n) if split == 'test' else 0)
    recordings = skip_short(recordings, needed, split)
    starts = window_starts(dataset, split, recordings, input_n=input_n, output_n=output_n,
                           skip_rate=skip_rate, test_sample_num=test_sample_num)
    if not any(len(own) for own in starts):
        raise InputError(f'{split}: --test_sample_num {test_sample_num} finds no window to draw: use '
                         '--test_sample_num -1')
    ends = np.cumsum([len(recording.frames) for recording in recordings])
    log.info('%s %s: %d recordings, %d frames at %g Hz, %d windows', dataset.title, split, len(recordings),
             ends[-1], 1000 / dataset.skeleton.true_ms_per_frame, sum(len(own) for own in starts))
    found = {recording.action for recording in recordings}
    if split == 'train' and (absent := [action for action in dataset.actions if action not in found]):
        log.warning('%s train: no recordings of %s, so the network does not learn them', dataset.title,
                    ', '.join(absent))
    firsts = [0, *ends[:-1].tolist()]
    actions = [np.full(len(own), dataset.actions.index(recording.action))
               for own, recording in zip(starts, recordings, strict=True)]
    frames = np.concatenate([recording.frames for recording in recordings]).reshape(ends[-1], -1)
    columns = np.arange(frames.shape[1]).reshape(-1, 3)[list(dataset.skeleton.predicted)].reshape(-1)  # (N,)

    def on_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    return Windows(
        actions=dataset.actions,
        frames=on_device(frames),
        starts=on_device(np.concatenate([own + first for own, first in zip(starts, firsts, strict=True)])),
        action_index=on_device(np.concatenate(actions)),
        input_n=input_n,
        output_n=output_n,
        predicted=on_device(columns),
        encoding=encoding_matrix(input_n, output_n, dct_n).to(device),
        files=[(first, recording.source) for first, recording in zip(firsts, recordings, strict=True)],
        missing_files=missing,
    )
