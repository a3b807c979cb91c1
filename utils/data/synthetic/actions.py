"""Makes synthetic human motion as joint angle curves: tables of cycles and poses, and how they are mixed.

Angles are anatomical, in degrees: (flexion, turn, rise) of each body part.
- Flexion brings a hip, shoulder, elbow or wrist forward, a knee backward, the toes up.
  It bows root, spine and neck.
- Turn is about the vertical, rise in the frontal plane, applied in this order.
- Both are positive outward for limbs.
  For root, spine and neck a turn is to the left and a rise leans to the right.
- All zero is a person who stands with hanging arms.
"""
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

SIDES = ('left', 'right')
TRUNK = ('root', 'spine', 'neck')
AXES = {'': 0, 'turn': 1, 'rise': 2}
# Body part -> degrees by which it strays: slowly (weight shifts, gaze) and quickly (small corrections).
STRAY = {'root': (2, 0.3), 'spine': (5, 1.2), 'neck': (8, 2),
         'hip': (4, 0.8), 'knee': (4, 0.8), 'ankle': (4, 0.8),
         'toe': (2, 0.5), 'shoulder': (7, 2.4), 'elbow': (8, 3), 'wrist': (10, 4)}
# Degrees of a standing person: nobody's legs are quite straight.
EASE = {'hip': 3, 'hip turn': 6, 'hip rise': 3, 'knee': 8, 'ankle': 4}

# What the trunk does at each step: it turns against the legs and leans over the standing one.
TURNS: dict[str, tuple[float, ...]] = {
    'root turn': (-5, -4, -2, 2, 4, 5, 4, 2, -2, -4), 'root rise': (0, -2, -4, -4, -2, 0, 2, 4, 4, 2),
    'spine turn': (11, 9, 3, -3, -9, -11, -9, -3, 3, 9), 'spine rise': (0, 3, 5, 5, 3, 0, -3, -5, -5, -3)}
# Cycle -> its rate in Hz, the lag of the other side in cycles (None: it takes no part), and for each part
# the degrees at ten equal steps. 'height' is in cm: how far the feet leave the ground.
# A step begins with the heel.
CYCLES: dict[str, tuple[float, float | None, dict[str, tuple[float, ...]]]] = {
    'walk': (0.87, 0.5, TURNS | {
        'hip': (28, 24, 16, 5, -6, -14, -15, -6, 10, 23), 'knee': (6, 12, 8, 2, 1, 3, 15, 45, 45, 15),
        'ankle': (0, 0, 0, 3, 9, 3, -17, -10, -1, 0), 'toe': (0, 0, 0, 0, 0, 8, 23, 2, 0, 0),
        'shoulder': (-24, -20, -10, 2, 12, 16, 12, 2, -10, -20),
        'elbow': (-4, -3, 2, 9, 16, 20, 19, 14, 7, 0),
        'neck turn': (-6, -5, -2, 2, 5, 6, 5, 2, -2, -5), 'root': (2,) * 10, 'spine': (2,) * 10}),
    'run': (1.27, 0.5, TURNS | {
        'hip': (39, 34, 24, 11, -3, -13, -14, -3, 17, 33), 'knee': (12, 29, 21, 4, 1, 3, 20, 59, 59, 21),
        'ankle': (0, 0, 1, 6, 16, 7, -23, -14, -1, 0), 'toe': (0, 0, 0, 0, 0, 8, 23, 2, 0, 0),
        'shoulder': (-29, -24, -12, 4, 16, 21, 16, 4, -12, -24),
        'elbow': (54, 55, 61, 70, 77, 82, 81, 75, 66, 59),
        'shoulder rise': (6,) * 10, 'root': (8,) * 10, 'spine': (7,) * 10,
        'height': (8, 7, 2, 0, 4, 8, 7, 2, 0, 4)}),
    'jump': (0.55, 0.0, {
        'hip': (0, 2, 22, 57, 22, 2, 2, 31, 23, 1), 'knee': (0, 3, 32, 84, 32, 3, 3, 46, 34, 1),
        'ankle': (0, 1, 16, 42, 15, -24, -10, 23, 17, 1), 'root': (0, 0, 6, 15, 6, 0, 1, 8, 6, 0),
        'spine': (0, 0, 4, 11, 4, 0, 0, 6, 4, 0), 'shoulder': (0, -3, -18, -17, 9, 53, 36, 4, 0, 0),
        'shoulder rise': (0, 0, 0, 1, 8, 37, 25, 3, 0, 0), 'elbow': (0, 1, 4, 20, 35, 20, 4, 1, 0, 0),
        'height': (0, 0, 0, 0, 0, 23, 8, 0, 0, 0)}),
    'kick': (0.5, None, {
        'hip': (0, 0, 0, -4, -24, 27, 31, 1, 0, 0), 'knee': (0, 0, 0, 10, 65, 7, -3, 0, 0, 0),
        'ankle': (0, 0, 0, 0, 0, -15, -15, 0, 0, 0), 'spine': (0, 0, 0, 0, 0, 6, 6, 0, 0, 0),
        'spine turn': (0, 0, 0, 2, 15, -7, -9, 0, 0, 0)}),
    'wipe': (0.95, None, {
        'shoulder': (112, 107, 93, 77, 63, 58, 63, 77, 93, 107),
        'shoulder turn': (5, 21, 32, 32, 21, 5, -11, -22, -22, -11),
        'elbow': (18, 22, 33, 47, 58, 62, 58, 47, 33, 22),
        'wrist': (-15, -8, -4, -4, -8, -15, -22, -26, -26, -22),
        'spine turn': (0, 4, 7, 7, 4, 0, -4, -7, -7, -4), 'spine': (4, 3, 1, -1, -3, -4, -3, -1, 1, 3)}),
    'dribble': (1.7, None, {
        'shoulder': (7, 9, 15, 21, 27, 29, 27, 21, 15, 9), 'elbow': (38, 37, 45, 60, 75, 86, 87, 79, 64, 49),
        'wrist': (25, 33, 32, 23, 9, -5, -13, -12, -3, 11), 'shoulder rise': (18,) * 10}),
    'sit down': (0.13, 0.0, {
        'hip': (0, 0, 0, 58, 91, 84, 84, 91, 58, 0), 'knee': (0, 0, 0, 40, 80, 84, 84, 80, 40, 0),
        'root': (0, 0, 0, 18, 6, 0, 0, 6, 18, 0), 'spine': (0, 0, 0, 13, 10, 8, 8, 10, 13, 0)}),
    'sit': (1.0, 0.0, {'hip': (80,) * 10, 'hip rise': (8,) * 10, 'knee': (80,) * 10, 'spine': (8,) * 10}),
}
# Pose of an arm -> degrees: shoulder flexion, turn and rise; elbow flexion and turn; wrist flexion.
ARMS = {'hang': (2, 0, 6, 15, 0, 0), 'forward': (85, 5, 0, 15, 0, 0), 'sideways': (0, 0, 85, 12, 0, 0),
        'up': (165, 0, 8, 15, 0, 0), 'halt': (10, 0, 85, 90, 85, -10), 'beckon': (45, 10, 25, 115, 20, 10),
        'chest': (40, -10, 15, 105, -45, 0), 'open': (35, 15, 20, 70, 20, -10),
        'mouth': (55, -15, 15, 135, -25, 10)}

Curve = np.ndarray | float  # (F,) or the same number in every frame


@dataclass
class Motion:
    """Holds the angle curves of F frames, independent of any skeleton.

    seconds: (F,) time of each frame.
    sides: the side of the body that works, drawn at random, then the other one.
    angles: body part -> (F, 3) degrees.
    height: (F,) metres that the feet are off the ground.
    """

    seconds: np.ndarray
    sides: tuple[str, ...]
    angles: dict[str, np.ndarray]
    height: np.ndarray

    def add(self, part: str, curve: Curve, side: str | None = None) -> None:
        """Adds `curve` degrees to a part's axis, such as 'spine turn'.

        side: 'left' or 'right'; both sides where none is given.
        """
        name, _, axis = part.partition(' ')
        mirrored = name in TRUNK and axis and self.sides[0] == 'right'
        places = [name] if name in TRUNK else [f'{s}_{name}' for s in ((side,) if side else SIDES)]
        for place in places:
            self.angles[place][:, AXES[axis]] += -curve if mirrored else curve


Layer = Callable[[Motion, np.random.Generator], None]


def wander(rng: np.random.Generator, seconds: np.ndarray, slowest: float, fastest: float) -> np.ndarray:
    """Draws a smooth curve (F,) of mean 0 and variance 1, with frequencies from `slowest` to `fastest` Hz."""
    hz, start = rng.uniform(slowest, fastest, 6), rng.uniform(0, 2 * np.pi, 6)
    return np.sqrt(2 / 6) * np.cos(2 * np.pi * hz * seconds[:, None] + start).sum(1)


def activity(rng: np.random.Generator, seconds: np.ndarray, steady: float) -> np.ndarray:
    """Draws a curve (F,) between 0 (pausing) and 1 (moving). A larger `steady` means fewer pauses."""
    return 0.5 + 0.5 * np.tanh(1.8 * (wander(rng, seconds, 0.08, 0.35) + steady))


def size(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """Draws a slowly changing factor (F,) near 1."""
    return rng.uniform(0.8, 1.2) * np.exp(0.12 * wander(rng, seconds, 0.1, 0.5))


def phase(rng: np.random.Generator, seconds: np.ndarray, hz: float, active: Curve = 1.0) -> np.ndarray:
    """Draws a phase (F,), in cycles. Its tempo is near `hz`, wanders, and slows down towards a pause.

    active: see `activity`.
    """
    tempo = np.exp(0.12 * wander(rng, seconds, 0.1, 0.6)) * (0.35 + 0.65 * active)
    return rng.uniform() + np.cumsum(hz * rng.uniform(0.85, 1.15) * tempo) * (seconds[1] - seconds[0])


def fidget(motion: Motion, rng: np.random.Generator) -> None:
    """Adds what everybody does all the time: a posture, weight shifts, gaze, small corrections."""
    for part, degrees in motion.angles.items():
        slow, quick = STRAY[part.split('_')[-1]]
        for axis, share in enumerate((1.0, 0.7, 0.5)):
            drift = rng.normal(0, 0.6) + 0.8 * wander(rng, motion.seconds, 0.08, 0.5)
            degrees[:, axis] += share * (slow * drift + quick * wander(rng, motion.seconds, 1.0, 3.0))
    for part, angle in EASE.items():
        motion.add(part, angle)
    motion.add('root turn', rng.uniform(-180, 180) + 25 * wander(rng, motion.seconds, 0.03, 0.15))
    motion.add('neck turn', 12 * wander(rng, motion.seconds, 0.1, 0.6))


def cycle(motion: Motion, rng: np.random.Generator, *, name: str, steady: float = 9.0,
          share: float = 1.0) -> None:
    """Repeats one of the CYCLES.

    steady: see `activity`; as it is, there are no pauses.
    share: size of the movement, relative to the table's.
    """
    hz, lag, curves = CYCLES[name]
    active = activity(rng, motion.seconds, steady)
    at = phase(rng, motion.seconds, hz, active)
    scale = share * active * size(rng, motion.seconds)
    swing = {side: size(rng, motion.seconds) for side in SIDES}
    for part, samples in curves.items():
        spline = CubicSpline(np.linspace(0, 1, 11), [*samples, samples[0]], bc_type='periodic')
        if part == 'height':
            motion.height += 0.01 * scale * np.maximum(spline(at), 0)
        elif part.split()[0] in TRUNK:
            motion.add(part, scale * spline(at))
        else:
            for k, side in enumerate(motion.sides[:1 if lag is None else 2]):
                arm = swing[side] if part.startswith(('shoulder', 'elbow')) else 1.0
                motion.add(part, scale * arm * spline(at + k * (lag or 0)), side)


def gesture(motion: Motion, rng: np.random.Generator, *, poses: str, hold: float = 0.8, move: float = 0.9,
            beat: float = 10.0) -> None:
    """Moves the arms through poses of ARMS in drawn order.

    poses: their names, with spaces between.
    hold, move: seconds that a pose is held for, and that the way to the next one takes, about.
    beat: degrees by which the hands beat time.
    """
    choice = np.array([ARMS[pose] for pose in poses.split()], dtype=float)
    for side in SIDES:
        # Enough moves for the shortest that are drawn; the first pose begins before the first frame.
        count = int((motion.seconds[-1] + hold + move) / (0.7 * move)) + 2
        goals = choice[rng.integers(len(choice), size=count)] + rng.normal(0, 9, (count, 6))
        holds, moves = 0.05 + hold * rng.exponential(size=count), move * rng.uniform(0.7, 1.4, count)
        starts = np.cumsum(holds + moves) - holds - moves - rng.uniform(0, hold + move)
        times = np.stack([starts, starts + holds], axis=1).ravel()
        curve = PchipInterpolator(times, np.repeat(goals, 2, axis=0))(motion.seconds)  # (F, 6)
        wave = (beat * activity(rng, motion.seconds, 0.0)
                * np.cos(2 * np.pi * phase(rng, motion.seconds, 1.2)))
        curve += wave[:, None] * [0.4, 0, 0, 1, 0.7, 0.8]
        parts = ('shoulder', 'shoulder turn', 'shoulder rise', 'elbow', 'elbow turn', 'wrist')
        for k, part in enumerate(parts):
            motion.add(part, curve[:, k], side)
        towards = 1 if side == 'right' else -1
        # The spine follows a raised arm.
        motion.angles['spine'][:, 1] += 0.08 * towards * (curve[:, 0] + curve[:, 2])


WALK, RUN, JUMP, SIT = (partial(cycle, name=name, steady=2.5) for name in ('walk', 'run', 'jump', 'sit'))
STROLL = partial(cycle, name='walk', steady=-0.6)
SIGNAL = partial(gesture, poses='hang up halt sideways chest forward beckon', hold=0.6, beat=18)
TALK = partial(gesture, poses='hang chest open beckon mouth', hold=1.0)
# Action of CMU mocap or Human3.6M -> its layers, which add up. Actions that look alike share their layers.
ACTIONS: dict[str, tuple[Layer, ...]] = {
    'basketball': (partial(cycle, name='walk', steady=0.9, share=0.8), partial(cycle, name='dribble')),
    'jumping': (JUMP,), 'running': (RUN,), 'sittingdown': (partial(cycle, name='sit down'), TALK),
    'soccer': (partial(cycle, name='run', steady=0.9, share=0.7), partial(cycle, name='kick', steady=0.0)),
    'washwindow': (partial(cycle, name='wipe'),),
    **dict.fromkeys(('walking', 'walkingdog', 'walkingtogether'), (WALK,)),
    **dict.fromkeys(('basketball_signal', 'directions', 'greeting', 'posing', 'takingphoto'), (SIGNAL,)),
    **dict.fromkeys(('directing_traffic', 'purchases'), (SIGNAL, STROLL)),
    **dict.fromkeys(('discussion', 'phoning', 'smoking', 'waiting'), (TALK, STROLL)),
    **dict.fromkeys(('eating', 'sitting'), (TALK, SIT))}


def make_motion(action: str, frames: int, *, fps: float, rng: np.random.Generator) -> Motion:
    """Makes `frames` frames of one of the ACTIONS at `fps`. Tempo, size, style and pauses are drawn anew."""
    parts = [*TRUNK, *(f'{side}_{limb}' for side in SIDES for limb in STRAY if limb not in TRUNK)]
    angles = {part: np.zeros((frames, 3)) for part in parts}
    motion = Motion(np.arange(frames) / fps, tuple(rng.permutation(SIDES)), angles, np.zeros(frames))
    for layer in (fidget, *ACTIONS[action]):
        layer(motion, rng)
    for part, degrees in angles.items():
        if part.endswith(('knee', 'elbow')):
            # Stray may ask a hinge to bend the wrong way; a soft floor keeps it straight without a kink.
            degrees[:, 0] = 6 * np.logaddexp(0, degrees[:, 0] / 6)
    return motion
