"""Any humanoid skeleton: joints by name, joints placed by rule, and back to the person's own bone lengths."""
import math

import numpy as np
import pytest
from own_motion import invented, mixamo_bvh, smpl_positions, videopose_positions
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError
from utils.data.lookup import DATASETS
from utils.data.skeleton import CMU
from utils.data.synthetic.body import CMU_BODY, THREEDPW_BODY
from utils.mocap.body import back_to_person, put_on_model
from utils.mocap.bvh import read_bvh
from utils.mocap.joints import (
    MODEL_TABLE,
    NAMED_TABLES,
    REQUIRED,
    find_joints,
    match,
    missing,
    model_joints,
    tables,
)
from utils.mocap.motion import motion_of_joints, motion_of_positions
from utils.mocap.motion_files import read_motion

COCO = ('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', *(f'{side}_{joint}' for joint in (
    'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle') for side in ('left', 'right')))


def turn(axis, degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return {'X': [[1, 0, 0], [0, c, -s], [0, s, c]], 'Y': [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            'Z': [[c, -s, 0], [s, c, 0], [0, 0, 1]]}[axis]


def test_forward_kinematics_of_any_hierarchy_against_a_second_computation(tmp_path):
    rng = np.random.default_rng(2)
    text, columns = ['HIERARCHY'], 0
    parents, offsets, channels = [None, 0, 1, 0, 3], rng.normal(size=(5, 3)).round(3), [
        'Zposition Xposition Yposition Yrotation Xrotation Zrotation', 'Xrotation',
        'Zrotation Xrotation Zrotation', 'Yposition Xrotation Zrotation Yrotation', '']

    def add(joint):
        text.extend([f'{"JOINT" if joint else "ROOT"} j{joint}', '{',
                     'OFFSET ' + ' '.join(map(str, offsets[joint]))])
        text.append(f'CHANNELS {len(channels[joint].split())} {channels[joint]}')
        order.append(joint)
        for child in (child for child in range(5) if parents[child] == joint):
            add(child)
        text.append('}')

    order = []
    add(0)
    columns = sum(len(own.split()) for own in channels)
    values = rng.uniform(-170, 170, (3, columns)).round(3)
    text += ['MOTION', 'Frames: 3', 'Frame Time: 0.02', *(' '.join(map(str, row)) for row in values)]
    (tmp_path / 'a.bvh').write_text('\n'.join(text))
    bvh = read_bvh(tmp_path / 'a.bvh')
    for frame, row in enumerate(values):
        numbers, places, turns = list(row), {}, {}
        for joint in order:
            above = ((np.zeros(3), np.eye(3)) if parents[joint] is None
                     else (places[parents[joint]], turns[parents[joint]]))
            local, own = offsets[joint].copy(), np.eye(3)
            for channel in channels[joint].split():
                number = numbers.pop(0)
                if channel.endswith('position'):
                    local['XYZ'.index(channel[0])] = number
                else:
                    own = own @ turn(channel[0], number)
            places[joint], turns[joint] = above[0] + above[1] @ local, above[1] @ own
        expected = [places[joint] for joint in order]
        assert np.abs(bvh.positions()[frame] - expected).max() < 1e-9


def test_every_table_has_what_a_pose_needs():
    for name, table in tables().items():
        names = [joint for joint in table if '+' not in joint]
        assert missing(match(table, names)) == [], name
    assert all(find_joints([joint for joint in tables()[name] if '+' not in joint])[0] == name
               for name in NAMED_TABLES)
    for dataset, known in DATASETS.items():
        joints = list(known.skeleton.joints)
        assert list(tables()[MODEL_TABLE[dataset]])[:len(joints)] == joints
        assert set(REQUIRED) <= set(model_joints(dataset))


@pytest.mark.parametrize('prefix', ['mixamorig:', 'mixamorig', 'Armature|mixamorig:', ''])
def test_mixamo_names_and_prefixes(tmp_path, prefix):
    (tmp_path / 'a.bvh').write_text(mixamo_bvh(1, prefix=prefix))
    motion = read_motion(tmp_path / 'a.bvh', 'cmu')
    assert motion.table == 'mixamo'
    placed = [joint for joint, known in zip(CMU.joints, motion.known, strict=True) if not known]
    assert {'LThumbSite', 'Neck1', 'LeftHandSite'} <= set(placed)
    assert not {'LeftToeBase', 'Spine', 'Spine1', 'LeftHandIndex1'} & set(placed)


@pytest.mark.parametrize('dataset', ['cmu', 'h36m', '3dpw'])
def test_one_motion_in_several_forms_is_one_motion(tmp_path, dataset):
    (tmp_path / 'a.bvh').write_text(mixamo_bvh(2))
    bvh = read_motion(tmp_path / 'a.bvh', dataset, units='cm')
    array = motion_of_positions(smpl_positions(2), dataset, fps=30, units='m')
    names = model_joints(dataset)
    legs = [names.index(f'{side}_{joint}') for side in ('left', 'right')
            for joint in ('knee', 'ankle', 'foot')]
    for motion in (bvh, array):
        poses = motion.body if motion.person is None else motion.person
        upright = motion.rotation[30].apply(poses[30])
        assert upright[names.index('head'), 1] > 400 and upright[names.index('left_ankle'), 1] < -500
    assert np.abs((bvh.body - array.body)[:, legs]).max() < 1
    assert np.abs(bvh.position - array.position).max() < 0.1


def test_upright_left_is_left_and_toes_are_ahead(tmp_path):
    (tmp_path / 'a.bvh').write_text(mixamo_bvh(2))
    np.save(tmp_path / 'smpl.npy', smpl_positions(2))
    np.save(tmp_path / 'videopose.npy', videopose_positions(2))
    for name, given in (('a.bvh', {}), ('smpl.npy', {'fps': 30, 'units': 'm'}),
                        ('videopose.npy', {'fps': 50, 'units': 'm'})):
        motion = read_motion(tmp_path / name, 'cmu', **given)
        mean = motion.body.mean(0)
        place = dict(zip(model_joints('cmu'), mean, strict=True))
        assert place['head'][1] > 400 and place['left_ankle'][1] < -700, name
        assert place['left_hip'][0] > 50 > -50 > place['right_hip'][0], name
        assert place['left_elbow'][0] > 100 > -100 > place['right_elbow'][0], name
        assert place['left_foot'][2] - place['left_ankle'][2] > 80, name


def test_directions_go_on_the_model_and_lengths_come_back():
    _, positions, _ = invented(CMU_BODY, 1, 60)
    names = model_joints('cmu')
    plain = motion_of_positions(positions, 'cmu', fps=60, units='m')
    joints = dict(zip(names, positions.transpose(1, 0, 2), strict=True))
    longer = {'pelvis': joints['pelvis']}
    for joint, parent in enumerate(CMU.parents[1:], start=1):
        share = 1.15 if 'knee' in names[joint] else 0.9
        longer[names[joint]] = longer[names[parent]] + share * (joints[names[joint]] - joints[names[parent]])
    other = motion_of_joints(longer, 'cmu', table='cmu', fps=60, units='m')
    assert np.allclose(other.body, plain.body, atol=1e-6)
    assert not np.allclose(other.person, plain.person, atol=10)
    back = back_to_person(other.body[40:], other.body[39], other.person[:40], CMU)
    assert np.allclose(back, other.person[40:], atol=1e-6)


def test_the_rule_for_joints_that_are_missing():
    """A piece between two known joints turns as a whole; what hangs beyond turns with the piece before it."""
    names, rest = list(CMU.joints), np.zeros((1, len(CMU.joints), 3))
    for joint, parent in enumerate(CMU.parents[1:], start=1):
        rest[:, joint] = rest[:, parent] + CMU.offsets[joint]
    known = np.ones(len(names), dtype=bool)
    known[[names.index(name)
           for name in ('Spine', 'Spine1', 'Neck1', 'LeftToeBase', 'LeftToeSite', 'LeftHandSite')]] = False
    bend = Rotation.from_euler('x', 30, degrees=True)
    shin = [names.index(name) for name in ('LeftFoot', 'LeftToeBase', 'LeftToeSite')]
    bent = rest.copy()
    knee = rest[:, names.index('LeftLeg')]
    bent[:, shin] = knee[:, None] + bend.apply(rest[0, shin] - knee[0])
    placed = put_on_model(np.where(known[:, None], bent, 0), known, CMU, keep_lengths=False)
    # The shin bends about x from a direction that leans to the side, so toes turn by the smallest such turn.
    before, after = rest[0, shin[0]] - knee[0], bent[0, shin[0]] - knee[0]
    axis = np.cross(before, after)
    smallest = Rotation.from_rotvec(axis / np.linalg.norm(axis)
                                    * np.arccos(before @ after / (before @ before)))
    toes = bent[0, shin[0]] + smallest.apply(rest[0, shin[1:]] - rest[0, shin[0]])
    assert np.allclose(placed.body[0, shin[1:]], toes, atol=1e-6)
    others = [joint for joint in range(len(names)) if joint not in shin]
    assert np.allclose(placed.body[:, others], rest[:, others], atol=1e-6)
    assert np.allclose(placed.person, placed.body, atol=1e-6)


def test_17_joints_are_told_apart_and_can_be_named():
    body = THREEDPW_BODY.skeleton
    positions = smpl_positions(1)
    coco = np.stack([positions[:, body.joints.index(name)] if name in body.joints
                     else positions[:, body.joints.index('head')]
                     for name in COCO], axis=1)
    assert motion_of_positions(coco, 'cmu', fps=30, units='m').table == 'coco17'
    assert motion_of_positions(videopose_positions(1), 'cmu', fps=50, units='m').table == 'h36m17'
    assert motion_of_positions(coco, 'cmu', fps=30, units='m', joints='coco17').table == 'coco17'
    with pytest.raises(InputError, match='17 joints, not those of smpl22'):
        motion_of_positions(coco, 'cmu', fps=30, units='m', joints='smpl22')


def test_a_table_of_ones_own(tmp_path):
    own = {name: f'B-{number}' for number, name in enumerate(THREEDPW_BODY.skeleton.joints)}
    (tmp_path / 'a.bvh').write_text(mixamo_bvh(1, prefix='', name_of=own.get))
    with pytest.raises(InputError, match='pelvis, neck, .*not found with the names of CMU, '
                                         '.*--joints map.csv'):
        read_motion(tmp_path / 'a.bvh', 'cmu')
    smpl = tables()['smpl24']
    (tmp_path / 'map.csv').write_text('name,joint\n'
                                      + '\n'.join(f'{other},{smpl[name]}' for name, other in own.items()))
    (tmp_path / 'b.bvh').write_text(mixamo_bvh(1, prefix='', name_of=str))
    named = read_motion(tmp_path / 'a.bvh', 'cmu', joints=tmp_path / 'map.csv')
    plain = read_motion(tmp_path / 'b.bvh', 'cmu')
    assert plain.table == 'smpl24' and np.allclose(named.body, plain.body, atol=1e-9)
    for text, said in (('joint,name\nB-0,pelvis\n', 'line 1: expected the header'),
                       ('name,joint\nB-0,bottom\n', 'line 2: expected'),
                       ('name,joint\nB-0,pelvis\nB-0,neck\n', 'line 3: B-0 a second time')):
        (tmp_path / 'bad.csv').write_text(text)
        with pytest.raises(InputError, match=said):
            read_motion(tmp_path / 'a.bvh', 'cmu', joints=tmp_path / 'bad.csv')
