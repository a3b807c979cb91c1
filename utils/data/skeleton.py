"""The skeletons of the three datasets as tables: joints, parents, rest offsets, frame rates and length units.

Every joint index, millisecond label and unit factor in the project derives from here.
Human3.6M and CMU mocap have the exponential-map layout of Jain et al. (CVPR 2016) and Li et al. (CVPR 2018).
3DPW has the 24 SMPL joints.
"""
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# The third column of a table: how the benchmark obtains a joint when it scores all of them.
PREDICTED = 'predicted'  # by the network
TRUTH = 'truth'  # from the ground truth, with error 0: it hardly moves once the pose is root-centred
# Any other word is the name of a predicted joint at the same place, from which the joint is copied.
OTHER_SIDE = {'Left': 'Right', 'Right': 'Left', 'left': 'right', 'right': 'left', 'L': 'R', 'R': 'L'}
FARTHEST_JOINT_MM = 10_000  # from the root: 10 m; farther joints are an error of the data


@dataclass(frozen=True)
class Skeleton:
    """Joints in file order, and the time and length scales of one dataset.

    rows: (name, parent, role, offset from the parent in published mm) for each joint.
        Parents stand before their children.
    raw_fps: recorded frames per second.
    stride: one of so many recorded frames is used.
    label_ms_per_frame: milliseconds that the field says one used frame takes.
    mm_scale_to_true: true millimetres in a published millimetre.
    """

    rows: tuple[tuple, ...]
    raw_fps: int
    stride: int
    label_ms_per_frame: float
    mm_scale_to_true: float = 1.0

    @cached_property
    def joints(self) -> tuple[str, ...]:
        """Names of all J joints, in file order."""
        return tuple(row[0] for row in self.rows)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Index of each joint's parent; -1 for the root."""
        return tuple(-1 if row[1] is None else self.joints.index(row[1]) for row in self.rows)

    @cached_property
    def offsets(self) -> np.ndarray:
        """(J, 3) rest offset of each joint from its parent, in published mm.

        Raises ValueError where the dataset has none.
        """
        if len(self.rows[0]) < 4:
            raise ValueError('this dataset is recorded as positions: its skeleton has no rest offsets')
        return np.array([row[3] for row in self.rows], dtype=np.float64)

    @cached_property
    def predicted(self) -> tuple[int, ...]:
        """Joints the network predicts, in file order."""
        return tuple(j for j, row in enumerate(self.rows) if row[2] == PREDICTED)

    @cached_property
    def copied(self) -> tuple[int, ...]:
        """Joints that the evaluation copies from a predicted joint at the same place."""
        return tuple(j for j, row in enumerate(self.rows) if row[2] not in (PREDICTED, TRUTH))

    @cached_property
    def copied_from(self) -> tuple[int, ...]:
        """The predicted joint behind each entry of `copied`."""
        return tuple(self.joints.index(self.rows[j][2]) for j in self.copied)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, joint) for each predicted joint. A copied parent is the joint that it is copied from.

        These are all bones that count: the others have no length, or are one of these again.
        """
        source = dict(zip(self.copied, self.copied_from, strict=True))
        return tuple((source.get(self.parents[j], self.parents[j]), j) for j in self.predicted)

    @cached_property
    def mirror_index(self) -> tuple[int, ...]:
        """For each joint the one on the other side of the body; itself in the middle."""
        side = '^(Left|left|L(?=[A-Z])|Right|right|R(?=[A-Z]))'
        others = (re.sub(side, lambda found: OTHER_SIDE[found[0]], joint) for joint in self.joints)
        return tuple(self.joints.index(other) for other in others)

    @property
    def predicted_mirror_index(self) -> list[int]:
        """`mirror_index` of the predicted joints, counted among them alone."""
        return [self.predicted.index(self.mirror_index[joint]) for joint in self.predicted]

    @property
    def node_n(self) -> int:
        """Predicted coordinates: three for each predicted joint."""
        return 3 * len(self.predicted)

    @property
    def true_ms_per_frame(self) -> float:
        """Recorded milliseconds from one used frame to the next."""
        return 1000 * self.stride / self.raw_fps

    def label_ms(self, frames: int) -> list[int]:
        """The field's time labels of the first `frames` predicted frames, in ms."""
        return [round(self.label_ms_per_frame * k) for k in range(1, frames + 1)]

    def true_ms(self, frames: int) -> list[float]:
        """The recorded times of the first `frames` predicted frames, in ms to two decimals."""
        return [round(self.true_ms_per_frame * k, 2) for k in range(1, frames + 1)]


H36M = Skeleton(raw_fps=50, stride=2, label_ms_per_frame=40, rows=(
    ('Hips',           None,             TRUTH,        (0, 0, 0)),
    ('RightUpLeg',     'Hips',           TRUTH,        (-132.948591, 0, 0)),
    ('RightLeg',       'RightUpLeg',     PREDICTED,    (0, -442.894612, 0)),
    ('RightFoot',      'RightLeg',       PREDICTED,    (0, -454.206447, 0)),
    ('RightToeBase',   'RightFoot',      PREDICTED,    (0, 0, 162.767078)),
    ('RightToeSite',   'RightToeBase',   PREDICTED,    (0, 0, 74.999437)),
    ('LeftUpLeg',      'Hips',           TRUTH,        (132.948826, 0, 0)),
    ('LeftLeg',        'LeftUpLeg',      PREDICTED,    (0, -442.894413, 0)),
    ('LeftFoot',       'LeftLeg',        PREDICTED,    (0, -454.20659, 0)),
    ('LeftToeBase',    'LeftFoot',       PREDICTED,    (0, 0, 162.767426)),
    ('LeftToeSite',    'LeftToeBase',    PREDICTED,    (0, 0, 74.999948)),
    ('Spine',          'Hips',           TRUTH,        (0, 0.1, 0)),
    ('Spine1',         'Spine',          PREDICTED,    (0, 233.383263, 0)),
    ('Neck',           'Spine1',         PREDICTED,    (0, 257.077681, 0)),
    ('Head',           'Neck',           PREDICTED,    (0, 121.134938, 0)),
    ('HeadSite',       'Head',           PREDICTED,    (0, 115.002227, 0)),
    ('LeftShoulder',   'Spine1',         'Neck',       (0, 257.077681, 0)),
    ('LeftArm',        'LeftShoulder',   PREDICTED,    (0, 151.034226, 0)),
    ('LeftForeArm',    'LeftArm',        PREDICTED,    (0, 278.882773, 0)),
    ('LeftHand',       'LeftForeArm',    PREDICTED,    (0, 251.733451, 0)),
    ('LeftHandThumb',  'LeftHand',       'LeftHand',   (0, 0, 0)),
    ('LeftThumbSite',  'LeftHandThumb',  PREDICTED,    (0, 0, 99.999627)),
    ('LeftWristEnd',   'LeftHand',       PREDICTED,    (0, 100.000188, 0)),
    ('LeftWristSite',  'LeftWristEnd',   'LeftWristEnd', (0, 0, 0)),
    ('RightShoulder',  'Spine1',         'Neck',       (0, 257.077681, 0)),
    ('RightArm',       'RightShoulder',  PREDICTED,    (0, 151.031437, 0)),
    ('RightForeArm',   'RightArm',       PREDICTED,    (0, 278.892924, 0)),
    ('RightHand',      'RightForeArm',   PREDICTED,    (0, 251.72868, 0)),
    ('RightHandThumb', 'RightHand',      'RightHand',  (0, 0, 0)),
    ('RightThumbSite', 'RightHandThumb', PREDICTED,    (0, 0, 99.999888)),
    ('RightWristEnd',  'RightHand',      PREDICTED,    (0, 137.499922, 0)),
    ('RightWristSite', 'RightWristEnd',  'RightWristEnd', (0, 0, 0)),
))

# The benchmark's files are recorded at 120 Hz; about a fifth of the whole database is at 60 Hz.
# So the field's label of 40 ms stands for 16.7 ms.
# The published offsets are the ASF lengths times 70, but one ASF unit is 56.444 mm.
# So published millimetres are 1.24 times too long.
# The thorax bone, about 118 mm, and the wrist bone are left out.
# So neck, head and shoulders are 12 cm below the recorded person's.
CMU = Skeleton(raw_fps=120, stride=2, label_ms_per_frame=40, mm_scale_to_true=56.444 / 70, rows=(
    ('Hips',            None,              TRUTH,        (0, 0, 0)),
    ('LHipJoint',       'Hips',            TRUTH,        (0, 0, 0)),
    ('LeftUpLeg',       'LHipJoint',       TRUTH,        (115.9718, -126.1974, 43.7339)),
    ('LeftLeg',         'LeftUpLeg',       PREDICTED,    (181.804, -499.5032, 0)),
    ('LeftFoot',        'LeftLeg',         PREDICTED,    (174.4652, -479.339, 0)),
    ('LeftToeBase',     'LeftFoot',        PREDICTED,    (13.7928, -37.8952, 150.2067)),
    ('LeftToeSite',     'LeftToeBase',     PREDICTED,    (0, 0, 77.8743)),
    ('RHipJoint',       'Hips',            TRUTH,        (0, 0, 0)),
    ('RightUpLeg',      'RHipJoint',       TRUTH,        (-112.749, -126.1974, 43.7332)),
    ('RightLeg',        'RightUpLeg',      PREDICTED,    (-181.6514, -499.0839, 0)),
    ('RightFoot',       'RightLeg',        PREDICTED,    (-172.746, -474.6168, 0)),
    ('RightToeBase',    'RightFoot',       PREDICTED,    (-16.1168, -44.2806, 149.3576)),
    ('RightToeSite',    'RightToeBase',    PREDICTED,    (0, 0, 78.0983)),
    ('LowerBack',       'Hips',            TRUTH,        (0, 0, 0)),
    ('Spine',           'LowerBack',       PREDICTED,    (1.3727, 143.815, -9.8784)),
    ('Spine1',          'Spine',           PREDICTED,    (0.7147, 144.5052, -4.1447)),
    ('Neck',            'Spine1',          'Spine1',     (0, 0, 0)),
    ('Neck1',           'Neck',            PREDICTED,    (0.4991, 109.6977, 10.4776)),
    ('Head',            'Neck1',           PREDICTED,    (2.4003, 109.2287, -7.0042)),
    ('HeadSite',        'Head',            PREDICTED,    (0.9135, 113.792, -3.6855)),
    ('LeftShoulder',    'Spine1',          'Spine1',     (0, 0, 0)),
    ('LeftArm',         'LeftShoulder',    PREDICTED,    (247.9435, 63.3052, -12.1548)),
    ('LeftForeArm',     'LeftArm',         PREDICTED,    (340.5591, 0, 0)),
    ('LeftHand',        'LeftForeArm',     PREDICTED,    (234.8878, 0, 0)),
    ('LeftFingerBase',  'LeftHand',        'LeftHand',   (0, 0, 0)),
    ('LeftHandIndex1',  'LeftFingerBase',  PREDICTED,    (46.2819, 0, 0)),
    ('LeftHandSite',    'LeftHandIndex1',  PREDICTED,    (37.3142, 0, 0)),
    ('LThumb',          'LeftHand',        'LeftHand',   (0, 0, 0)),
    ('LThumbSite',      'LThumb',          PREDICTED,    (37.884, 0, 37.884)),
    ('RightShoulder',   'Spine1',          'Spine1',     (0, 0, 0)),
    ('RightArm',        'RightShoulder',   PREDICTED,    (-244.8614, 53.1958, -22.8312)),
    ('RightForeArm',    'RightArm',        PREDICTED,    (-351.8543, 0, 0)),
    ('RightHand',       'RightForeArm',    PREDICTED,    (-235.5017, 0, 0)),
    ('RightFingerBase', 'RightHand',       'RightHand',  (0, 0, 0)),
    ('RightHandIndex1', 'RightFingerBase', PREDICTED,    (-51.1287, 0, 0)),
    ('RightHandSite',   'RightHandIndex1', PREDICTED,    (-41.2209, 0, 0)),
    ('RThumb',          'RightHand',       'RightHand',  (0, 0, 0)),
    ('RThumbSite',      'RThumb',          PREDICTED,    (-41.8502, 0, 41.8502)),
))

THREEDPW = Skeleton(raw_fps=30, stride=1, label_ms_per_frame=1000 / 30, rows=(
    ('pelvis',         None,             TRUTH),
    ('left_hip',       'pelvis',         PREDICTED),
    ('right_hip',      'pelvis',         PREDICTED),
    ('spine1',         'pelvis',         PREDICTED),
    ('left_knee',      'left_hip',       PREDICTED),
    ('right_knee',     'right_hip',      PREDICTED),
    ('spine2',         'spine1',         PREDICTED),
    ('left_ankle',     'left_knee',      PREDICTED),
    ('right_ankle',    'right_knee',     PREDICTED),
    ('spine3',         'spine2',         PREDICTED),
    ('left_foot',      'left_ankle',     PREDICTED),
    ('right_foot',     'right_ankle',    PREDICTED),
    ('neck',           'spine3',         PREDICTED),
    ('left_collar',    'spine3',         PREDICTED),
    ('right_collar',   'spine3',         PREDICTED),
    ('head',           'neck',           PREDICTED),
    ('left_shoulder',  'left_collar',    PREDICTED),
    ('right_shoulder', 'right_collar',   PREDICTED),
    ('left_elbow',     'left_shoulder',  PREDICTED),
    ('right_elbow',    'right_shoulder', PREDICTED),
    ('left_wrist',     'left_elbow',     PREDICTED),
    ('right_wrist',    'right_elbow',    PREDICTED),
    ('left_hand',      'left_wrist',     PREDICTED),
    ('right_hand',     'right_wrist',    PREDICTED),
))
