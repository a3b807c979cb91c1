import numpy as np
import pytest

from utils.data.kinematics import joint_positions
from utils.data.skeleton import CMU, H36M

SKELETONS = {'h36m': H36M, 'cmu': CMU}


@pytest.mark.parametrize('name', ['cmu', 'h36m'])
def test_forward_kinematics_match_the_benchmark(golden, name):
    values = golden(f'{name}_forward_kinematics.npz')
    rotations = values['columns'][:, 3:].reshape(len(values['columns']), -1, 3).copy()
    rotations[:, 0] = 0  # global rotation is dropped
    assert np.abs(joint_positions(rotations, SKELETONS[name]) - values['xyz_mm']).max() < 0.05


def test_bones_keep_their_length():
    rotations = np.random.default_rng(0).normal(size=(5, 38, 3))
    positions = joint_positions(rotations, CMU)
    for joint, parent in enumerate(CMU.parents):
        if parent >= 0:
            lengths = np.linalg.norm(positions[:, joint] - positions[:, parent], axis=-1)
            assert np.allclose(lengths, np.linalg.norm(CMU.offsets[joint]))


def test_wrong_number_of_joints_is_refused():
    with pytest.raises(ValueError, match='37 rotations a frame, but the skeleton has 38'):
        joint_positions(np.zeros((2, 37, 3)), CMU)
