"""The skeleton tables are consistent in themselves, and the benchmarks' own lists, kept beside the tests."""
import json

import numpy as np
import pytest

from utils.data.skeleton import CMU, H36M, PREDICTED, THREEDPW, TRUTH

SKELETONS = {'h36m': H36M, 'cmu': CMU, '3dpw': THREEDPW}


@pytest.fixture(scope='module')
def benchmark(golden_path):
    return json.loads((golden_path / 'skeletons.json').read_text())


@pytest.mark.parametrize('name, joints, predicted, copied, label_ms, true_ms', [
    ('h36m', 32, 22, 6, 400, 400), ('cmu', 38, 25, 7, 400, 166.67), ('3dpw', 24, 23, 0, 333, 333.33)])
def test_tables_are_consistent(name, joints, predicted, copied, label_ms, true_ms):
    skeleton = SKELETONS[name]
    assert len(skeleton.joints) == len(set(skeleton.joints)) == joints
    assert skeleton.parents[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(skeleton.parents) if joint)
    assert len(skeleton.predicted) == predicted and skeleton.node_n == 3 * predicted
    assert len(skeleton.copied) == copied and set(skeleton.copied_from) <= set(skeleton.predicted)
    truth = [joint for joint, row in enumerate(skeleton.rows) if row[2] == TRUTH]
    assert sorted([*truth, *skeleton.predicted, *skeleton.copied]) == list(range(joints))
    assert PREDICTED not in skeleton.joints and TRUTH not in skeleton.joints
    assert [joint for _, joint in skeleton.bones] == list(skeleton.predicted)
    assert not {parent for parent, _ in skeleton.bones} & set(skeleton.copied), 'it is another joint again'
    assert skeleton.label_ms(10)[-1] == label_ms and skeleton.true_ms(10)[-1] == true_ms


@pytest.mark.parametrize('name', SKELETONS)
def test_tables_are_the_benchmarks(benchmark, name):
    skeleton, lists = SKELETONS[name], benchmark[name]
    assert list(skeleton.joints) == lists['joints']
    assert list(skeleton.parents) == lists['parents']
    assert list(skeleton.predicted) == lists['predicted']
    assert dict(zip(skeleton.copied, skeleton.copied_from, strict=True)) == dict(
        zip(lists['copied'], lists['copied_from'], strict=True))
    if 'offsets_mm' in lists:
        np.testing.assert_allclose(skeleton.offsets, lists['offsets_mm'], rtol=1e-12)


@pytest.mark.parametrize('name', ['h36m', 'cmu'])
def test_a_copied_joint_lies_where_its_source_does(golden, name):
    skeleton, poses = SKELETONS[name], golden(f'{name}_forward_kinematics.npz')['xyz_mm']
    np.testing.assert_allclose(poses[:, skeleton.copied], poses[:, skeleton.copied_from], atol=1e-3)


def test_positions_have_no_offsets():
    with pytest.raises(ValueError, match='no rest offsets'):
        _ = THREEDPW.offsets


def test_published_millimetres_are_true_ones_but_for_cmu_where_they_are_1_24_times_too_long():
    assert H36M.mm_scale_to_true == THREEDPW.mm_scale_to_true == 1
    assert 1 / CMU.mm_scale_to_true == pytest.approx(1.24, abs=0.001)
