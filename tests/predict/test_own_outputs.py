"""What comes out for one's own motion: BVH, many moments, many files, farther than the model, in Python."""
import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from own_motion import mixamo_bvh, save_checkpoint, smpl_positions, some_positions, videopose_positions

from tools.predict import main
from utils.common.cli import run_tool
from utils.common.errors import InputError
from utils.data.lookup import DATASETS
from utils.data.skeleton import CMU
from utils.mocap.bvh import read_bvh
from utils.mocap.motion import motion_of_positions
from utils.mocap.motion_files import read_motion
from utils.predict.predictor import load_predictor
from utils.predict.recordings import errors_over_time, invented_motion, slide
from utils.predict.write import write_forecast

PROJECT = Path(__file__).resolve().parents[2]
RELEASED = PROJECT / 'checkpoint' / 'cmu_short'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp('run') / 'ckpt.pth.tar', 'cmu')


@pytest.fixture(scope='module')
def predictor(checkpoint):
    return load_predictor(checkpoint)


@pytest.fixture(scope='module')
def motions():
    """Invented recordings of foreign skeletons, by the endings of their names."""
    return {'mixamo.bvh': mixamo_bvh(), 'smpl.npy': smpl_positions(), 'videopose.npy': videopose_positions()}


GIVEN = {'mixamo.bvh': {}, 'smpl.npy': {'fps': 30, 'units': 'm'}, 'videopose.npy': {'fps': 50, 'units': 'm'}}


def write_motion(folder, name, content):
    (folder / name).write_text(content) if name.endswith('.bvh') else np.save(folder / name, content)
    return folder / name


# In Python

def test_the_three_lines_take_every_type(checkpoint):
    positions = smpl_positions(1)
    predictor = load_predictor(str(checkpoint))
    expected = predictor(positions, fps=30, units='m')
    assert expected.shape == (6, 38, 3) and load_predictor(Path(checkpoint)).output_n == 6
    tensor = torch.from_numpy(positions).requires_grad_()
    flat = positions.reshape(30, -1)
    for same in (positions.tolist(), positions.astype(np.float32), tensor, flat, flat.tolist()):
        assert np.allclose(predictor(same, fps=30, units='m'), expected, atol=0.01)
    other = smpl_positions(1, seed=9)
    batch = np.stack([positions, other])
    for same in (batch, batch.tolist(), torch.from_numpy(batch), batch.reshape(2, 30, -1),
                 [positions, other]):
        futures = predictor(same, fps=30, units='m')
        assert futures.shape == (2, 6, 38, 3) and np.allclose(futures[0], expected, atol=0.01)
        assert np.allclose(futures[1], predictor(other, fps=30, units='m'), atol=0.01)


@pytest.mark.parametrize('positions, said', [
    ([], 'positions of shape (0,)'), ('walk', 'positions must be numbers'),
    ([[1, 2], [3]], 'positions must be numbers'), (None, 'positions must be numbers'),
    (np.zeros((0, 30, 24, 3)), 'an empty batch'), (np.zeros((30, 24, 2)), 'positions of shape'),
    (np.full((30, 24, 3), np.nan), 'finite numbers'), (np.zeros((1, 24, 3)), '2 or more frames'),
    (np.ones((30, 5, 3)), '5 joints: a cmu model takes its own 38'),
])
def test_what_does_not_fit_is_said_in_one_line(predictor, positions, said):
    with pytest.raises(InputError) as error:
        predictor(positions, fps=30, units='m')
    assert said in str(error.value) and '\n' not in str(error.value)


# Foreign skeletons with the released network

@pytest.mark.parametrize('name', GIVEN)
def test_foreign_skeletons_are_predicted_better_than_by_holding_the_last_pose(name, motions, tmp_path):
    try:
        predictor = load_predictor(RELEASED)
    except InputError as error:
        if 'do not fit this version' not in str(error):
            raise
        pytest.skip('the released weights are of another version of the network')
    motion = read_motion(write_motion(tmp_path, name, motions[name]), 'cmu', **GIVEN[name])
    _, errors, still = errors_over_time(slide(predictor, motion, 10), motion.fps)
    assert len(errors) >= 5 and (errors.mean(0) < 0.8 * still.mean(0)).all()


@pytest.mark.parametrize('name', GIVEN)
def test_what_is_drawn_is_upright_with_left_on_the_left(name, motions, predictor, tmp_path):
    motion = read_motion(write_motion(tmp_path, name, motions[name]), 'cmu', **GIVEN[name])
    place = CMU.joints.index
    for world in (False, True):
        forecast = predictor.forecast(motion, world=world)
        assert np.ptp([pose[place('Head'), 1] for pose in forecast.observed]) < 200
        for pose in forecast.observed:
            assert pose[place('Head'), 1] - pose[place('LeftFoot'), 1] > 1000
            left = pose[place('LeftUpLeg')] - pose[place('RightUpLeg')]
            ahead = np.cross(left, pose[place('Head')] - pose[0])
            assert (pose[place('LeftToeBase')] - pose[place('LeftFoot')]) @ ahead > 0
            assert (pose[place('LeftForeArm')] - pose[place('RightForeArm')]) @ left > 0
    assert predictor.forecast(motion).observed[-1][place('LeftUpLeg'), 0] > 30


def test_lengths_of_the_prediction_are_the_persons_own(predictor):
    motion = motion_of_positions(smpl_positions() * 0.8, 'cmu', fps=30, units='m')
    forecast = predictor.forecast(motion)
    own = smpl_positions() * 800
    shin = np.linalg.norm(own[:, 7] - own[:, 4], axis=-1)
    ankle, knee = CMU.joints.index('LeftFoot'), CMU.joints.index('LeftLeg')
    predicted, observed = (np.linalg.norm(poses[:, ankle] - poses[:, knee], axis=-1)
                           for poses in (forecast.future, forecast.observed))
    assert shin.std() < 1e-6 and observed == pytest.approx(shin[0], rel=0.01)
    assert abs(predicted[0] / shin[0] - 1) < 0.2


# BVH out

@pytest.mark.parametrize('dataset', ['cmu', 'h36m', '3dpw'])
def test_bvh_reads_back_as_the_same_positions(dataset, tmp_path):
    predictor = load_predictor(save_checkpoint(tmp_path / 'ckpt.pth.tar', dataset))
    motion = motion_of_positions(smpl_positions(), dataset, fps=30, units='m')
    forecast = predictor.forecast(motion, world=True)
    path = tmp_path / 'future.bvh'
    write_forecast(path, forecast, predictor.skeleton, with_observed=True)
    back = read_bvh(path)
    expected = np.concatenate([forecast.observed, forecast.future])
    columns = [list(back.joints).index(joint) for joint in predictor.skeleton.joints]
    assert np.abs(10 * back.positions()[:, columns] - expected).max() < 0.1
    assert back.fps == pytest.approx(predictor.fps, abs=0.01) and len(back.values) == 16
    again = read_motion(path, dataset)
    assert again.known.all() and any('unit cm (assumed' in note for note in again.notes)
    # Bones point where they should: turned and at its rest length, each stays near where it is.
    children = [joint for joint, parent in enumerate(predictor.skeleton.parents) if parent > 0]
    ends = [back.joints[predictor.skeleton.joints[joint]].offset for joint in children]
    assert sum(np.linalg.norm(end) > 1 for end in ends) > 12


# Many moments, many files, farther than the model

def test_every_slides_over_a_recording(checkpoint, predictor, tmp_path, capsys):
    positions = some_positions('cmu', 60, fps=60)
    np.save(tmp_path / 'a.npy', positions)
    words = [str(checkpoint), str(tmp_path / 'a.npy'), '--fps', '60', '--units', 'mm', '--every', '10']
    assert run_tool(main,
                    [*words, '--out', str(tmp_path / 'f.npy'), '--out', str(tmp_path / 'f.csv'), '--pictures',
                     str(tmp_path / 'pictures')]) == 0
    said = capsys.readouterr().out
    lasts = list(range(9, 60, 10))
    assert (f'predicted from {len(lasts)} moments, after frames 9 to 59; of 5 the recording has the whole '
            'future' in said)
    futures = np.load(tmp_path / 'f.npy')
    assert np.allclose(futures[2], predictor(positions, fps=60, units='mm', last=29), atol=1e-9)
    rows = list(csv.DictReader((tmp_path / 'f.csv').open()))
    assert [row['last_frame'] for row in rows[::6]] == [str(last) for last in lasts]
    table = list(csv.DictReader((tmp_path / 'pictures/a_errors.csv').open()))
    expected = np.linalg.norm(futures[2, -1] - positions[35], axis=-1).mean()
    assert len(table) == 5 and float(table[2]['predicted_100_ms']) == pytest.approx(expected, abs=0.02)
    assert (tmp_path / 'pictures/a_errors.png').read_bytes().startswith(b'\x89PNG')
    for more, problem in ((['--last', '3'], 'leave --last out'), (['--out', 'x.bvh'], 'write .npy, .csv'),
                          (['--observed'], 'leave --obs')):
        assert run_tool(main, [*words, *more]) == 2 and problem in capsys.readouterr().err


def test_several_files_and_a_folder(checkpoint, tmp_path, capsys):
    recordings = tmp_path / 'recordings'
    recordings.mkdir()
    np.save(recordings / 'a.npy', some_positions('cmu', 30, fps=60))
    np.save(recordings / 'b.npy', some_positions('cmu', 30, fps=60, seed=4))
    (recordings / '._a.npy').write_bytes(b'\0')
    (recordings / 'notes.md').write_text('not a recording')
    words = [str(checkpoint), str(recordings), '--fps', '60', '--units', 'mm', '--out',
             str(tmp_path / 'future.npy')]
    assert run_tool(main, words) == 0
    assert sorted(path.name for path in tmp_path.glob('*.npy')) == ['a_future.npy', 'b_future.npy']
    assert not np.allclose(np.load(tmp_path / 'a_future.npy'), np.load(tmp_path / 'b_future.npy'))
    np.save(recordings / 'c.npy', np.zeros((4, 4)))
    capsys.readouterr()
    assert run_tool(main, words) == 2
    said = capsys.readouterr().err
    assert 'c.npy: ' in said and '1 of 3 recordings could not be predicted' in said.splitlines()[-1]
    assert run_tool(main, [*words, str(recordings / 'a.npy')]) == 2
    assert 'two recordings of one name' in capsys.readouterr().err
    (tmp_path / 'empty').mkdir()
    assert run_tool(main, [str(checkpoint), str(tmp_path / 'empty')]) == 2
    assert 'holds no recording' in capsys.readouterr().err


def test_farther_than_the_model(checkpoint, predictor, tmp_path, capsys):
    motion = motion_of_positions(some_positions('cmu', 30, fps=60), 'cmu', fps=60, units='mm')
    short, long = predictor.forecast(motion), predictor.forecast(motion, frames=15)
    assert long.future.shape == (15, 38, 3) and np.array_equal(long.future[:6], short.future)
    observed = motion.at(np.arange(20, 30) / 60)
    first = predictor.predict(observed)
    second = predictor.predict(np.concatenate([observed, first])[-10:])
    whole = predictor.predict(observed, 15)
    assert np.allclose(whole[:12], np.concatenate([first, second]), atol=1e-4)
    np.save(tmp_path / 'a.npy', some_positions('cmu', 30, fps=60))
    words = [str(checkpoint), str(tmp_path / 'a.npy'), '--fps', '60', '--units', 'mm']
    assert run_tool(main, [*words, '--frames', '15']) == 0
    assert 'from 116.7 ms on it is a continuation' in capsys.readouterr().out
    assert run_tool(main, [*words, '--frames', '6']) == 0 and 'continuation' not in capsys.readouterr().out
    assert run_tool(main, [*words, '--frames', '0']) == 2
    assert 'argument --frames: 0 is below 1' in capsys.readouterr().err


@pytest.mark.parametrize('dataset', DATASETS)
def test_invented_motion_needs_no_file(dataset, tmp_path, capsys):
    checkpoint = save_checkpoint(tmp_path / 'ckpt.pth.tar', dataset)
    motion = invented_motion(dataset)
    assert motion.known.all() and len(motion.body) / motion.fps == pytest.approx(4)
    words = [str(checkpoint), '--invented', 'walking', '--last', '90']
    assert run_tool(main, [*words, '--out', str(tmp_path / 'look.html')]) == 0
    assert f'written: {tmp_path / "look.html"}' in capsys.readouterr().out
    assert '<html' in (tmp_path / 'look.html').read_text()
    assert run_tool(main, [str(checkpoint), '--invented', 'flying']) == 2
    assert 'no such action' in capsys.readouterr().err
    assert run_tool(main, [str(checkpoint)]) == 2
    assert 'name a MOTION, or --invented' in capsys.readouterr().err


def test_notes_are_printed(checkpoint, tmp_path, capsys):
    (tmp_path / 'a.bvh').write_text(mixamo_bvh(1))
    assert run_tool(main, [str(checkpoint), str(tmp_path / 'a.bvh')]) == 0
    said = capsys.readouterr().out
    assert 'joints as in mixamo' in said and 'placed by rule, as the file lacks them: ' in said
    assert 'note: unit cm (assumed' in said
