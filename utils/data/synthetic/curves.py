"""Motion as joint angle curves over true time, and the random curves that it is made of.

Angles are anatomical and in degrees: (flexion, turn, rise) for each body part. Flexion brings a hip, shoulder, elbow
or wrist forward, a knee backward, the toes up, and bows root, spine and neck. Turn is about the vertical and rise in
the frontal plane, applied in this order; both are positive outward for limbs, and for root, spine and neck a turn is
to the left and a rise leans to the right. All zero is a person standing with hanging arms. An elbow's turn swings the
forearm about the upper arm.
"""
from dataclasses import dataclass

import numpy as np

SIDES = ('left', 'right')
TRUNK = ('root', 'spine', 'neck')
LIMBS = ('hip', 'knee', 'ankle', 'toe', 'shoulder', 'elbow', 'wrist')
PARTS = (*TRUNK, *(f'{side}_{limb}' for side in SIDES for limb in LIMBS))

Curve = np.ndarray | float  # (F,) or the same number in every frame


@dataclass
class Motion:
    """Curves over F frames, independent of any skeleton.

    seconds: (F,). angles: part -> (F, 3) degrees. flight: (F,) metres that the feet are off the ground.
    """

    seconds: np.ndarray
    angles: dict[str, np.ndarray]
    flight: np.ndarray

    def add(self, part: str, *, flexion: Curve = 0.0, turn: Curve = 0.0, rise: Curve = 0.0) -> None:
        """Add degrees to one part's angles."""
        for axis, curve in enumerate((flexion, turn, rise)):
            self.angles[part][:, axis] += curve


def wander(rng: np.random.Generator, seconds: np.ndarray, *, slowest: float, fastest: float) -> np.ndarray:
    """(F,) smooth random curve of mean 0 and variance 1 with frequencies between the two, in Hz."""
    waves = 6
    hz, start = rng.uniform(slowest, fastest, waves), rng.uniform(0, 2 * np.pi, waves)
    return np.sqrt(2 / waves) * np.cos(2 * np.pi * hz * seconds[:, None] + start).sum(1)


def activity(rng: np.random.Generator, seconds: np.ndarray, steadiness: float) -> np.ndarray:
    """(F,) between 0 (pausing) and 1 (moving); the larger `steadiness`, the fewer the pauses."""
    return 0.5 + 0.5 * np.tanh(1.8 * (wander(rng, seconds, slowest=0.08, fastest=0.35) + steadiness))


def tempo(rng: np.random.Generator, seconds: np.ndarray, *, hz: float, active: Curve = 1.0) -> np.ndarray:
    """(F,) phase in radians of a cycle near `hz` whose tempo is drawn, wanders and slows down towards a pause."""
    drawn = hz * rng.uniform(0.85, 1.15)
    rate = drawn * np.exp(0.12 * wander(rng, seconds, slowest=0.1, fastest=0.6)) * (0.35 + 0.65 * active)
    return 2 * np.pi * (rng.uniform() + np.cumsum(rate) * (seconds[1] - seconds[0]))


def size(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """(F,) drawn and slowly changing factor near 1."""
    return rng.uniform(0.8, 1.2) * np.exp(0.12 * wander(rng, seconds, slowest=0.1, fastest=0.5))


def bump(phase: np.ndarray, at: float, sharpness: float) -> np.ndarray:
    """(F,) smooth peak of height 1 once a cycle, at the fraction `at` of it."""
    return np.exp(sharpness * (np.cos(phase - 2 * np.pi * at) - 1))


def keyframes(rng: np.random.Generator, seconds: np.ndarray, poses: tuple[tuple[float, ...], ...], *, hold: float,
              move: float) -> np.ndarray:
    """(F, D) curve through random poses, with holds and minimum-jerk moves of about so many seconds."""
    current = np.array(poses[rng.integers(len(poses))], dtype=float)
    curve = np.tile(current, (len(seconds), 1))
    start = -rng.uniform(0, hold + move)
    while start < seconds[-1]:
        goal = np.array(poses[rng.integers(len(poses))]) + rng.normal(0, 9, len(current))
        duration = move * rng.uniform(0.7, 1.4)
        x = np.clip((seconds - start) / duration, 0, 1)[:, None]
        curve += (goal - current) * x**3 * (10 - 15 * x + 6 * x**2)
        current = goal
        start += duration + hold * rng.exponential()
    return curve
