"""Biovision hierarchies (BVH): joints with rest offsets, and turns and positions along named channels."""
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError
from utils.mocap.asf_amc import finite, read_lines

END = '_EndSite'  # an end site is named like its joint, with this at the end


class Joint(NamedTuple):
    """The channels of a joint.

    channels: as the file names them (such as Zrotation), in its order.
    first: the column of the first one.
    """

    parent: str | None
    offset: np.ndarray
    channels: tuple[str, ...]
    first: int


class Bvh(NamedTuple):
    """A recording as a BVH file tells it.

    joints: by name, parents before children, with end sites.
    values: (F, channels), turns in degrees.
    frame_time: the text that the file gives.
    notes: what a reader should know of the file.
    """

    joints: dict[str, Joint]
    fps: float
    frame_time: str
    values: np.ndarray
    notes: tuple[str, ...]

    def rotation(self, name: str) -> Rotation:
        """Returns (F,) rotations of a joint relative to its parent.

        They are for column vectors: the first channel is the outermost turn.
        """
        joint = self.joints[name]
        turns = [(channel[0], joint.first + k) for k,
                 channel in enumerate(joint.channels) if channel.endswith('rotation')]
        if not turns:
            return Rotation.identity(len(self.values))
        degrees = self.values[:, [column for _, column in turns]]
        return Rotation.from_euler(''.join(axis for axis, _ in turns), degrees, degrees=True)

    def position(self, name: str) -> np.ndarray:
        """Returns the position (F, 3) of a joint in its parent's frame.

        It is made of its position channels, and of its rest offset along axes without one.
        """
        joint = self.joints[name]
        position = np.tile(joint.offset, (len(self.values), 1))
        for k, channel in enumerate(joint.channels):
            if channel.endswith('position'):
                position[:, 'XYZ'.index(channel[0])] = self.values[:, joint.first + k]
        return position

    def positions(self) -> np.ndarray:
        """Computes the positions (F, J, 3) of all joints in the world, in the file's units."""
        turned: dict[str, np.ndarray] = {}  # joint -> (F, 3, 3) from its frame to the world's
        placed: dict[str, np.ndarray] = {}
        for name, joint in self.joints.items():
            own = self.rotation(name).as_matrix()
            if joint.parent is None:
                turned[name], placed[name] = own, self.position(name)
            else:
                above = turned[joint.parent]
                turned[name] = above @ own
                placed[name] = placed[joint.parent] + np.einsum('fij,fj->fi', above, self.position(name))
        return np.stack(list(placed.values()), axis=1)


def read_bvh(path: Path) -> Bvh:
    """Reads a BVH file with one root. InputError with the line where it is damaged."""
    joints: dict[str, Joint] = {}
    open_blocks: list[str] = []  # names of the joints whose braces are open
    frames: list[list[float]] = []
    time, expected, columns, in_motion, notes = '', -1, 0, False, []
    for number, words in read_lines(path):
        try:
            if time and len(frames) == expected:
                notes.append(f'line {number} and what follows is left out: the file announces {expected} '
                             f'frames')
                break
            if time:
                frames.append(finite(words, columns))
            elif in_motion:
                key, _, value = ' '.join(words).partition(':')
                if key == 'Frame Time':
                    time = value.strip()
                    duration(*finite([time], 1))
                elif key == 'Frames':
                    expected = whole(value.strip())
                else:
                    raise ValueError('expected Frames: or Frame Time:')
            elif words[0] == 'MOTION':
                if open_blocks:
                    raise ValueError(f'the braces of {open_blocks[-1]} are not closed: the hierarchy is cut '
                                     f'off')
                in_motion = True
            else:
                for own in split_braces(words):
                    columns += read_hierarchy_line(own, joints, open_blocks, columns)
        except (ValueError, IndexError, KeyError) as error:
            reason = str(error) if isinstance(error, ValueError) else 'incomplete or out of place'
            raise InputError(f'{path}: line {number}: {words[0][:40]}: {reason}') from None
    if not joints or not time:
        raise InputError(f'{path}: no {"joints" if not joints else "Frame Time"} in it: not a BVH file, or '
                         f'cut off')
    if len(frames) < max(expected, 1):
        raise InputError(f'{path}: cut off: {len(frames)} frames of the {max(expected, 0)} that it announces')
    return Bvh(joints, round(1 / float(time), 2), time, np.array(frames),
               tuple(notes))  # 0.0083333 s means 120 Hz


def duration(seconds: float) -> float:
    """Checks the time from frame to frame. ValueError if no camera has it."""
    if not 1e-4 <= seconds <= 10:
        raise ValueError(f'{seconds:g} s from frame to frame: no camera has that')
    return seconds


def whole(text: str) -> int:
    """Reads a count. ValueError if it is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f'{text[:40]!r} is not a number of frames or channels')
    return int(text)


def split_braces(words: list[str]) -> list[list[str]]:
    """Splits a line such as `ROOT Hips {` into `ROOT Hips` and `{`."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word in ('{', '}'):
            lines += [[word], []]
        else:
            lines[-1].append(word)
    return [line for line in lines if line]


def read_hierarchy_line(words: list[str], joints: dict[str, Joint], open_blocks: list[str],
                        columns: int) -> int:
    """Takes one line of the hierarchy; returns how many channels it adds.

    ValueError on what is not understood.
    """
    key = words[0]
    if key == '}':
        open_blocks.pop()
    elif key in ('ROOT', 'JOINT'):
        name = ' '.join(words[1:])
        out_of_place = (key == 'ROOT') != (not joints) or (key == 'JOINT' and not open_blocks)
        if not name or name in joints or out_of_place:
            raise ValueError(f'{name or "no name"}: not a joint\'s place, or a name a second time')
        joints[name] = Joint(open_blocks[-1] if open_blocks else None, np.zeros(3), (), columns)
        open_blocks.append(name)
    elif key == 'End':
        name = f'{open_blocks[-1]}{END}'
        name += str(sum(other.startswith(name) for other in joints) or '')  # a joint may have several
        joints[name] = Joint(open_blocks[-1], np.zeros(3), (), columns)
        open_blocks.append(name)
    elif key == 'OFFSET':
        joints[open_blocks[-1]] = joints[open_blocks[-1]]._replace(offset=np.array(finite(words[1:], 3)))
    elif key == 'CHANNELS':
        channels = tuple(words[2:])
        if END in open_blocks[-1] or joints[open_blocks[-1]].channels:
            raise ValueError(f'{open_blocks[-1]} has channels already, or is an end site')
        if len(channels) != whole(words[1]) or any(c[0] not in 'XYZ' or c[1:] not in ('position', 'rotation')
                                                   for c in channels):
            raise ValueError(f'{" ".join(words[1:])[:80]}: expected a number of channels, then so many like '
                             'Xposition or Zrotation')
        turns = [channel for channel in channels if channel.endswith('rotation')]
        if len(turns) > 3 or any(a == b for a, b in itertools.pairwise(turns)):
            raise ValueError(f'{" ".join(turns)[:80]}: expected up to three turns, no two about the same '
                             f'axis in a row')
        joints[open_blocks[-1]] = joints[open_blocks[-1]]._replace(channels=channels, first=columns)
        return len(channels)
    elif key not in ('HIERARCHY', '{'):
        raise ValueError('not a line of a BVH hierarchy')
    return 0
