import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
SHARED = PROJECT.parent / 'shared'

# The tests' networks are too small for more threads, and sums in another order are other numbers.
# So it is here and in the commands that tests start.
torch.set_num_threads(1)
os.environ['OMP_NUM_THREADS'] = '1'


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or leaves a cache in the user's folder; the session's samples are parsed once."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.getbasetemp() / 'user-cache'))


@pytest.fixture(scope='session')
def golden_path():
    """Folder of the benchmarks' golden values."""
    return PROJECT / 'tests' / 'golden'


@pytest.fixture(scope='session')
def golden(golden_path):
    """Loader of the benchmark's golden values, which are kept beside the tests."""
    return lambda name: dict(np.load(golden_path / name))


@pytest.fixture(scope='session')
def real_cmu():
    """Folder of the real CMU benchmark files where this machine has them."""
    folder = SHARED / 'data'
    if not (folder / 'cmu_mocap').is_dir():
        pytest.skip('the CMU benchmark files are not on this machine')
    return folder


def sample(tmp_path_factory, dataset):
    """Makes a dataset root with synthetic motion."""
    from utils.data.synthetic.files import write

    root = tmp_path_factory.mktemp('sample')
    write(dataset, root)
    return root


@pytest.fixture(scope='session')
def sample_cmu(tmp_path_factory):
    """Dataset root with synthetic CMU recordings; tests only read it."""
    return sample(tmp_path_factory, 'cmu')


@pytest.fixture(scope='session')
def sample_h36m(tmp_path_factory):
    """A dataset root with synthetic Human3.6M takes. Tests only read it.

    All takes but the test subject's are cut to 2 s.
    """
    from utils.data.synthetic import files as synthetic

    plan = {path: frames if path.startswith('S5/') else 100
            for path, frames in synthetic.plan('h36m').items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, 'plan', lambda dataset, seed: plan)
        return sample(tmp_path_factory, 'h36m')


@pytest.fixture(scope='session')
def sample_3dpw(tmp_path_factory):
    """Dataset root with synthetic 3DPW sequences; tests only read it."""
    return sample(tmp_path_factory, '3dpw')


@pytest.fixture(scope='session')
def valid(tmp_path_factory):
    """Folder with one small valid file of every format that is read; tests only read it."""
    from formats import write_formats

    folder = tmp_path_factory.mktemp('valid')
    write_formats(folder)
    return folder


# A run of seconds: the whole network at its narrowest, nine steps an epoch.
TINY = ['--d_model', '1', '--num_gcn', '1', '--output_n', '10', '--skip_rate', '40', '--batch_size', '16',
        '--test_batch_size', '512', '--cuda_idx', 'cpu', '--warmup_steps', '3', '--dropout', '0.3',
        '--epoch', '3']


@pytest.fixture
def command(sample_cmu, tmp_path):
    """Runs the CMU main with tiny settings and more arguments; returns its exit code."""
    from main_cmu_3d import DEFAULTS
    from utils.data.cmu import DATASET
    from utils.run import main

    return lambda *more: main(DATASET, DEFAULTS,
                              ['--data_dir', str(sample_cmu), *TINY, '--exp', str(tmp_path / 'run'), *more])


def paper_lines():
    """The paper's three command lines as README.md shows them.

    Their words by the main's file name; the data is called DATA.
    """
    lines = (PROJECT / 'README.md').read_text().replace('\\\n', ' ').splitlines()
    shown = [shlex.split(line)[1:] for line in lines
             if line.startswith('python main_') and '--num_gcn' in line]
    return {words[0]: words for words in shown}


def numbers(page):
    """The decimal numbers of a page, sorted: the same whether it is written as Markdown or for a terminal."""
    return sorted(re.findall(r'\d+\.\d\d\b', page))


def weights(folder, name='ckpt_last.pth.tar'):
    """What a run's checkpoint holds of the network and the loss."""
    from utils.common import checkpoint

    state = checkpoint.load(folder / name)
    return state['model'] | {f'loss.{k}': v for k, v in state['criterion'].items()}


def tables(folder):
    """A run's results.json without which file it was made of: what two equal runs have in common."""
    import json

    results = json.loads((folder / 'results.json').read_text())
    assert len(results.pop('checkpoint')['sha256']) == len(results['errors']['sha256']) == 64
    return results


def few_frames(paths, bounds, seed):
    """Returns the recorded frames of each file.

    One or two windows of the paper's lengths where it is trained, validated or tested on.
    """
    lengths = {'train': 142, 'test': 72, 'sequenceFiles': 82}
    return {path: lengths.get(path.split('/')[0], 40) for path in paths}


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    """Dataset root with all files of the three synthetic datasets, each a few windows long."""
    from utils.data.synthetic import files as synthetic

    root = tmp_path_factory.mktemp('tiny')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, 'draw_lengths', few_frames)
        for dataset in synthetic.FOLDERS:
            synthetic.write(dataset, root)
    return root


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command line, as text or words, in this process as `python` does.

    Returns exit code, stdout and stderr.
    """
    def run_command(command):
        words = command.split() if isinstance(command, str) else command
        monkeypatch.setattr(sys, 'argv', words)
        code = 0
        try:
            runpy.run_path(str(PROJECT / words[0]), run_name='__main__')
        except SystemExit as stopped:
            code = stopped.code or 0
        shown = capsys.readouterr()
        return code, shown.out, shown.err
    return run_command
