import numpy as np
import pytest

from utils.data.kinematics import joint_positions
from utils.data.skeleton import CMU, H36M, PREDICTED, THREEDPW, TRUTH

SKELETONS = {'h36m': H36M, 'cmu': CMU, '3dpw': THREEDPW}


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


@pytest.mark.parametrize('name, joints, predicted, copied, label_ms, true_ms', [
    ('h36m', 32, 22, 6, 400, 400), ('cmu', 38, 25, 7, 400, 166.67), ('3dpw', 24, 23, 0, 333, 333.33)])
def test_skeleton_tables_are_consistent(name, joints, predicted, copied, label_ms, true_ms):
    skeleton = SKELETONS[name]
    assert len(skeleton.joints) == len(set(skeleton.joints)) == joints
    assert all(parent < joint for joint, parent in enumerate(skeleton.parents))
    assert len(skeleton.predicted) == predicted and skeleton.node_n == 3 * predicted
    assert len(skeleton.copied) == copied and set(skeleton.copied_from) <= set(skeleton.predicted)
    truth = [row[0] for row in skeleton.rows if row[2] == TRUTH]
    assert len(truth) + predicted + copied == joints and PREDICTED not in truth
    assert skeleton.label_ms(10)[-1] == label_ms and skeleton.true_ms(10)[-1] == true_ms
    if name != '3dpw':
        assert skeleton.offsets.shape == (joints, 3)
        with_offset = [skeleton.joints[joint] for joint, source in zip(skeleton.copied, skeleton.copied_from, strict=True)
                       if skeleton.parents[joint] == source and np.any(skeleton.offsets[joint])]
        assert not with_offset, 'a copied joint lies where its source does'
