"""The synthetic datasets: their formats, their motion, and that they never touch a recording."""
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from utils.data import cmu
from utils.data.marker import MARKER
from utils.data.skeleton import CMU, H36M, THREEDPW
from utils.data.synthetic import files as synthetic
from utils.data.synthetic.actions import ACTIONS, make_motion
from utils.data.synthetic.body import CMU_BODY, H36M_BODY, THREEDPW_BODY, Body, pose

PROJECT = Path(__file__).resolve().parents[2]
BODIES = {'cmu': CMU_BODY, 'h36m': H36M_BODY, '3dpw': THREEDPW_BODY}


def indices(body: Body, part: str) -> list[int]:
    """The first joints of a part, left before right where it has sides."""
    name = body.joints[part][0]
    return [body.skeleton.joints.index(name.replace('*', side))
            for side in (body.sides if '*' in name else ('',))]


def test_cmu_files_have_the_recordings_format(sample_cmu):
    plan = synthetic.plan('cmu')
    assert {path.split('/')[1] for path in plan} == set(cmu.ACTIONS)
    assert not (sample_cmu / 'cmu_mocap' / synthetic.CMU_HOLE).exists()
    for path, frames in plan.items():
        lines = (sample_cmu / 'cmu_mocap' / path).read_text().splitlines()
        first, last = (np.array(line.split(','), dtype=float) for line in (lines[0], lines[-1]))
        assert len(lines) == frames > 200
        assert len(first) == len(last) == 3 + 3 * len(CMU.joints)
        assert np.isfinite(last).all() and not first[3:].any() and last[3:].any()


def test_h36m_files_have_the_recordings_format_and_length():
    plan = synthetic.plan('h36m')
    assert len(plan) == 7 * 15 * 2
    assert min(plan.values()) // H36M.stride - 150 > 16
    path = 'S5/walking_1.txt'
    content = synthetic.encode('h36m', path, plan[path], synthetic.file_rng(path, 0))
    rows = np.array([line.split(b',') for line in content.splitlines()], dtype=float)
    assert rows.shape == (plan[path], 3 + 3 * len(H36M.joints)) and np.isfinite(rows).all()


def test_threedpw_files_have_the_recordings_format(sample_3dpw):
    people = []
    for path, frames in synthetic.plan('3dpw').items():
        content = pickle.loads((sample_3dpw / '3dpw' / path).read_bytes())
        assert content['sequence'] == Path(path).stem
        people.append(len(content['jointPositions']))
        for positions in content['jointPositions']:
            assert positions.shape == (frames, 3 * len(THREEDPW.joints)) and positions.dtype == np.float64
            head = positions.reshape(frames, -1, 3)[:, THREEDPW.joints.index('head'), 1]
            assert head.min() > 0.5 and head.max() < 2.5
    assert set(people) == {1, 2}


def test_same_seed_same_bytes():
    path = 'train/soccer/soccer_1.txt'
    first, again, other = (synthetic.encode('cmu', path, 50, synthetic.file_rng(path, seed))
                           for seed in (0, 0, 1))
    assert first == again != other


def test_refuses_a_folder_it_did_not_make(tmp_path):
    recording = tmp_path / '3dpw/sequenceFiles/train/courtyard_basketball_00.pkl'
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b'recording')
    with pytest.raises(ValueError, match='not synthetic data'):
        synthetic.write('3dpw', tmp_path)
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == [recording]
    assert recording.read_bytes() == b'recording'


def test_a_second_run_replaces_its_own_files_and_no_others(tmp_path, monkeypatch):
    whole = synthetic.plan('3dpw')
    synthetic.write('3dpw', tmp_path)
    theirs = tmp_path / '3dpw/sequenceFiles/train/notes.txt'
    theirs.write_text('mine')
    fewer = dict(list(whole.items())[1:])
    monkeypatch.setattr(synthetic, 'plan', lambda dataset, seed: fewer)
    written = synthetic.write('3dpw', tmp_path)
    assert written == fewer
    assert set(tmp_path.rglob('*.pkl')) == {tmp_path / '3dpw' / path for path in fewer}
    assert theirs.read_text() == 'mine'
    monkeypatch.setattr(synthetic, 'plan',
                        lambda dataset, seed: fewer | {'sequenceFiles/train/notes.txt': 150})
    with pytest.raises(ValueError, match='not synthetic data'):
        synthetic.write('3dpw', tmp_path)


@pytest.mark.parametrize('name', BODIES)
@pytest.mark.parametrize('action', ACTIONS)
def test_motion_is_human(name, action):
    body = BODIES[name]
    fps = body.skeleton.raw_fps
    motion = make_motion(action, 4 * fps, fps=fps, rng=np.random.default_rng(0))
    _, positions, path = pose(motion, body)
    parents = np.array(body.skeleton.parents[1:])
    bones = np.linalg.norm(positions[:, 1:] - positions[:, parents], axis=-1)
    np.testing.assert_allclose(bones, np.broadcast_to(bones[0], bones.shape), atol=1e-9)
    heights = positions[..., 1]
    assert (heights[:, indices(body, 'neck')[-1]] > 0.2).all()
    assert (heights[:, indices(body, 'ankle')] < -0.15).all()
    assert path[:, 1].min() > 0.3 and path[:, 1].max() < 1.6
    speed = np.linalg.norm(np.diff(positions + path[:, None], axis=0), axis=-1) * fps
    assert speed.max() < 15
    assert positions.std(0).max() > 0.02


@pytest.mark.parametrize('name', BODIES)
def test_walking_swings_both_sides_alike_and_goes_forward(name):
    body = BODIES[name]
    fps = body.skeleton.raw_fps
    motion = make_motion('walking', 30 * fps, fps=fps, rng=np.random.default_rng(1))
    motion.angles['root'][:, 1] = 0  # heading z
    _, positions, path = pose(motion, body)
    for part in ('knee', 'ankle', 'elbow'):
        left, right = np.ptp(positions[:, indices(body, part)], axis=0)
        assert 0.75 < left[2] / right[2] < 1.35
    left_ankle, right_ankle = (positions[:, j, 2] for j in indices(body, 'ankle'))
    left_wrist, right_wrist = (positions[:, j, 2] for j in indices(body, 'wrist'))
    assert np.corrcoef(left_ankle, right_ankle)[0, 1] < -0.5
    assert np.corrcoef(left_ankle - right_ankle, left_wrist - right_wrist)[0, 1] < -0.5
    assert 0.3 < path[-1, 2] / 30 < 1.6
    hips, knees, ankles = (positions[:, indices(body, part), 2] for part in ('hip', 'knee', 'ankle'))
    assert np.min(knees - (hips + ankles) / 2) > -0.03


def test_command_reports_and_refuses(tmp_path):
    command = [sys.executable, 'tools/make_sample_data.py', str(tmp_path), '--dataset', '3dpw']
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith('3dpw: 9 files')
    (tmp_path / '3dpw' / MARKER).unlink()
    refused = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stderr.startswith('error: ')
    assert refused.stderr.count('\n') == 1
