"""The file of every window's errors, and the measures beside MPJPE, against sums written out."""
import io
import math
import zipfile

import numpy as np
import pytest
import torch

from utils.data.cmu import DATASET
from utils.data.dataset import Recording
from utils.data.windows import cut_windows
from utils.evaluate.methods import score_methods
from utils.evaluate.metrics import up_to_frame
from utils.evaluate.results import (
    NETWORK,
    PREDICTED,
    json_dict,
    read_results,
    read_window_errors,
    results_of,
)
from utils.evaluate.window_errors import from_bytes, to_bytes
from utils.report.page import write_all

FRAMES, JOINTS = 4, len(DATASET.skeleton.joints)


@pytest.fixture(scope='module')
def scored():
    """Recordings of two actions, one file with two persons, their windows, and the scores of a predictor."""
    generator = np.random.default_rng(0)
    recordings = [Recording(action, f'{action}_1',
                            60 * generator.standard_normal((length, JOINTS, 3), np.float32))
                  for action, length in (('walking', 10), ('walking', 9), ('soccer', 12))]
    windows = cut_windows(DATASET, recordings, 'test', input_n=4, output_n=FRAMES, dct_n=4, skip_rate=1,
                          test_sample_num=-1, device=torch.device('cpu'), missing=[])
    scores = score_methods(lambda observed, _: observed[:, :1].expand(-1, FRAMES, -1), windows, DATASET,
                           batch_size=4)
    return recordings, windows, scores


def results_from(windows, scores):
    return results_of(windows, DATASET, protocol='all', epoch=1, selected_on='validation',
                      methods=scores.methods, motion=scores.motion, pck=scores.pck, parameters=1,
                      sample=False, checkpoint={})


def distances(recordings, errors, window):
    """Distances of a window's predicted joints from their place, from the recording that its id names."""
    file, person = errors.files[errors.recording[window]], errors.persons[errors.recording[window]]
    frames = [recording.frames for recording in recordings if recording.source == file][person]
    start = errors.start[window]
    return [[math.dist(frames[start][j], frames[start + 4 + t][j]) for j in DATASET.skeleton.predicted]
            for t in range(FRAMES)]


def test_every_window_has_its_errors_under_its_own_name(scored, tmp_path):
    recordings, windows, scores = scored
    errors = from_bytes(to_bytes(scores.of_windows))
    assert len(errors.start) == len(windows) == 3 + 2 + 5 and errors.all_joints.dtype == np.float32
    for window in range(len(windows)):
        found = distances(recordings, errors, window)
        means = [sum(row) / len(row) for row in found]
        assert errors.predicted_joints[window] == pytest.approx(means, rel=1e-5)
        assert errors.actions[errors.action[window]] == ('walking' if window < 5 else 'soccer')
    for name, of_windows in ((NETWORK, errors.all_joints), (PREDICTED, errors.predicted_joints)):
        means = [of_windows[:5].mean(0), of_windows[5:].mean(0)]
        assert scores.methods[name]['avg'] == pytest.approx(np.mean(means, axis=0), rel=1e-5)


def test_the_other_measures_are_what_the_protocol_says(scored, tmp_path):
    recordings, windows, scores = scored
    results = results_from(windows, scores)
    content = json_dict(results)
    soccer = [distances(recordings, scores.of_windows, window) for window in range(5, 10)]
    for t in range(FRAMES):
        for limit in (50, 100):
            near = [distance <= limit for window in soccer for distance in window[t]]
            assert content['pck_percent'][str(limit)][NETWORK]['soccer'][t] == pytest.approx(
                100 * sum(near) / len(near), abs=1e-3)
        until = [sum(frame) / len(frame) for window in soccer for frame in window[: t + 1]]
        assert content['mpjpe_up_to_frame'][PREDICTED]['soccer'][t] == pytest.approx(
            sum(until) / len(until), rel=1e-5)
    last = [distance for window in soccer for distance in window[-1]]
    final = content['final_displacement'][PREDICTED]['soccer']
    assert final == pytest.approx(sum(last) / len(last), abs=1e-3)
    assert up_to_frame([2.0, 4.0, 9.0]) == [2, 3, 5]


def test_results_name_the_file_and_another_is_refused(scored, tmp_path):
    _, windows, scores = scored
    results = results_from(windows, scores)
    write_all(results, tmp_path, scores.of_windows)
    file, before = tmp_path / 'errors.npz', (tmp_path / 'errors.npz').read_bytes()
    written = read_results(tmp_path / 'results.json')
    assert np.array_equal(read_window_errors(written, tmp_path).all_joints, scores.of_windows.all_joints)
    write_all(results, tmp_path, scores.of_windows)
    assert file.read_bytes() == before and sorted(path.name for path in tmp_path.iterdir()) == [
        'errors.npz', 'results.json', 'results.md', 'test_all_eval.csv']
    file.write_bytes(to_bytes(scores.of_windows._replace(all_joints=scores.of_windows.all_joints + 1)))
    with pytest.raises(ValueError, match='is not the file that results.json beside it names'):
        read_window_errors(written, tmp_path)
    file.unlink()
    with pytest.raises(ValueError, match='are not there'):
        read_window_errors(written, tmp_path)


def spoilt(errors, **arrays):
    """The file with other arrays, however they are."""
    memory = io.BytesIO()
    np.savez(memory, **errors._asdict() | arrays)
    return memory.getvalue()


@pytest.mark.parametrize('change', [
    {'all_joints': np.array([object()])}, {'start': np.zeros(3)}, {'recording': np.full(10, 7)},
    {'held': np.full(10, np.nan, np.float32)}, {'predicted_joints': np.zeros((10, 3), np.float32)},
    {'input_n': np.zeros(2, int)}, {'action': np.zeros((10, 1), int)}, {'persons': np.zeros(1, int)}])
def test_a_spoilt_file_is_refused(scored, change):
    with pytest.raises(ValueError):
        from_bytes(spoilt(scored[2].of_windows, **change))


def test_a_file_that_promises_more_than_it_holds_is_refused(scored):
    content = to_bytes(scored[2].of_windows)
    with pytest.raises(ValueError):
        from_bytes(content[:200])
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, 'w') as archive:
        header = io.BytesIO()
        described = {'descr': '<f4', 'fortran_order': False, 'shape': (10**12,)}
        np.lib.format.write_array_header_1_0(header, described)
        archive.writestr('all_joints.npy', header.getvalue())
    with pytest.raises(ValueError, match='not whole'):
        from_bytes(memory.getvalue())
    with zipfile.ZipFile(memory := io.BytesIO(), 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('all_joints.npy', bytes(10**7))
    with pytest.raises(ValueError, match='compressed'):
        from_bytes(memory.getvalue())
