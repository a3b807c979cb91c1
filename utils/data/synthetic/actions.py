"""Invented human actions, as layers of angle curves that add up (sample_curves.py says what the angles mean).

Every sequence draws its own tempo, size, style and pauses, so a test sequence is new motion of a known family.
"""
from collections.abc import Callable
from functools import partial

import numpy as np

from utils.data.synthetic.curves import PARTS, SIDES, Motion, activity, bump, keyframes, size, tempo, wander

# How far a part strays by itself, in degrees: slowly (weight shifts, gaze) and quickly (small corrections).
STRAY = {'root': (2, 0.3), 'spine': (5, 1.2), 'neck': (8, 2), 'hip': (4, 0.8), 'knee': (4, 0.8), 'ankle': (4, 0.8),
         'toe': (2, 0.5), 'shoulder': (7, 2.4), 'elbow': (8, 3), 'wrist': (10, 4)}
# Arm poses: shoulder flexion, turn, rise, elbow flexion, turn, wrist flexion.
HANG = (2, 0, 6, 15, 0, 0)
FORWARD = (85, 5, 0, 15, 0, 0)
SIDEWAYS = (0, 0, 85, 12, 0, 0)
UP = (165, 0, 8, 15, 0, 0)
HALT = (10, 0, 85, 90, 85, -10)
BECKON = (45, 10, 25, 115, 20, 10)
CHEST = (40, -10, 15, 105, -45, 0)
ON_HIP = (-25, 0, 40, 85, -60, 20)
EAR = (40, 10, 35, 140, 20, 10)
MOUTH = (55, -15, 15, 135, -25, 10)
CAMERA = (70, -15, 15, 110, -15, 0)
OPEN = (35, 15, 20, 70, 20, -10)
DOWN_REACH = (60, 0, 5, 20, 0, 10)

Layer = Callable[[Motion, np.random.Generator], None]


def either_side(rng: np.random.Generator) -> tuple[str, str]:
    """The working side, drawn, and the other one."""
    return SIDES if rng.uniform() < 0.5 else SIDES[::-1]


def fidget(motion: Motion, rng: np.random.Generator) -> None:
    """What everybody does all the time: a personal posture, weight shifts, gaze, small corrections."""
    for part in motion.angles:
        slow, quick = STRAY[part.split('_')[-1]]
        for axis, share in enumerate((1.0, 0.7, 0.5)):
            drift = rng.normal(0, 0.6) + 0.8 * wander(rng, motion.seconds, slowest=0.08, fastest=0.5)
            motion.angles[part][:, axis] += share * slow * drift
            motion.angles[part][:, axis] += share * quick * wander(rng, motion.seconds, slowest=1.0, fastest=3.0)
    for side in SIDES:
        motion.add(f'{side}_hip', flexion=3, turn=6, rise=3)
        motion.add(f'{side}_knee', flexion=8)
        motion.add(f'{side}_ankle', flexion=4)
    motion.add('root', turn=rng.uniform(-180, 180) + 25 * wander(rng, motion.seconds, slowest=0.03, fastest=0.15))
    motion.add('neck', turn=12 * wander(rng, motion.seconds, slowest=0.1, fastest=0.6))


def gait(motion: Motion, rng: np.random.Generator, *, run: float = 0.0, steadiness: float = 2.5,
         arms: tuple[str, ...] = SIDES) -> None:
    """Walking (run = 0) to running (run = 1); phase 0 of a leg is its heel strike. `arms`: those free to swing."""
    active = activity(rng, motion.seconds, steadiness)
    phase = tempo(rng, motion.seconds, hz=0.87 + 0.4 * run, active=active)
    scale = active * size(rng, motion.seconds)
    swing = scale * size(rng, motion.seconds)
    for side, leg in zip(SIDES, (phase, phase + np.pi), strict=True):
        # The leg swings forward in less time than it takes to go back on the ground.
        motion.add(f'{side}_hip', flexion=scale * (
            6 + 6 * run + (22 + 5 * run) * np.cos(leg - 0.2 * (1 - np.cos(leg)))))
        motion.add(f'{side}_knee', flexion=scale * (
            (12 + 18 * run) * bump(leg, 0.13, 4) + (52 + 16 * run) * bump(leg, 0.75, 3)))
        motion.add(f'{side}_ankle', flexion=scale * (
            (9 + 8 * run) * bump(leg, 0.42, 4) - (20 + 8 * run) * bump(leg, 0.63, 7)))
        motion.add(f'{side}_toe', flexion=scale * 25 * bump(leg, 0.58, 9))
        if side in arms:
            motion.add(f'{side}_shoulder', flexion=-swing * ((20 + 5 * run) * np.cos(leg) + 4), rise=6 * run)
            motion.add(f'{side}_elbow', flexion=active * 60 * run + swing * (8 - (12 + 2 * run) * np.cos(leg - 0.2)))
    motion.add('root', flexion=scale * (2 + 6 * run), turn=-5 * scale * np.cos(phase), rise=-4 * scale * np.sin(phase))
    motion.add('spine', flexion=scale * (2 + 5 * run), turn=(11 + 2 * run) * scale * np.cos(phase),
               rise=5 * scale * np.sin(phase))
    motion.add('neck', turn=-6 * scale * np.cos(phase), flexion=2 * np.cos(2 * phase) * scale)
    motion.flight += run * active * 0.04 * (1 + np.cos(2 * phase - 0.4))


def squat(motion: Motion, depth: np.ndarray, *, degrees: float) -> None:
    """Bend both legs with flat feet, and lean forward to stay above them. depth: (F,) between 0 and 1."""
    motion.add('root', flexion=0.35 * degrees * depth)
    motion.add('spine', flexion=0.25 * degrees * depth)
    motion.add('neck', flexion=-0.3 * degrees * depth)
    for side in SIDES:
        motion.add(f'{side}_hip', flexion=1.35 * degrees * depth)
        motion.add(f'{side}_knee', flexion=2 * degrees * depth)
        motion.add(f'{side}_ankle', flexion=degrees * depth)


def crouch(motion: Motion, rng: np.random.Generator, *, degrees: float) -> None:
    """A low stance that rises and sinks slowly."""
    squat(motion, activity(rng, motion.seconds, 0.8), degrees=degrees)


def jump(motion: Motion, rng: np.random.Generator) -> None:
    """Crouch, swing the arms, leave the ground, land softly; at times raise the arms sideways instead."""
    active = activity(rng, motion.seconds, 2.0)
    phase = tempo(rng, motion.seconds, hz=0.55, active=active)
    scale = active * size(rng, motion.seconds)
    squat(motion, scale * (bump(phase, 0.3, 5) + 0.7 * bump(phase, 0.74, 8)), degrees=42)
    sideways = 0.5 + 0.5 * np.tanh(2 * rng.normal())
    for side in SIDES:
        swing = scale * size(rng, motion.seconds)
        motion.add(f'{side}_shoulder', flexion=swing * (1 - 0.7 * sideways) * (
            90 * bump(phase, 0.53, 5) - 35 * bump(phase, 0.25, 5)), rise=swing * 80 * sideways * bump(phase, 0.53, 5))
        motion.add(f'{side}_elbow', flexion=swing * 35 * bump(phase, 0.4, 3))
        motion.add(f'{side}_ankle', flexion=-scale * 30 * bump(phase, 0.53, 10))
    motion.flight += 0.3 * scale * bump(phase, 0.53, 14)


def sit(motion: Motion, rng: np.random.Generator, *, hold: float, thigh: tuple[float, float]) -> None:
    """Change between two flexions of the thigh: 0 is standing, 80 is sitting on a chair."""
    flexion = keyframes(rng, motion.seconds, tuple((degrees,) for degrees in thigh), hold=hold, move=1.4)[:, 0]
    lean = 70 * flexion / 80 * (1 - flexion / 80)  # brings the body's weight over the feet on the way
    motion.add('root', flexion=lean)
    motion.add('spine', flexion=0.5 * lean + 0.1 * flexion)
    for side in SIDES:
        motion.add(f'{side}_hip', flexion=lean + flexion, rise=0.1 * flexion)
        motion.add(f'{side}_knee', flexion=flexion)


def kick(motion: Motion, rng: np.random.Generator) -> None:
    """Now and then swing one leg back and through."""
    side, other = either_side(rng)
    active = activity(rng, motion.seconds, 0.0)
    phase = tempo(rng, motion.seconds, hz=0.5)
    scale = active * size(rng, motion.seconds)
    back, through = bump(phase, 0.4, 10), bump(phase, 0.55, 10)
    motion.add(f'{side}_hip', flexion=scale * (50 * through - 25 * back))
    motion.add(f'{side}_knee', flexion=scale * (65 * back - 5 * through))
    motion.add(f'{side}_ankle', flexion=-scale * 25 * through)
    inward = 1 if side == 'right' else -1
    motion.add('spine', turn=scale * 15 * (through - back) * inward, flexion=scale * 10 * through)
    motion.add(f'{other}_shoulder', flexion=scale * (25 * through - 20 * back), rise=scale * 25 * back)


def gesture(motion: Motion, rng: np.random.Generator, *, poses: tuple[tuple[float, ...], ...], hold: float = 0.8,
            move: float = 0.9, beat: float = 10.0, hands: int = 2) -> None:
    """Arms move through poses and beat time about them with so many degrees. hands: 1 or 2 that do so."""
    for side in either_side(rng)[:hands]:
        curve = keyframes(rng, motion.seconds, poses, hold=hold, move=move)
        active = activity(rng, motion.seconds, 0.0)
        wave = beat * active * np.cos(tempo(rng, motion.seconds, hz=1.2))
        motion.add(f'{side}_shoulder', flexion=curve[:, 0] + 0.4 * wave, turn=curve[:, 1], rise=curve[:, 2])
        motion.add(f'{side}_elbow', flexion=curve[:, 3] + wave, turn=curve[:, 4] + 0.7 * wave)
        motion.add(f'{side}_wrist', flexion=curve[:, 5] + 0.8 * wave)
        motion.add('spine', turn=0.08 * (curve[:, 0] + curve[:, 2]) * (-1 if side == 'left' else 1))


def wipe(motion: Motion, rng: np.random.Generator) -> None:
    """One hand, at times both, draws circles on a window; the trunk follows."""
    side, other = either_side(rng)
    both = rng.uniform() < 0.3
    for hand in (side, other) if both else (side,):
        active = activity(rng, motion.seconds, 1.6)
        phase = tempo(rng, motion.seconds, hz=0.95, active=active)
        scale, tall, wide = active * size(rng, motion.seconds), rng.uniform(0.6, 1.3), rng.uniform(0.6, 1.3)
        reach = wander(rng, motion.seconds, slowest=0.05, fastest=0.25)
        motion.add(f'{hand}_shoulder', flexion=85 + 15 * reach + 27 * tall * scale * np.cos(phase),
                   turn=5 + 28 * wide * scale * np.sin(phase))
        motion.add(f'{hand}_elbow', flexion=40 - 10 * reach - 22 * tall * scale * np.cos(phase))
        motion.add(f'{hand}_wrist', flexion=-15 + 12 * scale * np.sin(phase))
        outward = 1 if hand == 'left' else -1
        motion.add('spine', turn=7 * scale * np.sin(phase) * outward, flexion=4 * scale * np.cos(phase))
    if not both:
        motion.add(f'{other}_elbow', flexion=25)


def dribble(motion: Motion, rng: np.random.Generator) -> None:
    """One hand bounces a ball, the other guards."""
    side, other = either_side(rng)
    phase = tempo(rng, motion.seconds, hz=1.7)
    scale = size(rng, motion.seconds)
    motion.add(f'{side}_shoulder', flexion=18 - 11 * scale * np.cos(phase), turn=5, rise=18)
    motion.add(f'{side}_elbow', flexion=62 - 26 * scale * np.cos(phase - 0.4), turn=-5)
    motion.add(f'{side}_wrist', flexion=10 + 24 * scale * np.cos(phase - 0.9))
    guard = keyframes(rng, motion.seconds, (HANG, OPEN, CHEST), hold=0.8, move=0.6)
    motion.add(f'{other}_shoulder', flexion=guard[:, 0], turn=guard[:, 1], rise=guard[:, 2])
    motion.add(f'{other}_elbow', flexion=guard[:, 3], turn=guard[:, 4])


def bend(motion: Motion, rng: np.random.Generator, *, degrees: float) -> None:
    """Bow forward from the hips now and then."""
    depth = activity(rng, motion.seconds, -0.7) * degrees
    motion.add('root', flexion=0.4 * depth)
    motion.add('spine', flexion=0.6 * depth)
    for side in SIDES:
        motion.add(f'{side}_hip', flexion=0.4 * depth)


stroll = partial(gait, steadiness=-0.6)
TALK = (HANG, CHEST, OPEN, BECKON)
ACTIONS: dict[str, tuple[Layer, ...]] = {
    # CMU
    'basketball': (partial(gait, run=0.35, steadiness=0.9, arms=()), partial(crouch, degrees=14), dribble),
    'basketball_signal': (
        partial(gesture, poses=(HANG, UP, HALT, SIDEWAYS, CHEST, FORWARD, ON_HIP), hold=0.5, beat=18),),
    'directing_traffic': (
        partial(gesture, poses=(HANG, HALT, SIDEWAYS, FORWARD, BECKON), hold=0.6, move=0.75, beat=18), stroll),
    'jumping': (jump,),
    'running': (partial(gait, run=1.0),),
    'soccer': (partial(gait, run=0.5, steadiness=0.9), partial(crouch, degrees=8), kick),
    'walking': (gait,),
    'washwindow': (wipe, partial(crouch, degrees=6)),
    # Human3.6M
    'directions': (partial(gesture, poses=(HANG, FORWARD, SIDEWAYS, CHEST)),),
    'discussion': (partial(gesture, poses=TALK, hold=0.4), stroll),
    'eating': (partial(gesture, poses=(MOUTH, CHEST), hold=1.0), partial(sit, hold=5, thigh=(76, 84))),
    'greeting': (partial(gesture, poses=(HANG, HALT, BECKON, OPEN), beat=22), partial(bend, degrees=35)),
    'phoning': (partial(gesture, poses=(EAR,), hold=3, beat=3, hands=1), stroll),
    'posing': (
        partial(gesture, poses=(HANG, ON_HIP, UP, CHEST, SIDEWAYS), hold=1.5, beat=5), partial(crouch, degrees=15)),
    'purchases': (partial(gesture, poses=(DOWN_REACH, CHEST, FORWARD)), partial(bend, degrees=40), stroll),
    'sitting': (partial(sit, hold=5, thigh=(76, 84)), partial(gesture, poses=TALK, hold=1.2)),
    'sittingdown': (
        partial(sit, hold=1.0, thigh=(0, 84)), partial(gesture, poses=(HANG, DOWN_REACH, CHEST), hold=1.2, beat=5)),
    'smoking': (partial(gesture, poses=(MOUTH, CHEST, HANG), hold=1.5, beat=4, hands=1), stroll),
    'takingphoto': (partial(gesture, poses=(CAMERA, CHEST), hold=1.5, beat=4), partial(crouch, degrees=25)),
    'waiting': (partial(gesture, poses=(HANG, ON_HIP, CHEST), hold=2, beat=4), stroll),
    'walkingdog': (
        partial(gait, steadiness=1.2, arms=()), partial(gesture, poses=(DOWN_REACH, OPEN, FORWARD), hold=1.5, hands=1)),
    'walkingtogether': (partial(gait, steadiness=2.0),),
}


def make_motion(action: str, frames: int, *, fps: float, rng: np.random.Generator) -> Motion:
    """`frames` frames of one of the ACTIONS at `fps`."""
    seconds = np.arange(frames) / fps
    motion = Motion(seconds, {part: np.zeros((frames, 3)) for part in PARTS}, np.zeros(frames))
    for layer in (fidget, *ACTIONS[action]):
        layer(motion, rng)
    for side in SIDES:
        for hinge in ('knee', 'elbow'):
            flexion = motion.angles[f'{side}_{hinge}'][:, 0]
            # Stray may ask a hinge to bend the wrong way; a soft floor keeps it straight without a kink.
            flexion[:] = 6 * np.logaddexp(0, flexion / 6)
    return motion
