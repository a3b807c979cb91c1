"""Biovision hierarchies (BVH): joints with rest offsets, and turns and positions along named channels."""
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError
from utils.mocap.asf_amc import finite, read_lines


class Joint(NamedTuple):
    """channels as the file names them (such as Zrotation), in its order; first: the column of the first one."""

    parent: str | None
    offset: np.ndarray
    channels: tuple[str, ...]
    first: int


class Bvh(NamedTuple):
    """joints by name, parents before children, without end sites. values: (F, channels), turns in degrees."""

    joints: dict[str, Joint]
    fps: float
    values: np.ndarray

    def rotation(self, name: str) -> Rotation:
        """(F,) rotations of a joint relative to its parent; column vectors: the first channel is the outermost turn."""
        joint = self.joints[name]
        turns = [(channel[0], joint.first + k) for k, channel in enumerate(joint.channels) if channel.endswith('rotation')]
        if not turns:
            return Rotation.identity(len(self.values))
        degrees = self.values[:, [column for _, column in turns]]
        return Rotation.from_euler(''.join(axis for axis, _ in turns), degrees, degrees=True)

    def position(self, name: str) -> np.ndarray:
        """(F, 3) position channels of a joint in the file's units; its rest offset along axes without one."""
        joint = self.joints[name]
        position = np.tile(joint.offset, (len(self.values), 1))
        for k, channel in enumerate(joint.channels):
            if channel.endswith('position'):
                position[:, 'XYZ'.index(channel[0])] = self.values[:, joint.first + k]
        return position


def read_bvh(path: Path) -> Bvh:
    """Read a BVH file with one root. InputError with the line where it is damaged."""
    joints: dict[str, Joint] = {}
    open_blocks: list[str] = []  # joints whose braces are open; an end site's name is empty
    frames: list[list[float]] = []
    frame_time, expected, columns, in_motion = 0.0, -1, 0, False
    for number, words in read_lines(path):
        try:
            if frame_time:
                frames.append(finite(words, columns))
            elif words[:2] == ['Frame', 'Time:']:
                frame_time = duration(finite(words[2:], 1)[0])
            elif words[0] == 'Frames:':
                expected = int(words[1])
            elif words[0] == 'MOTION':
                in_motion = True
            elif not in_motion:
                columns += read_hierarchy_line(words, joints, open_blocks, columns)
        except (ValueError, IndexError, KeyError) as error:
            reason = str(error) if isinstance(error, ValueError) else 'incomplete or out of place'
            raise InputError(f'{path}: line {number}: {words[0][:40]}: {reason}') from None
    if not joints or not frame_time:
        raise InputError(f'{path}: no {"joints" if not joints else "Frame Time"} in it: not a BVH file, or cut off')
    if len(frames) != expected or not frames:
        raise InputError(f'{path}: {len(frames)} frames, but it announces {expected}')
    return Bvh(joints, round(1 / frame_time, 2), np.array(frames))  # 0.0083333 s means 120 Hz


def duration(seconds: float) -> float:
    if seconds < 1e-4:
        raise ValueError(f'{seconds:g} s from frame to frame: no camera has that')
    return seconds


def read_hierarchy_line(words: list[str], joints: dict[str, Joint], open_blocks: list[str], columns: int) -> int:
    """Take one line of the hierarchy; returns how many channels it adds. ValueError on what is not understood."""
    key = words[0]
    if key == '}':
        open_blocks.pop()
    elif key in ('ROOT', 'JOINT'):
        name = ' '.join(words[1:])
        if not name or name in joints or (key == 'ROOT') != (not joints) or (key == 'JOINT' and not open_blocks):
            raise ValueError(f'{name or "no name"}: not a joint\'s place, or a name a second time')
        joints[name] = Joint(open_blocks[-1] if open_blocks else None, np.zeros(3), (), columns)
        open_blocks.append(name)
    elif key == 'End':
        open_blocks.append('')
    elif key == 'OFFSET' and open_blocks[-1]:
        joints[open_blocks[-1]] = joints[open_blocks[-1]]._replace(offset=np.array(finite(words[1:4], 3)))
    elif key == 'CHANNELS':
        channels = tuple(words[2:])
        if joints[open_blocks[-1]].channels:
            raise ValueError(f'{open_blocks[-1]} has channels already')
        if len(channels) != int(words[1]) or any(c[0] not in 'XYZ' or c[1:] not in ('position', 'rotation') for c in channels):
            raise ValueError(f'{" ".join(words[1:])[:80]}: expected a number of channels, then so many like Xposition or '
                             'Zrotation')
        turns = [channel for channel in channels if channel.endswith('rotation')]
        if len(turns) > 3 or any(a == b for a, b in itertools.pairwise(turns)):
            raise ValueError(f'{" ".join(turns)[:80]}: expected up to three turns, no two about the same axis in a row')
        joints[open_blocks[-1]] = joints[open_blocks[-1]]._replace(channels=channels, first=columns)
        return len(channels)
    elif key not in ('HIERARCHY', '{', 'OFFSET'):
        raise ValueError('not a line of a BVH hierarchy')
    return 0
