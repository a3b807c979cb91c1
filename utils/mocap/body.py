"""A person's joints on the model's skeleton, and the model's joints back on the person.

The network knows one body. Bone directions of a recording are put on that body's bone lengths, and a
prediction is brought back to the person's own.
"""
from typing import NamedTuple

import numpy as np

from utils.data.skeleton import Skeleton
from utils.data.synthetic.body import THREEDPW_BODY


class OnModel(NamedTuple):
    """A recording on the model's skeleton.

    body: (F, J, 3) on the model's skeleton, in its mm.
    person: (F, J, 3) with the person's own lengths, true mm.
    """

    body: np.ndarray
    person: np.ndarray


def rest_offsets(skeleton: Skeleton) -> np.ndarray:
    """Returns (J, 3) rest offsets in mm.

    3DPW has many bodies and no rest pose: an adult's of our own making stand in.
    """
    if len(skeleton.rows[0]) < 4:
        return THREEDPW_BODY.skeleton.offsets * 1000
    return skeleton.offsets


def smallest_turns(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Returns the smallest rotations (F, 3, 3) from the directions of `start` to those of `end`.

    start, end: (F, 3).
    """
    a = start / np.linalg.norm(start, axis=-1, keepdims=True)
    b = end / np.linalg.norm(end, axis=-1, keepdims=True)
    cross, cosine = np.cross(a, b), np.sum(a * b, axis=-1)
    skew = np.zeros((len(a), 3, 3))
    for row, column, axis, sign in ((0, 1, 2, -1), (0, 2, 1, 1), (1, 0, 2, 1), (1, 2, 0, -1), (2, 0, 1, -1),
                                    (2, 1, 0, 1)):
        skew[:, row, column] = sign * cross[:, axis]
    turns = np.eye(3) + skew + skew @ skew / np.maximum(1 + cosine, 1e-9)[:, None, None]
    opposite = cosine < -1 + 1e-9  # half a turn about any axis across
    if opposite.any():
        across = np.cross(a[opposite], np.eye(3)[np.abs(a[opposite]).argmin(-1)])
        across /= np.linalg.norm(across, axis=-1, keepdims=True)
        turns[opposite] = 2 * across[:, :, None] * across[:, None, :] - np.eye(3)
    return turns


def ends_of_pieces(skeleton: Skeleton, known: np.ndarray) -> list[int]:
    """Finds for each joint the known joint at the end of its piece.

    That is itself, or the first one below it; -1 if none is.
    """
    ends = [joint if known[joint] else -1 for joint in range(len(known))]
    for joint in reversed(range(1, len(known))):
        parent = skeleton.parents[joint]
        if not known[parent] and ends[joint] >= 0:
            ends[parent] = ends[joint]  # later children come first: the first child has the last word
    return ends


def put_on_model(recorded: np.ndarray, known: np.ndarray, skeleton: Skeleton, *,
                 keep_lengths: bool) -> OnModel:
    """Puts a recording on the model's skeleton by its bones' directions.

    Between two known joints that follow one another, the model's skeleton is one piece. It is turned as the
    piece before it, and then as little as possible, so that it points from the one to the other. What hangs
    beyond the last known joint turns with the piece before it, and is as large as the person is.

    recorded: (F, J, 3) true mm, root-centred in the body's frame.
    known: (J,) which joints the recording has, the root among them.
    keep_lengths: the model has seen many bodies and takes the person's own lengths.
    """
    rest, parents, ends = rest_offsets(skeleton), skeleton.parents, ends_of_pieces(skeleton, known)
    frames, joints = len(recorded), len(parents)
    person, turns = np.where(known[:, None], recorded, 0.0), np.tile(np.eye(3), (joints, frames, 1, 1))
    scales = np.ones((joints, frames))
    size = body_scale(recorded, known, skeleton, rest)
    in_piece = np.zeros(joints, dtype=bool)
    for joint in range(1, joints):
        parent = parents[joint]
        if not in_piece[joint]:
            path = path_between(parent, ends[joint], parents) if ends[joint] >= 0 else [joint]
            turn, scale = turns[parent], np.full(frames, size)
            if ends[joint] >= 0:
                turn, scale = turned_piece(turn, rest[path].sum(0),
                                           person[:, ends[joint]] - person[:, parent], size)
            turns[path], scales[path], in_piece[path] = turn, scale, True
        if not known[joint]:
            step = np.einsum('fij,j->fi', turns[joint], rest[joint])
            person[:, joint] = person[:, parent] + scales[joint][:, None] * step
    if keep_lengths:
        return OnModel(person, person)
    body = np.zeros_like(person)
    for joint in range(1, joints):
        body[:, joint] = body[:, parents[joint]] + np.einsum('fij,j->fi', turns[joint], rest[joint])
    return OnModel(body, person)


def path_between(above: int, below: int, parents: tuple[int, ...]) -> list[int]:
    """Lists the joints from the one after `above` down to `below`."""
    path = [below]
    while parents[path[-1]] != above:
        path.append(parents[path[-1]])
    return path[::-1]


def turned_piece(above: np.ndarray, rest: np.ndarray, span: np.ndarray, size: float) -> tuple[np.ndarray,
                                                                                              np.ndarray]:
    """Turns a piece of the skeleton as the one above it, and then on to the recorded span.

    A piece without length keeps the turn above it.

    above: (F, 3, 3).
    rest: (3,) mm.
    span: (F, 3) mm.
    Returns the turns, and (F,) how many times as long as at rest.
    """
    length, spans = float(np.linalg.norm(rest)), np.linalg.norm(span, axis=-1)
    if length < 1e-6:
        return above, np.full(len(span), size)
    usable = spans > 1e-6
    turn = above.copy()
    turn[usable] = smallest_turns(above[usable] @ rest, span[usable]) @ above[usable]
    return turn, spans / length


def body_scale(recorded: np.ndarray, known: np.ndarray, skeleton: Skeleton, rest: np.ndarray) -> float:
    """Returns how many times as large the person is as the model's skeleton.

    It is the ratio of their known bones' lengths.
    """
    bones = [joint for joint, parent in enumerate(skeleton.parents)
             if parent >= 0 and known[joint] and known[parent] and np.linalg.norm(rest[joint]) > 100]
    above = [skeleton.parents[joint] for joint in bones]
    lengths = np.median(np.linalg.norm(recorded[:, bones] - recorded[:, above], axis=-1), axis=0)
    return float(lengths.sum() / np.linalg.norm(rest[bones], axis=-1).sum())


def back_to_person(future: np.ndarray, last: np.ndarray, person: np.ndarray,
                   skeleton: Skeleton) -> np.ndarray:
    """Brings poses of the model's skeleton back to a person's own bone lengths.

    A bone that the model has without length, such as CMU's thorax, keeps its length and turns with the bone
    before it.

    future: (T, J, 3) on the model's skeleton in its mm.
    last: (J, 3) the last observed pose, in the same.
    person: (F, J, 3) the same person up to that pose, true mm.
    Returns (T, J, 3) true mm.
    """
    placed = np.zeros_like(future)
    for joint, parent in enumerate(skeleton.parents):
        if parent < 0:
            continue
        bone, before = future[:, joint] - future[:, parent], last[joint] - last[parent]
        own = person[:, joint] - person[:, parent]
        length = float(np.linalg.norm(before))
        if length > 1e-6:
            bone = bone * (np.median(np.linalg.norm(own, axis=-1)) / length)
        else:
            bone = carried(own[-1], future, last, parent, skeleton)
        placed[:, joint] = placed[:, parent] + bone
    return placed


def carried(bone: np.ndarray, future: np.ndarray, last: np.ndarray, joint: int,
            skeleton: Skeleton) -> np.ndarray:
    """Turns a bone as the nearest bone with a length before it turns from `last` on, (T, 3).

    bone: (3,) at `joint`.
    """
    parents = skeleton.parents
    while parents[joint] >= 0 and np.linalg.norm(last[joint] - last[parents[joint]]) <= 1e-6:
        joint = parents[joint]
    if parents[joint] < 0:
        return np.tile(bone, (len(future), 1))
    before = last[joint] - last[parents[joint]]
    after = future[:, joint] - future[:, parents[joint]]
    return smallest_turns(np.tile(before, (len(after), 1)), after) @ bone
