"""Files as people have them: what is assumed is said, what cannot be meant is refused, and the reason is the
right one.
"""
import shutil

import numpy as np
import pytest
from asf_sample import write_amc, write_asf, write_trial
from own_motion import bvh_text, invented, mixamo_bvh, smpl_positions, videopose_positions
from scipy.spatial.transform import Rotation

from utils.common.errors import InputError
from utils.data.skeleton import CMU
from utils.data.synthetic.body import CMU_BODY
from utils.mocap.asf_amc import T_POSE, read_asf
from utils.mocap.bvh import read_bvh
from utils.mocap.cmu_trials import trial_paths
from utils.mocap.motion import motion_of_positions
from utils.mocap.motion_files import read_motion


@pytest.fixture(scope='module')
def trial(tmp_path_factory):
    """98_01.amc beside 98.asf, and the benchmark's rows of them."""
    folder = tmp_path_factory.mktemp('trial')
    return folder, write_trial(folder, frames=41)


def noted(motion, words):
    return [note for note in motion.notes if words in note]


# Frame rates

def test_an_assumed_rate_is_called_assumed(trial, tmp_path):
    folder, rows = trial
    (tmp_path / 'a.bvh').write_text(bvh_text(rows))
    for path in (folder / '98_01.amc', folder / 'motion.txt', tmp_path / 'a.bvh'):
        motion = read_motion(path, 'cmu')
        assert motion.fps == pytest.approx(120, abs=0.01) and noted(motion, '120 fps (assumed'), path
        assert not noted(read_motion(path, 'cmu', fps=60), 'assumed:'), path
    (tmp_path / 'b.bvh').write_text(bvh_text(rows).replace('0.0083333', '0.0166667'))
    assert not noted(read_motion(tmp_path / 'b.bvh', 'cmu'), 'fps (assumed')


def test_a_pace_that_no_person_has_is_noted(tmp_path):
    np.save(tmp_path / 'walk.npy', smpl_positions(4, 60))
    assert not noted(read_motion(tmp_path / 'walk.npy', 'cmu', fps=60, units='m'), 'as no person does')
    assert noted(read_motion(tmp_path / 'walk.npy', 'cmu', fps=150, units='m'), 'steps a second')
    np.save(tmp_path / 'flight.npy', smpl_positions(4, 60) + np.linspace(0, 60, 240)[:, None, None])
    assert noted(read_motion(tmp_path / 'flight.npy', 'cmu', fps=60, units='m'), 'the root moves at')


# Names

@pytest.mark.parametrize('change', [
    lambda text: text.replace('LeftHandIndex1', 'LFingers').replace('RightHandIndex1', 'RFingers'),
    lambda text: text.replace('JOINT ', 'JOINT mixamorig:').replace('ROOT ', 'ROOT mixamorig:'),
    lambda text: text.replace('Hips', 'hips').replace('JOINT Left', 'JOINT left').replace('JOINT Right',
                                                                                          'JOINT RIGHT_'),
    lambda text: text.replace('JOINT ', 'JOINT Person1_').replace('ROOT ', 'ROOT Person1_'),
])
def test_spellings_of_cmus_names(trial, tmp_path, change):
    (tmp_path / 'plain.bvh').write_text(bvh_text(trial[1][1:]))
    (tmp_path / 'other.bvh').write_text(change(bvh_text(trial[1][1:])))
    plain, other = (read_motion(tmp_path / name, 'cmu') for name in ('plain.bvh', 'other.bvh'))
    assert other.table == 'cmu' and other.known.all() and np.array_equal(plain.body, other.body)


def test_the_databases_own_bone_names(trial, tmp_path):
    from utils.mocap.asf_amc import JOINT_OF_BONE

    plain = bvh_text(trial[1][1:])
    (tmp_path / 'plain.bvh').write_text(plain)
    lines = [line.replace('ROOT Hips', 'ROOT root') for line in plain.splitlines()]
    bone_of = {joint: bone for bone, joint in JOINT_OF_BONE.items()}
    lines = [f'JOINT {bone_of[line.split()[1]]}' if line.strip().startswith('JOINT') else line
             for line in lines]
    (tmp_path / 'bones.bvh').write_text('\n'.join(lines))
    plain, bones = (read_motion(tmp_path / name, 'cmu') for name in ('plain.bvh', 'bones.bvh'))
    assert bones.table == 'cmu_bones' and bones.known.all() and np.allclose(plain.body, bones.body, atol=1e-9)


# Axes

def test_mirrored_axes_are_refused_with_the_option_that_helps(tmp_path):
    for name, positions in (('smpl', smpl_positions()), ('videopose', videopose_positions())):
        right = motion_of_positions(positions, 'cmu', fps=30, units='m')
        for mirror in ([-1, 1, 1], [1, -1, 1], [1, 1, -1]):
            with pytest.raises(InputError, match='left-handed.*--mirror-x'):
                motion_of_positions(positions * mirror, 'cmu', fps=30, units='m')
        back = motion_of_positions(positions * [-1, 1, 1], 'cmu', fps=30, units='m', mirror_x=True)
        assert np.allclose(back.body, right.body, atol=1e-6), name


@pytest.mark.parametrize('up, columns', [('z', [[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
                                         ('-y', [[1, 0, 0], [0, -1, 0], [0, 0, -1]])])
def test_another_axis_up(up, columns):
    positions = smpl_positions()
    turned = positions @ np.array(columns, dtype=float)
    assert not np.allclose(turned, positions)
    with pytest.raises(InputError, match=f'{up} points up.*add --up {up}'):
        motion_of_positions(turned, '3dpw', fps=30, units='m')
    expected = motion_of_positions(positions, '3dpw', fps=30, units='m')
    assert np.allclose(motion_of_positions(turned, '3dpw', fps=30, units='m', up=up).body, expected.body,
                       atol=1e-6)
    # CMU's poses are turned into the body anyway: the same prediction, and a note.
    noted_only = motion_of_positions(turned, 'cmu', fps=30, units='m')
    assert noted(noted_only, f'--up {up}')
    assert np.allclose(noted_only.body, motion_of_positions(positions, 'cmu', fps=30, units='m').body,
                       atol=1e-6)


def test_a_person_who_lies_can_say_so():
    lying = smpl_positions() @ Rotation.from_euler('x', 90, degrees=True).as_matrix().T
    with pytest.raises(InputError, match='or --up y if the person'):
        motion_of_positions(lying, '3dpw', fps=30, units='m')
    assert len(motion_of_positions(lying, '3dpw', fps=30, units='m', up='y').body) == 90


def turned_pelvis(rows, degrees):
    """BVH whose root is turned about x and whose root's children are turned back: the same positions."""
    rows = rows.copy()
    lines = bvh_text(rows).splitlines()
    turn = Rotation.from_euler('x', degrees, degrees=True)
    start = next(k for k, line in enumerate(lines) if line.startswith('Frame Time')) + 1
    columns, column = {}, 0
    for line in lines[:start]:
        if line.split()[0] in ('ROOT', 'JOINT'):
            name = line.split()[1]
        if line.split()[0] == 'CHANNELS':
            columns[name] = column + int(line.split()[1]) - 3
            column += int(line.split()[1])
    values = np.array([[float(word) for word in line.split()] for line in lines[start:]])

    def change(name, function):
        own = Rotation.from_euler('ZYX', values[:, columns[name]: columns[name] + 3], degrees=True)
        values[:, columns[name]: columns[name] + 3] = function(own).as_euler('ZYX', degrees=True)

    change('Hips', lambda own: own * turn)
    for name in ('LHipJoint', 'RHipJoint', 'LowerBack'):
        change(name, lambda own: turn.inv() * own)
    return '\n'.join(lines[:start] + [' '.join(f'{value:.9f}' for value in row) for row in values]) + '\n'


def test_a_pelvis_turned_under_its_root(trial, tmp_path):
    rows = trial[1][1:]
    (tmp_path / 'plain.bvh').write_text(bvh_text(rows))
    plain = read_motion(tmp_path / 'plain.bvh', 'cmu')
    for degrees, literal in ((10, True), (35, False)):
        (tmp_path / 'turned.bvh').write_text(turned_pelvis(rows, degrees))
        motion = read_motion(tmp_path / 'turned.bvh', 'cmu')
        apart = np.rad2deg((motion.rotation.inv() * plain.rotation).magnitude())
        assert apart == pytest.approx(degrees if literal else 0, abs=0.01)
        assert bool(noted(motion, 'the pelvis is turned by 35 degrees under its root')) == (not literal)
        assert np.allclose(motion.body, plain.body, atol=1e-3) == (not literal)


# Bone lengths and units

def test_lengths_are_the_recorded_persons(trial, tmp_path):
    text = bvh_text(trial[1][1:])
    (tmp_path / 'a.bvh').write_text(text)
    thorax = text.replace('JOINT Neck\n\t\t\t\t{\n\t\t\t\t\tOFFSET 0 0 0',
                          'JOINT Neck\n\t\t\t\t{\n\t\t\t\t\tOFFSET 0 2.1 0')
    assert thorax != text
    (tmp_path / 'thorax.bvh').write_text(thorax)
    plain, other = (read_motion(tmp_path / name, 'cmu', units='asf') for name in ('a.bvh', 'thorax.bvh'))
    neck, chest = CMU.joints.index('Neck'), CMU.joints.index('Spine1')
    assert np.allclose(plain.body, other.body, atol=1e-6)  # the network's body has no such bone
    assert np.linalg.norm(plain.person[:, neck] - plain.person[:, chest], axis=-1).max() < 1e-6
    assert np.linalg.norm(other.person[:, neck] - other.person[:, chest], axis=-1) == pytest.approx(118.5,
                                                                                                    abs=0.1)


def test_a_unit_is_assumed_from_the_size_and_said(tmp_path):
    (tmp_path / 'a.bvh').write_text(mixamo_bvh(1))
    assumed = read_motion(tmp_path / 'a.bvh', 'cmu')
    given = read_motion(tmp_path / 'a.bvh', 'cmu', units='cm')
    assert noted(assumed, 'unit cm (assumed from the body') and not noted(given, 'unit')
    assert np.array_equal(assumed.person, given.person)
    for units, said in (('m', 'nobody is that size; check the units'), ('mm', 'nobody is that size')):
        with pytest.raises(InputError, match=said):
            read_motion(tmp_path / 'a.bvh', 'cmu', units=units)


# Spellings and damage of BVH

def test_spellings_of_bvh(trial, tmp_path):
    text = bvh_text(trial[1][1:])
    (tmp_path / 'plain.bvh').write_text(text)
    spelled = text.replace('Frames: 41', 'Frames:41').replace('Frame Time: ', 'Frame Time:').replace('\n{',
                                                                                                     ' {', 1)
    (tmp_path / 'spelled.bvh').write_bytes(b'\xef\xbb\xbf' + spelled.replace('\n', '\r\n').encode())
    plain, other = (read_bvh(tmp_path / name) for name in ('plain.bvh', 'spelled.bvh'))
    assert list(plain.joints) == list(other.joints) and plain.fps == other.fps
    assert np.array_equal(plain.values, other.values)


def test_frames_more_or_fewer_than_announced(trial, tmp_path):
    text = bvh_text(trial[1][1:])
    (tmp_path / 'more.bvh').write_text(text.replace('Frames: 41', 'Frames: 40'))
    assert len(read_bvh(tmp_path / 'more.bvh').values) == 40
    assert noted(read_motion(tmp_path / 'more.bvh', 'cmu'), 'is left out: the file announces 40 frames')
    (tmp_path / 'fewer.bvh').write_text(text.replace('Frames: 41', 'Frames: 42'))
    with pytest.raises(InputError, match='cut off: 41 frames of the 42'):
        read_bvh(tmp_path / 'fewer.bvh')


@pytest.mark.parametrize('old, new, said', [
    ('MOTION', '', 'braces|not a line of a BVH hierarchy'),
    ('}\nMOTION', 'MOTION', 'are not closed: the hierarchy is cut off'),
    ('OFFSET 2.5972', 'OFFSET 2_5972', 'not a finite number'),
    ('CHANNELS 6', 'CHANNELS 6_0', 'not a number of frames or channels'),
])
def test_damaged_bvh(trial, tmp_path, old, new, said):
    text = bvh_text(trial[1][1:])
    assert old in text
    (tmp_path / 'a.bvh').write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        read_bvh(tmp_path / 'a.bvh')


# Gaps

def test_a_joint_at_zero_in_single_frames_is_a_gap():
    positions = smpl_positions(1)
    positions[7, 20] = 0
    with pytest.raises(InputError, match=r'frame 7: joint 20 lies at \(0, 0, 0\), but not in all frames: a '
                                         r'gap'):
        motion_of_positions(positions, 'cmu', fps=30, units='m')
    centred = smpl_positions(1)
    centred -= centred[:, :1]  # the root is at zero in all frames
    assert len(motion_of_positions(centred, 'cmu', fps=30, units='m').body) == 30


def test_frame_numbers_that_jump_are_a_gap(trial, tmp_path):
    text = (trial[0] / '98_01.amc').read_text()
    begin, end = text.index('\n20\n'), text.index('\n23\n')
    (tmp_path / '98_01.amc').write_text(text[:begin] + text[end:])
    shutil.copy(trial[0] / '98.asf', tmp_path)
    with pytest.raises(InputError, match='frame 23 follows frame 19: a gap'):
        read_motion(tmp_path / '98_01.amc', 'cmu')


# T-poses

def test_a_t_pose_in_row_0_is_known(trial, tmp_path):
    folder, rows = trial
    assert read_motion(folder / 'motion.txt', 'cmu').t_pose
    assert not read_motion(folder / '98_01.amc', 'cmu').t_pose
    assert set(T_POSE) <= set(CMU.joints)
    rest = rows.copy()
    rest[0, 3:] = 0
    (tmp_path / 'a.bvh').write_text(bvh_text(rest))
    (tmp_path / 'b.bvh').write_text(bvh_text(rows[1:]))
    assert read_motion(tmp_path / 'a.bvh', 'cmu').t_pose and not read_motion(tmp_path / 'b.bvh', 'cmu').t_pose


# ASF and AMC

def test_capitals_and_a_missing_skeleton(trial, tmp_path):
    shutil.copy(trial[0] / '98.asf', tmp_path / '98.ASF')
    shutil.copy(trial[0] / '98_01.amc', tmp_path / '98_01.AMC')
    assert np.array_equal(read_motion(tmp_path / '98_01.AMC', 'cmu').body,
                          read_motion(trial[0] / '98_01.amc', 'cmu').body)
    assert list(trial_paths(tmp_path)) == ['98_01']
    (tmp_path / '98.ASF').unlink()
    with pytest.raises(InputError, match='98.asf is neither beside it .* name one with --asf'):
        read_motion(tmp_path / '98_01.AMC', 'cmu')


def fields(text):
    """The lines of an ASF that say something: all but comments, the name and the documentation."""
    lines = text.splitlines()
    free = {':version', ':name', 'invented'}
    return [k for k, line in enumerate(lines) if line.split() and line.split()[0] not in free
            and line.split()[0] != ':documentation']


def test_every_field_of_a_skeleton_is_used_or_checked(tmp_path):
    write_asf(tmp_path / '98.asf')
    write_amc(tmp_path / '98_01.amc', frames=3)
    good = (tmp_path / '98.asf').read_text()
    before = read_motion(tmp_path / '98_01.amc', 'cmu').body
    lines, kept = good.splitlines(), []
    for k in fields(good)[::2]:
        for damage in (lines[:k] + lines[k + 1:], lines[:k] + [lines[k]] + lines[k:]):
            (tmp_path / '98.asf').write_text('\n'.join(damage))
            try:
                if np.array_equal(read_motion(tmp_path / '98_01.amc', 'cmu').body, before):
                    kept.append(lines[k])
            except InputError:
                pass
    assert kept == []


@pytest.mark.parametrize('old, new, said', [
    ('dof rx ry rz', 'dof rx rx rz', 'each once'),
    ('axis XYZ\n   position', 'axis ZYX\n   position', 'root axis ZYX'),
    ('position 0 0 0', 'position 0 1 0', 'root position 0 1 0'),
    ('orientation 0 0 0', 'orientation 0 90 0', 'root orientation'),
    ('order TX TY TZ RX', 'order TX TY TZ RZ', 'root order'),
    ('lfemur ltibia', 'rfemur ltibia', 'ltibia hangs on rfemur'),
    ('id 2 ', 'id 1 ', 'one id'), ('limits (-180.0 180.0)\n', 'limits\n', 'expected two limits'),
    ('direction', 'directoin', 'no field of a bone'), ('  mass 1.0', '  mass x', 'mass'),
    ('direction ', 'direction -', 'bone lhipjoint is'), ('     length ', '     length 10', 'lhipjoint is'),
    ('  length 0.45', '  length 4.5', 'bone lhipjoint is'),
])
def test_damaged_skeletons(tmp_path, old, new, said):
    write_asf(tmp_path / '98.asf')
    text = (tmp_path / '98.asf').read_text()
    assert old in text
    (tmp_path / '98.asf').write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        read_asf(tmp_path / '98.asf')


def test_an_invented_recording_of_cmus_own_joints_is_taken_as_it_is():
    _, positions, _ = invented(CMU_BODY, 1, 60)
    motion = motion_of_positions(positions, 'cmu', fps=60, units='m')
    assert motion.known.all() and motion.table == 'cmu'
    assert np.allclose(motion.body * CMU.mm_scale_to_true, motion.person, atol=1e-6)
