"""tools/visualise.py: which windows it takes, what it prints and writes, what it refuses."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tools.predict
from tools.visualise import main
from utils.build import build_network, load_windows
from utils.common.cli import run_tool
from utils.data.dataset import find_root
from utils.data.lookup import DATASETS
from utils.data.windows import Windows
from utils.evaluate.metrics import frame_errors
from utils.pictures.scene import choose, scenes_of
from utils.predict.trained import load_trained

PROJECT = Path(__file__).resolve().parents[2]
SIZES = {'input_n': 10, 'output_n': 10, 'dct_n': 8, 'num_gcn': 1, 'd_model': 2, 'dropout': 0.0,
         'tcn_axis': 'time', 'topk': 'signed', 'skip_rate': 1}


def save_run(folder, dataset):
    """A run folder with a small network whose weights are no longer those that predict the last pose."""
    torch.manual_seed(0)
    options = {'dataset': dataset, 'node_n': DATASETS[dataset].skeleton.node_n, **SIZES}
    model = build_network(options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    folder.mkdir(parents=True)
    torch.save({'model': model.state_dict(), 'options': options, 'epoch': 1}, folder / 'ckpt_best.pth.tar')
    return folder


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp('runs') / 'run', 'cmu')


def windows_of(trained, data_dir, **changes):
    options = {'data_dir': str(data_dir), 'test_sample_num': -1, 'allow_missing': False, **changes}
    root = find_root(str(data_dir), trained.dataset)
    return load_windows(trained.settings | options, root, 'test', torch.device('cpu'))


@pytest.fixture(scope='module')
def scored(run, sample_cmu):
    """The network, all test windows and their errors at each frame, found the short way."""
    trained = load_trained(run / 'ckpt_best.pth.tar')
    windows = windows_of(trained, sample_cmu)
    batch = windows.batch(torch.arange(len(windows)))
    with torch.inference_mode():
        errors, _ = frame_errors(trained.model(batch.observed).fused, batch.future_all,
                                 trained.dataset.skeleton)
    return trained, windows, errors.numpy()


@pytest.fixture
def visualise(run, sample_cmu, tmp_path, capsys, monkeypatch):
    """Runs the tool in a wide terminal.

    Returns the rows of its table, (title, window, errors at the labels and mean), and the files written.
    """
    monkeypatch.setenv('COLUMNS', '200')

    def call(*arguments, folder=run, data=sample_cmu):
        code = run_tool(main,
                        [str(folder), '--data_dir', str(data), '--out', str(tmp_path / 'out'), *arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        cells = [re.split(r'\s{2,}', line) for line in out.splitlines()]
        rows = [(row[0], int(row[1]), [float(cell) for cell in row[2:]])
                for row in cells if len(row) > 3 and row[0] != 'true ms' and row[1].isdigit()]
        return rows, [Path(line.removeprefix('written: ')) for line in out.splitlines()
                      if line.startswith('written: ')]

    return call


def test_errors_are_those_of_the_metrics(visualise, scored):
    _, windows, errors = scored
    rows, _ = visualise('--window', '7', '0', '7', '--make', 'viewer')
    assert [index for _, index, _ in rows] == [7, 0]
    for title, index, shown in rows:
        expected = errors[index][[1, 3, 7, 9]]  # labels 80, 160, 320, 400
        assert shown == pytest.approx([*expected, errors[index].mean()], abs=0.006)
        source = windows.source(index)
        frames = f'frames {source.start} to {source.start + 19}'
        assert title == f'CMU mocap: {source.file}, {frames}, synthetic motion'


@pytest.mark.parametrize('sample', [-1, 8])
def test_scenes_are_the_windows(scored, sample_cmu, sample):
    trained, _, _ = scored
    windows = windows_of(trained, sample_cmu, test_sample_num=sample)
    index = len(windows) - 3
    scene, = scenes_of(trained, windows, [index])
    frames = torch.cat([torch.from_numpy(part) for part in (scene.observed, scene.truth)]).flatten(1)
    start = int(windows.starts[index])
    assert (frames == windows.frames[start: start + 20]).all()
    batch = windows.batch(torch.tensor([index]))
    with torch.inference_mode():
        fused = trained.model(batch.observed, batch.coefficients).fused
    assert (scene.predicted[:, list(trained.dataset.skeleton.predicted)].reshape(10, -1)
            == fused[0].numpy()).all()
    expected, _ = frame_errors(fused, batch.future_all, trained.dataset.skeleton)
    assert scene.mpjpe == pytest.approx(expected[0].numpy(), rel=1e-5)
    assert scene.name == f'{windows.actions[windows.action_index[index]]}_{index:06d}'


@pytest.mark.parametrize(('option', 'sign'), [('--worst', -1), ('--best', 1)])
def test_worst_and_best_are_sorted_and_apart(visualise, scored, option, sign):
    _, windows, errors = scored
    rows, _ = visualise(option, '5', '--same_recording', '--make', 'viewer')
    means, starts = [row[2][-1] for row in rows], [int(windows.starts[row[1]]) for row in rows]
    assert len(rows) == 5 and means == sorted(means, reverse=sign < 0)
    assert all(abs(a - b) >= 20 for k, a in enumerate(starts) for b in starts[:k])
    order = np.argsort(sign * errors.mean(1), kind='stable')
    assert rows[0][1] == order[0]
    # Whatever is better than the last one shown shares a frame with one that is shown before it.
    for index in order[: list(order).index(rows[-1][1])]:
        assert any(abs(int(windows.starts[index]) - start) < 20 for start in starts[:4])


@pytest.mark.parametrize(('option', 'sign'), [('--worst', -1), ('--best', 1)])
def test_worst_and_best_are_of_different_recordings(visualise, scored, option, sign):
    _, windows, errors = scored
    rows, _ = visualise(option, '3', '--make', 'viewer')
    order = np.argsort(sign * errors.mean(1), kind='stable').tolist()
    first_of_each = {}
    for index in order:
        first_of_each.setdefault(windows.source(index).file, index)
    assert [row[1] for row in rows] == list(first_of_each.values())[:3]


def test_random_windows_follow_the_seed_and_the_action(visualise, scored):
    _, windows, _ = scored
    chosen = [[row[1] for row in visualise('--random', '3', '--seed', seed, '--make', 'viewer')[0]]
              for seed in ('1', '1', '2')]
    assert chosen[0] == chosen[1] != chosen[2]
    for option in ('--random', '--worst', '--best'):
        rows, _ = visualise(option, '2', '--action', 'running', '--make', 'viewer')
        assert len(rows) == 2 and all('running' in title for title, _, _ in rows)


def test_no_more_windows_than_there_are():
    starts = torch.tensor([0, 3, 5, 12, 20])
    windows = Windows(('a',), torch.zeros(40, 3), starts, torch.zeros(5, dtype=torch.long), 2, 3,
                      torch.arange(3), torch.zeros(1, 2), [(0, 'file')])
    errors = torch.tensor([1.0, 5.0, 2.0, 3.0, 3.0])
    assert choose(errors, windows, 9, worst=True) == [1, 3, 4]
    assert choose(errors, windows, 9, worst=False) == [0, 2, 3, 4]
    assert choose(errors, windows, 2, worst=True,
                  allowed=torch.tensor([True, False, True, True, False])) == [3, 2]


def test_every_picture_is_written(visualise, tmp_path):
    pytest.importorskip('matplotlib', reason='matplotlib is not installed')
    from utils.pictures.animation import ffmpeg

    rows, written = visualise('--worst', '2', '--fps', '20')
    names = {path.name for path in written}
    assert {path.name for path in (tmp_path / 'out').iterdir()} == names
    assert all(path.stat().st_size for path in written)
    stems = {f'{title.split("/")[1]}_{index:06d}' for title, index, _ in rows}
    endings = ['strip.png', 'error.png', 'joints.png', 'motion.gif'] + ['motion.mp4'] * bool(ffmpeg())
    assert len(stems) == 2 and names == {f'{stem}_{ending}' for stem in stems
                                         for ending in endings} | {'viewer.html'}
    for path in written:
        if path.suffix in ('.png', '.gif'):
            with Image.open(path) as picture:
                assert picture.width == (900 if path.suffix == '.gif' else 1350)
                assert getattr(picture, 'n_frames', 1) == (20 if path.suffix == '.gif' else 1)


@pytest.mark.parametrize('dataset', ['h36m', '3dpw'])
def test_other_datasets(dataset, visualise, tmp_path, request):
    data = request.getfixturevalue(f'sample_{dataset}')
    folder = save_run(tmp_path / 'other', dataset)
    rows, written = visualise('--random', '1', '--make', 'viewer', folder=folder, data=data)
    assert rows[0][0].startswith(DATASETS[dataset].title) and len(rows) == 1
    assert len(rows[0][2]) == len({'h36m': (80, 160, 320, 400), '3dpw': (100, 200, 300)}[dataset]) + 1
    assert [path.name for path in written] == ['viewer.html']


def test_a_checkpoint_file_and_its_own_folder(run, sample_cmu, capsys):
    given = [str(run / 'ckpt_best.pth.tar'), '--data_dir', str(sample_cmu), '--window', '0', '--make',
             'viewer']
    assert run_tool(main, given) == 0
    assert f'written: {run / "pictures" / "viewer.html"}' in capsys.readouterr().out


def test_pictures_of_a_released_run_are_ignored_by_git():
    if not (PROJECT / '.git').exists() or not shutil.which('git'):
        pytest.skip('not in a clone, or git is not installed')
    paths = ['checkpoint/cmu_short/pictures/viewer.html', 'checkpoint/cmu_long/pictures/a_strip.png',
             'pictures/a.png']
    ignored = subprocess.run(['git', '-C', PROJECT, 'check-ignore', *paths, 'docs/pictures/strip.png'],
                             capture_output=True, text=True, check=False)
    assert ignored.stdout.split() == paths


BAD = {
    'no checkpoint there': ['{tmp}/nothing', '--data_dir', '{data}', '--window', '0'],
    'is not a readable checkpoint': ['{tmp}/broken.pth.tar', '--data_dir', '{data}', '--window', '0'],
    'do not fit this version': ['{tmp}/other.pth.tar', '--data_dir', '{data}', '--window', '0'],
    'the test split has windows 0 to': ['{run}', '--data_dir', '{data}', '--window', '0', '999999'],
    'no such folder': ['{run}', '--data_dir', '{tmp}/none', '--window', '0'],
    'the test split has basketball': ['{run}', '--data_dir', '{data}', '--worst', '1', '--action', 'flying'],
    '--window names them': ['{run}', '--data_dir', '{data}', '--window', '1', '--action', 'running'],
    'one of the arguments --window --worst --best --random is required': ['{run}', '--data_dir', '{data}'],
    'not allowed with argument': ['{run}', '--data_dir', '{data}', '--worst', '1', '--best', '1'],
    '0 is below 1': ['{run}', '--data_dir', '{data}', '--worst', '0'],
    'invalid choice': ['{run}', '--data_dir', '{data}', '--worst', '1', '--make', 'film'],
    'File exists': ['{run}', '--data_dir', '{data}', '--window', '0', '--make', 'viewer', '--out',
                    '{tmp}/broken.pth.tar'],
}


@pytest.mark.parametrize('problem', BAD)
def test_what_cannot_be_used_is_one_line(problem, run, sample_cmu, tmp_path, capsys):
    (tmp_path / 'broken.pth.tar').write_bytes(b'no checkpoint')
    state = torch.load(run / 'ckpt_best.pth.tar', weights_only=True)
    torch.save(state | {'options': state['options'] | {'dataset': 'amass'}}, tmp_path / 'other.pth.tar')
    arguments = [text.format(tmp=tmp_path, data=sample_cmu, run=run) for text in BAD[problem]]
    assert run_tool(main, arguments) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith('error: ')]
    assert out == '' or problem == 'File exists'
    assert len(lines) == 1 and problem in lines[0] and err.splitlines()[-1] == lines[0]


def test_without_matplotlib_the_page_is_made_and_the_rest_refused(run, sample_cmu, tmp_path):
    """In a process of its own, which cannot import matplotlib."""
    script = ('import sys; sys.modules["matplotlib"] = None; sys.path.insert(0, sys.argv.pop(1)); '
              'from tools.visualise import main; from utils.common.cli import run_tool; '
              'sys.exit(run_tool(main, sys.argv[1:]))')
    command = [sys.executable, '-c', script, str(PROJECT), str(run), '--data_dir', str(sample_cmu),
               '--window', '0', '--out', str(tmp_path / 'out')]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and refused.stderr.startswith('error: pictures need matplotlib')
    assert len(refused.stderr.splitlines()) == 1 and not (tmp_path / 'out').exists()
    made = subprocess.run([*command, '--make', 'viewer'], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['viewer.html']


def test_predict_draws_a_persons_own_motion(run, sample_cmu, tmp_path, capsys):
    pytest.importorskip('matplotlib', reason='matplotlib is not installed')
    motion = sample_cmu / 'cmu_mocap/test/walking/walking_1.txt'
    arguments = [str(run / 'ckpt_best.pth.tar'), str(motion), '--last', '100']
    assert run_tool(tools.predict.main,
                    [*arguments, '--out', str(tmp_path / 'f.npy'), '--pictures', str(tmp_path / 'own')]) == 0
    said = capsys.readouterr().out
    names = {path.name for path in (tmp_path / 'own').iterdir()}
    assert {'viewer.html', 'walking_1_strip.png', 'walking_1_error.png', 'walking_1_motion.gif'} <= names
    assert all(f'written: {tmp_path / "own" / name}' in said for name in names)
    page = (tmp_path / 'own' / 'viewer.html').read_text()
    held = json.loads(page.split('id="content">')[1].split('</script>')[0])
    scene, = held['scenes']
    assert np.array(scene['predicted']) == pytest.approx(np.load(tmp_path / 'f.npy'), rel=1e-6)
    assert scene['title'] == 'walking_1.txt, after frame 100, true mm'
    assert f'{scene["times"][-1]:.0f} ms {scene["errors"][-1]:.1f}' in said
