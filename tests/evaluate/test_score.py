"""Test windows as a file, and predictions for them scored like a run: what is written, equal, and refused."""
import json

import numpy as np
import pytest

from tests.conftest import TINY, numbers
from utils.common import checkpoint
from utils.data.cmu import DATASET
from utils.predict.predictor import load_predictor

INPUT_N, OUTPUT_N = 10, 10
COUNTED = list(DATASET.skeleton.predicted)


@pytest.fixture(scope='module')
def place(tiny, tmp_path_factory):
    """A folder with the file of the synthetic test windows, the future included."""
    from tools.score import main
    from utils.common.cli import run_tool

    folder = tmp_path_factory.mktemp('score')
    words = ['--windows', str(folder / 'windows.npz'), '--data_dir', str(tiny), '--with_future']
    assert run_tool(main, words) == 0
    return folder


@pytest.fixture
def score(place, tiny, run):
    """Scores predictions under the windows' ids, or others; returns exit code, tables and messages."""
    def score_predictions(predicted, name='other', **arrays):
        windows = np.load(place / 'windows.npz')
        np.savez(place / f'{name}.npz', **{'id': windows['id'], 'predicted': predicted} | arrays)
        return run(['tools/score.py', str(place / f'{name}.npz'), '--windows', str(place / 'windows.npz'),
                    '--data_dir', str(tiny), '--out', str(place / name)])
    return score_predictions


def constant_velocity(place):
    observed = np.load(place / 'windows.npz')['observed'].astype(np.float64)
    steps = np.arange(1, OUTPUT_N + 1)[:, None, None]
    return observed[:, -1:] + steps * (observed[:, -1:] - observed[:, -2:-1])


def test_the_file_of_windows_is_what_it_says(place, tiny, run):
    windows = np.load(place / 'windows.npz')
    count = len(windows['id'])
    assert windows['observed'].shape == (count, INPUT_N, 38, 3) and len(set(windows['id'])) == count
    assert windows['future'].shape == (count, OUTPUT_N, 38, 3)
    assert [str(name) for name in windows['joints'][windows['predicted'] == 1]] == [
        DATASET.skeleton.joints[joint] for joint in COUNTED]
    recorded = DATASET.read(tiny / 'cmu_mocap' / 'test' / 'walking' / 'walking_1.txt')[0]
    mine = [k for k, name in enumerate(windows['id']) if name.startswith('cmu/test/walking/walking_1.txt/0/')]
    for k in mine:
        start = int(windows['id'][k].rpartition('/')[2])
        whole = np.concatenate([windows['observed'][k], windows['future'][k]])
        assert np.array_equal(whole, recorded[start : start + INPUT_N + OUTPUT_N])
        assert windows['action'][k] == 'walking'
    assert len(mine) == len(recorded) - INPUT_N - OUTPUT_N + 1
    words = ['tools/score.py', '--windows', str(place / 'windows.npz'), '--data_dir', str(tiny)]
    code, _, log = run(words)
    assert code == 2 and 'is there already' in log
    words[2] = str(place / 'blind.npz')
    assert run(words)[0] == 0 and 'future' not in np.load(words[2])


def test_a_runs_own_predictions_have_the_runs_table(run, score, place, tiny, tmp_path):
    words = [*TINY, '--epoch', '1', '--recipe', 'short', '--exp', str(tmp_path / 'run')]
    assert run(['main_cmu_3d.py', '--data_dir', str(tiny), *words])[0] == 0
    predictor = load_predictor(tmp_path / 'run' / checkpoint.BEST)
    observed = np.load(place / 'windows.npz')['observed']
    predicted = np.stack([predictor.predict(window) for window in observed])
    code, page, log = score(predicted, 'again')
    assert code == 0, log
    folders = tmp_path / 'run', place / 'again'
    own, theirs = (json.loads((folder / 'results.json').read_text()) for folder in folders)
    assert theirs['network'] == 'again' and own['windows'] == theirs['windows']
    for name, table in own['methods'].items():
        for action, errors in table.items():
            assert theirs['methods'][name.replace('KSOF', 'again')][action] == pytest.approx(errors, abs=0.01)
    assert 'predictions in again.npz' in ' '.join(page.split()) and 'again predicted joints only' in page
    errors = [np.load(folder / 'errors.npz') for folder in folders]
    assert np.allclose(errors[0]['all_joints'], errors[1]['all_joints'], atol=0.01)
    assert np.array_equal(errors[0]['start'], errors[1]['start'])


def test_the_scored_folder_is_compared_and_not_overwritten(score, place, run, tmp_path):
    predicted = constant_velocity(place)
    code, page, log = score(predicted, 'velocity')
    assert code == 0, log
    methods = json.loads((place / 'velocity' / 'results.json').read_text())['methods']
    assert methods['velocity']['avg'] == pytest.approx(methods['constant velocity']['avg'], abs=0.01)
    assert score(predicted, 'velocity')[0] == 0, 'the same file may be scored again'
    code, _, log = score(predicted + 0.5, 'velocity')
    assert code == 2 and 'holds a run or the tables of other predictions' in log
    held = np.load(place / 'windows.npz')['observed'][:, -1:].repeat(OUTPUT_N, axis=1)
    assert score(held, 'held')[0] == 0
    folders = [str(place / name) for name in ('velocity', 'held')]
    code, shown, log = run(['tools/compare.py', *folders, '--paired', '--out', str(tmp_path)])
    assert code == 0 and 'held against velocity' in ' '.join(shown.split()), log
    code, shown, _ = run(['tools/compare.py', *folders])
    assert code == 0 and numbers(shown)


@pytest.mark.parametrize('change, said', [
    (lambda p: p / 1000, 'mm: it is in metres, and must be in the mm of the observed poses'),
    (lambda p: p / 10, 'it is in centimetres'),
    (lambda p: p * 56.444 / 70, 'it is in true mm'),
    (lambda p: p + [0, 900, 100], 'and all joints together by (0, 900, 10'),
    (lambda p: p + [0, 30, 0], 'the root must be at 0'),
    (lambda p: np.random.default_rng(0).permutation(p), 'the order must be that of the file of windows'),
    (lambda p: p[:, :, :, ::-1] + 0, 'it is no prediction of these poses'),
    (lambda p: p[:, :8], '8 predicted frames, not 10'),
    (lambda p: p[:-1], 'windows, not '),
    (lambda p: p[:, :, COUNTED], '25 joints (all of the skeleton), not 38'),
    (lambda p: p.reshape(len(p), OUTPUT_N, -1), 'windows, predicted frames, joints, coordinates'),
    (lambda p: p.astype(int), 'not of floating-point numbers'),
    (lambda p: np.where(p == p[3, 2, 5, 1], np.nan, p), 'is not finite'),
])
def test_what_is_not_these_windows_is_refused_by_what_gave_it_away(score, place, change, said):
    predicted = change(constant_velocity(place))
    code, page, log = score(predicted, 'wrong')
    assert (code, page) == (2, '') and said in log.splitlines()[-1], log
    assert not (place / 'wrong').exists()


def test_other_ids_and_other_files_are_refused(score, place, tiny, run):
    predicted, ids = constant_velocity(place), np.load(place / 'windows.npz')['id']
    code, _, log = score(predicted, 'wrong', id=ids[::-1])
    assert code == 2 and f'window 0 has the id {ids[-1]}, and must have {ids[0]}' in log
    code, _, log = score(predicted, 'wrong', id=ids[:5])
    assert code == 2 and 'copy its ids' in log
    np.savez(place / 'none.npz', poses=predicted)
    words = ['--windows', str(place / 'windows.npz'), '--data_dir', str(tiny)]
    code, _, log = run(['tools/score.py', str(place / 'none.npz'), *words])
    assert code == 2 and 'has no id, predicted, it has poses' in log
    np.savez_compressed(place / 'none.npz', poses=predicted)
    code, _, log = run(['tools/score.py', str(place / 'none.npz'), *words])
    assert code == 2 and 'is no file of np.savez' in log and 'compressed' in log
    words[1] = str(place / 'wrong.npz')
    code, _, log = run(['tools/score.py', str(place / 'wrong.npz'), *words])
    assert code == 2 and 'has no dataset, input_n, output_n, test_sample_num' in log
