"""Prediction for a person's own motion: kinds of files, frame rates, units, frames of reference, refusals."""
import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from asf_sample import write_trial
from own_motion import bvh_text, save_checkpoint, some_positions, world_positions
from scipy.spatial.transform import Rotation

from tools.predict import main
from utils.common.cli import run_tool
from utils.common.errors import InputError
from utils.data.cmu import DATASET
from utils.data.kinematics import joint_positions
from utils.data.lookup import DATASETS
from utils.data.skeleton import CMU, H36M
from utils.data.windows import build_windows
from utils.mocap.motion import motion_of_positions
from utils.mocap.motion_files import read_motion
from utils.predict.predictor import load_predictor
from utils.predict.stream import Stream
from utils.predict.trained import load_trained, without_symmetry

PROJECT = Path(__file__).resolve().parents[2]
SCALE = CMU.mm_scale_to_true


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp('checkpoints')
    return {dataset: save_checkpoint(folder / f'{dataset}.pth.tar', dataset) for dataset in DATASETS}


@pytest.fixture(scope='module')
def predictor(checkpoints):
    return load_predictor(checkpoints['cmu'])


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """One motion as 98_01.amc (with 98.asf), .txt, .bvh, and .npy of world positions in m."""
    folder = tmp_path_factory.mktemp('motion')
    rows = write_trial(folder, frames=41)
    (folder / 'motion.bvh').write_text(bvh_text(rows[1:]))
    text = bvh_text(rows[1:], 'XZY')
    (folder / 'other.bvh').write_text(text.replace('Xposition Yposition', 'Xposition  Yposition'))
    np.save(folder / 'motion.npy', world_positions(rows[1:]) / 1000)
    return folder


def test_prediction_is_the_engines_own(predictor, files, tmp_path):
    file = tmp_path / 'test/walking/walking_1.txt'
    file.parent.mkdir(parents=True)
    shutil.copy(files / 'motion.txt', file)
    windows = build_windows(DATASET, tmp_path, 'test', input_n=10, output_n=6, dct_n=8, skip_rate=1,
                            test_sample_num=-1, device=torch.device('cpu'))
    for index in (0, 3, len(windows) - 1):
        batch, source = windows.batch(torch.tensor([index])), windows.source(index)
        with torch.inference_mode():
            expected = predictor.model(batch.observed, batch.coefficients).fused[0].numpy()
        motion = read_motion(tmp_path / source.file, 'cmu')
        forecast = predictor.forecast(motion, last=2 * (source.start + 9))
        predicted = forecast.future[:, list(CMU.predicted)].reshape(6, -1)
        assert np.abs(predicted / SCALE - expected).max() < 0.02
        # And it does predict something.
        assert np.abs(predicted / SCALE - batch.observed[0, -1].numpy()).max() > 1
        assert np.abs(forecast.truth / SCALE - batch.future_all[0].view(6, 38, 3).numpy()).max() < 0.01
        assert forecast.future_ms == pytest.approx([1000 / 60 * k for k in range(1, 7)])
        assert forecast.observed_ms == pytest.approx([1000 / 60 * k for k in range(-9, 1)])
        copies = forecast.future[:, list(CMU.copied)], forecast.future[:, list(CMU.copied_from)]
        assert np.array_equal(*copies)


def test_every_kind_of_file_gives_the_same_prediction(predictor, files):
    expected = predictor.forecast(read_motion(files / 'motion.txt', 'cmu'))
    for name, options in {'98_01.amc': {}, 'motion.bvh': {}, 'other.bvh': {},
                          'motion.npy': {'fps': 120, 'units': 'm'}}.items():
        forecast = predictor.forecast(read_motion(files / name, 'cmu', **options))
        assert np.abs(forecast.observed - expected.observed).max() < 0.01, name
        assert np.abs(forecast.future - expected.future).max() < 0.02, name
    assert np.abs(expected.future - expected.observed[-1]).max() > 1


def test_in_the_world_the_last_observed_pose_is_where_it_was_recorded(predictor, files):
    recorded = 1000 * np.load(files / 'motion.npy')[-1]
    for name, options in {'98_01.amc': {}, 'motion.txt': {}, 'motion.bvh': {'units': 'asf'},
                          'motion.npy': {'fps': 120, 'units': 'm'}}.items():
        motion = read_motion(files / name, 'cmu', **options)
        body, world = predictor.forecast(motion), predictor.forecast(motion, world=True)
        assert np.abs(world.observed[-1] - recorded).max() < 0.1, name
        lengths = [np.linalg.norm(f.future - f.future[:, :1], axis=-1) for f in (body, world)]
        assert np.allclose(*lengths, atol=1e-6)
    assert np.abs(recorded).max() > 900


def test_api_takes_positions(checkpoints):
    positions = some_positions('cmu', 40, fps=60)
    predictor = load_predictor(checkpoints['cmu'])
    future = predictor(positions, fps=60, units='mm')
    assert future.shape == (6, 38, 3)
    with torch.inference_mode():
        seen = torch.from_numpy(positions[30:] / SCALE)[:, list(CMU.predicted)].float().flatten(1)
        expected = predictor.model(seen[None]).fused[0].numpy() * SCALE
    assert np.abs(future[:, list(CMU.predicted)].reshape(6, -1) - expected).max() < 0.02
    for other, units in ((positions / 10, 'cm'), (positions / 1000, 'm'), (positions / 25.4, 'in')):
        assert np.allclose(predictor(other, fps=60, units=units), future, atol=0.02)
    assert np.array_equal(predictor(positions.reshape(40, -1), fps=60, units='mm'), future)
    earlier = predictor(positions, fps=50, units='mm', last=25)  # the frames after it are not looked at
    assert np.array_equal(earlier, predictor(positions[:26], fps=50, units='mm'))
    assert np.abs(earlier - future).max() > 1


def test_same_rate_is_the_frames_themselves():
    positions = some_positions('cmu', 30, fps=60)
    motion = motion_of_positions(positions, 'cmu', fps=60, units='mm')
    assert np.abs(motion.body - positions / SCALE).max() < 1e-6
    assert np.abs(motion.at(np.arange(30) / 60) - motion.body).max() < 1e-6


@pytest.mark.parametrize('fps', [30, 48, 100, 240])
def test_other_rates_are_interpolated(predictor, fps):
    expected = some_positions('cmu', 61, fps=60)[-10:]
    positions = some_positions('cmu', fps + 1, fps=fps)  # one second
    observed = predictor.forecast(motion_of_positions(positions, 'cmu', fps=fps, units='mm')).observed
    assert np.abs(observed - expected).max() < 0.2
    assert np.abs(positions[-10:] - expected).max() > 5  # the frames as they come are another motion


@pytest.mark.parametrize('dataset', ['cmu', 'h36m'])
def test_where_and_how_the_person_stands_does_not_matter(checkpoints, dataset):
    predictor = load_predictor(checkpoints[dataset])
    skeleton = DATASETS[dataset].skeleton
    body = some_positions(dataset, 30, fps=predictor.fps)
    expected = predictor.forecast(motion_of_positions(body, dataset, fps=predictor.fps, units='mm'))
    turn = Rotation.from_euler('yx', np.stack([np.linspace(0, 170, 30), np.linspace(-20, 30, 30)], -1),
                               degrees=True).as_matrix()
    walk = np.linspace([0, 900, 0], [700, 950, 2000], 30)
    world = np.einsum('fij,fpj->fpi', turn, body) + walk[:, None]
    motion = motion_of_positions(world, dataset, fps=predictor.fps, units='mm')
    assert np.abs(motion.body * skeleton.mm_scale_to_true - body).max() < 1e-6
    assert np.abs(predictor.forecast(motion).future - expected.future).max() < 0.02
    back = predictor.forecast(motion, world=True)
    assert np.abs(back.observed[-1] - world[-1]).max() < 1e-6
    assert np.abs(back.future - (expected.future @ turn[-1].T + walk[-1])).max() < 0.02


def test_h36m_without_a_spine_of_its_own_uses_the_chest(checkpoints):
    rest = joint_positions(np.zeros((12, 32, 3)), H36M)
    positions = rest.copy()
    positions[:, H36M.joints.index('Spine')] = positions[:, 0]
    turned = positions @ Rotation.from_euler('y', 50, degrees=True).as_matrix().T
    motion = motion_of_positions(turned, 'h36m', fps=25, units='mm')
    assert np.abs(motion.body - rest).max() < 1e-6


def test_3dpw_keeps_its_rotation(checkpoints):
    predictor = load_predictor(checkpoints['3dpw'])
    positions = some_positions('3dpw', 20, fps=30)
    future = predictor(positions + [500, 0, 70], fps=30, units='mm')
    assert np.abs(future - predictor(positions, fps=30, units='mm')).max() < 0.02
    turned = positions @ Rotation.from_euler('y', 90, degrees=True).as_matrix().T
    assert np.abs(motion_of_positions(turned, '3dpw', fps=30, units='mm').body - turned).max() < 1e-9


def test_input_is_left_as_it_is(predictor):
    positions = some_positions('cmu', 20, fps=60)
    before = positions.copy()
    predictor(positions, fps=60, units='mm')
    assert np.array_equal(positions, before)


def test_command_writes_npy_and_csv(checkpoints, files, tmp_path):
    done = subprocess.run([sys.executable, 'tools/predict.py', checkpoints['cmu'], files / '98_01.amc',
                           '--last', '24', '--out', tmp_path / 'future.csv', '--out',
                           tmp_path / 'future.npy'],
                          cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '16.7 to 100.0 ms ahead' in done.stdout and 'mean error in true mm at 17 ms' in done.stdout
    future = np.load(tmp_path / 'future.npy')
    rows = list(csv.reader((tmp_path / 'future.csv').open()))
    assert future.shape == (6, 38, 3) and len(rows) == 7
    assert rows[0] == ['time_ms', *(f'{joint}_{axis}_mm' for joint in CMU.joints for axis in 'xyz')]
    table = np.array(rows[1:], dtype=float)
    assert np.abs(table[:, 0] - 1000 / 60 * np.arange(1, 7)).max() < 1e-3
    assert np.abs(table[:, 1:] - future.reshape(6, -1)).max() < 1e-3
    expected = load_predictor(checkpoints['cmu']).forecast(read_motion(files / '98_01.amc', 'cmu'),
                                                           last=24).future
    assert np.array_equal(future, expected)


def spoiled(text_of, old, new):
    """A maker of a damaged copy of one of the files."""

    def make(files, folder):
        (folder / '98.asf').write_bytes((files / '98.asf').read_bytes())
        text = (files / text_of).read_text()
        assert old in text
        path = folder / text_of
        path.write_text(text.replace(old, new, 1))
        return path

    return make


def array(values):
    def make(files, folder):
        np.save(folder / 'a.npy', values)
        return folder / 'a.npy'

    return make


def known(name):
    return lambda files, folder: files / name


GOOD = some_positions('cmu', 30, fps=60)
NPY = ['--fps', '60', '--units', 'mm']


@pytest.mark.parametrize('make, arguments, problem', [
    (array(GOOD), [], 'does not tell its frame rate: add --fps'),
    (array(GOOD), ['--fps', '60'], 'does not tell its unit: add --units'),
    (array(GOOD), ['--fps', '0', '--units', 'mm'], 'no camera has that'),
    (array(GOOD), ['--fps', '6_0', '--units', 'mm'], "invalid number value: '6_0'"),
    (array(GOOD), ['--fps', 'nan', '--units', 'mm'], 'nan is not finite'),
    (array(GOOD), [*NPY, '--last', '2_0'], "invalid whole number value: '2_0'"),
    (array(GOOD), [*NPY, '--every', '0'], '0 is below 1'),
    (array(GOOD), ['--fps', '60', '--units', 'm'], 'nobody is that size; check the units (m)'),
    (array(GOOD), ['--fps', '60', '--units', 'ell'], 'invalid choice'),
    (array(GOOD[:, :25]), NPY, '25 joints: a cmu model takes its own 38'),
    (array(GOOD[:, :, :2]), NPY, 'takes 2 or more frames as (F, J, 3) or (F, 3 J)'),
    (array(GOOD[:9]), NPY, '9 frames at 60 fps up to the last observed one'),
    (array(GOOD[:18]), ['--fps', '120', '--units', 'mm'], 'so it takes 19'),
    (array(GOOD), [*NPY, '--last', '30'], 'the motion has frames 0 to 29'),
    (array(GOOD), [*NPY, '--last', '8'], 'so it takes 10'),
    (array(GOOD * [1, 1, np.nan]), NPY, 'finite numbers'),
    (array(GOOD * [1, 0, 0]), NPY, 'on one line with the root'),
    (array(np.array([object()])), NPY, 'is not a readable .npy'),
    (known('none.npy'), NPY, 'none.npy'),
    (known('none.amc'), [], 'its skeleton none.asf is neither beside it'),
    (known('98.asf'), [], 'is none of .npy, .txt, .amc, .bvh'),
    (known('98_01.amc'), ['--units', 'm'], 'leave --units out'),
    (known('motion.txt'), ['--asf', 'x.asf'], '--asf belongs to an .amc file'),
    (known('motion.bvh'), ['--world', '--units', 'm'], 'nobody is that size; check the units (m)'),
    (known('motion.txt'), ['--out', 'future.txt'], 'write .npy, .csv, .bvh, .html'),
    (known('motion.txt'), ['--out', 'nowhere/future.npy'], 'no folder nowhere'),
    (spoiled('motion.txt', ',', ',x'), [], 'line 1'),
    (spoiled('98_01.amc', 'head ', 'heat '), [], 'heat: the skeleton has no such bone'),
    (spoiled('motion.bvh', 'JOINT LeftLeg', 'JOINT LeftTibia'), [],
     'left_knee not found with the names of CMU, Mixamo,'),
    (spoiled('motion.bvh', 'OFFSET 2.5972 -7.13576 0', 'OFFSET 0 0 0'), [],
     'left_hip and left_knee are at one place: the bone between them has no length'),
    (spoiled('motion.bvh', 'Zrotation', 'Wrotation'), [], 'line 5: CHANNELS'),
    (spoiled('motion.bvh', 'Frames: 41', 'Frames: 42'), [], 'cut off: 41 frames of the 42'),
    (spoiled('motion.bvh', 'Frame Time: 0.0083333\n', 'Frame Time: 0.0083333\n1 '), [],
     'values, expected 96'),
    (spoiled('motion.bvh', 'HIERARCHY', 'HELLO'), [], 'line 1: HELLO'),
])
def test_what_cannot_fit_is_one_line(checkpoints, files, tmp_path, capsys, make, arguments, problem):
    path = make(files, tmp_path)
    capsys.readouterr()
    assert run_tool(main, [str(checkpoints['cmu']), str(path), *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith('error: ') and problem in message and len(message.splitlines()) == 1


def test_output_never_replaces_the_input(checkpoints, tmp_path, capsys):
    path = array(GOOD)(None, tmp_path)
    before = path.read_bytes()
    assert run_tool(main, [str(checkpoints['cmu']), str(path), *NPY, '--out', str(path)]) == 2
    assert 'never written to' in capsys.readouterr().err and path.read_bytes() == before


def test_checkpoints_that_do_not_fit_are_refused(checkpoints, tmp_path):
    state = torch.load(checkpoints['cmu'], weights_only=True)
    for change, problem in (({'d_model': 3}, 'do not fit this version'),
                            ({'dataset': 'h36m'}, '75 coordinates, Human3.6M has 66'),
                            ({'dataset': 'amass'}, 'do not fit this version')):
        torch.save({**state, 'options': state['options'] | change}, tmp_path / 'bad.pth.tar')
        with pytest.raises(InputError, match=problem):
            load_predictor(tmp_path / 'bad.pth.tar')
    with pytest.raises(InputError, match='no checkpoint there'):
        load_predictor(tmp_path / 'none.pth.tar')
    with pytest.raises(InputError, match='.amc is not read for a h36m model'):
        read_motion('x.amc', 'h36m')


def test_huge_weights_lead_to_no_file_of_numbers_that_are_none(checkpoints, tmp_path, capsys):
    saved = torch.load(checkpoints['cmu'])
    for name, weights in saved['model'].items():
        if weights.is_floating_point() and 'running' not in name:
            weights.mul_(1e12)
    torch.save(saved, tmp_path / 'huge.pth.tar')
    positions = some_positions('cmu', 40, 120)
    np.save(tmp_path / 'own.npy', positions)
    said = 'huge.pth.tar: the network does not predict numbers'
    words = [tmp_path / 'huge.pth.tar', tmp_path / 'own.npy', '--fps', 120, '--units', 'mm',
             '--out', tmp_path / 'future.csv']
    assert run_tool(main, list(map(str, words))) == 2
    assert said in capsys.readouterr().err and not (tmp_path / 'future.csv').exists()
    trained = without_symmetry(load_trained(tmp_path / 'huge.pth.tar'))
    with pytest.raises(InputError, match=said):
        trained.model(torch.zeros(1, trained.settings['input_n'], trained.settings['node_n']) + 100)
    predictor = load_predictor(tmp_path / 'huge.pth.tar')
    stream = Stream(predictor)
    with pytest.raises(InputError, match=said):
        for pose in positions[: predictor.input_n]:
            stream.push(pose)


def test_real_trial_and_benchmark_file_give_the_same_prediction(real_cmu, predictor):
    if not (real_cmu / 'asf').is_dir():
        pytest.skip('the raw trial 14_12 is not on this machine')
    trial = predictor.forecast(read_motion(real_cmu / 'asf/14_12.amc', 'cmu'), last=1000, world=True)
    file = predictor.forecast(read_motion(real_cmu / 'cmu_mocap/test/washwindow/washwindow_1.txt', 'cmu'),
                              last=1001, world=True)
    for part in ('observed', 'future', 'truth'):
        assert np.abs(getattr(trial, part) - getattr(file, part)).max() < 0.05
