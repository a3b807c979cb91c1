"""tools/reproduce.py: three datasets one after another, resumed, skipped, failed; the numbers on its page."""
import csv
import os
import signal
import statistics
from dataclasses import replace

import pytest

import utils.run
import utils.train.engine
import utils.train.loop
from tests.conftest import paper_lines
from tools.reproduce import MAINS, main
from tools.series import read_words
from utils.common import checkpoint
from utils.common.cli import run_tool
from utils.data.lookup import DATASETS
from utils.report import published
from utils.report.comparison import load_run
from utils.report.reproduction import dataset_part
from utils.report.tables import markdown

SHORT = ['--epoch', '1', '--skip_rate', '40', '--d_model', '1', '--num_gcn', '1', '--cuda_idx', 'cpu']


@pytest.fixture
def reproduce(tiny, tmp_path, capsys):
    """Run the tool on the tiny datasets with short settings; returns exit code and messages."""
    def run(*more, data=tiny):
        capsys.readouterr()
        try:
            code = run_tool(main, [str(data), '--runs', str(tmp_path / 'runs'), *SHORT, *more])
        except SystemExit as stopped:
            code = stopped.code
        return code, capsys.readouterr().err
    return run


def forbidden(*arguments, **options):
    raise AssertionError('trains')


def folder_of(runs, name):
    return next(path for path in runs.iterdir() if path.name.startswith(name + '_'))


def table_of(page, heading):
    """The rows of the table below a heading of the page, as lists of cells."""
    lines = page.split(f'\n### {heading}\n')[1].split('\n###')[0].splitlines()
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if line.startswith('|')]


def test_the_page_and_a_second_call_that_trains_nothing(reproduce, tmp_path, monkeypatch):
    code, log = reproduce()
    assert code == 0, log
    runs, page = tmp_path / 'runs', (tmp_path / 'runs' / 'reproduce.md').read_text()
    titles = [f'\n## Synthetic motion in the layout of {dataset.title}\n' for dataset in DATASETS.values()]
    assert [page.count(title) for title in titles] == [1, 1, 1] and page.count('ynthetic motion') == 3
    assert 'PGBIG' not in page and f'`{" ".join(SHORT)}` was added' in page and str(tmp_path / 'runs') in log
    for name, dataset in DATASETS.items():
        title = dataset.title
        rows = list(csv.DictReader((folder_of(runs, name) / 'test_all_eval.csv').open()))
        errors = {row['action']: {key: float(value) for key, value in row.items() if key != 'action'}
                  for row in rows}
        table = table_of(page, f'{title}: averages')
        for label, shown in zip(table[0][1:], next(row for row in table if row[0] == 'KSOF')[1:],
                                strict=True):
            mean = statistics.mean(errors[action][f'test_#{label}ms'] for action in dataset.actions)
            assert float(shown) == pytest.approx(mean, abs=0.0051)
        if name != '3dpw':  # as the page would be if the motion were recorded, with published rows
            run = load_run(folder_of(runs, name))
            recorded = replace(run, results=replace(run.results, sample=False))
            check_action_tables(markdown(dataset_part(recorded, 'main.py')), title, dataset, errors)
    states = {name: (folder_of(runs, name) / checkpoint.LAST).stat().st_mtime_ns for name in DATASETS}
    monkeypatch.setattr(utils.train.loop, 'train_epoch', forbidden)
    (folder_of(runs, 'cmu') / 'results.json').unlink()
    code, log = reproduce()
    assert code == 0 and log.count(': evaluating\n') == 3, log
    assert (runs / 'reproduce.md').read_text() == page
    assert {name: (folder_of(runs, name) / checkpoint.LAST).stat().st_mtime_ns for name in DATASETS} == states
    assert len([path for path in runs.iterdir() if path.is_dir()]) == 3, 'no run was moved aside'


def check_action_tables(page, title, dataset, errors):
    """Every action's block, short and long: this run as in its csv, PGBIG as in published.csv."""
    with published.TABLE.open(newline='') as file:
        pgbig = {(row['action'], row['label_ms']): float(row['mpjpe_mm']) for row in csv.DictReader(file)
                 if (row['dataset'], row['protocol'], row['method']) == (dataset.name, 'all', 'PGBIG')}
    horizons = {'short': ['80', '160', '320', '400'],
                'long': ['560', '1000'] if dataset.name == 'cmu' else []}
    for horizon, labels in horizons.items():
        heading = f'{title}: {horizon} horizon by action'
        if not labels:
            assert 'A network that predicts 10 frames has none' in (
                page.split(f'### {heading}\n')[1].split('###')[0])
            continue
        table = table_of(page, heading)
        assert table[0] == ['action', 'label ms', *labels]
        assert [row[0] for row in table[3:] if row[0]] == [*dataset.actions, 'average']
        action, checked = '', 0
        for row in table[3:]:
            action = row[0] or action
            expected = {'KSOF,': [errors[action][f'test_#{label}ms'] for label in labels],
                        'PGBIG,': [pgbig[action, label] for label in labels]} if action != 'average' else {}
            if row[1].split()[0] in expected:
                assert [float(cell) for cell in row[2:]] == pytest.approx(expected.pop(row[1].split()[0]),
                                                                          abs=0.0051)
                checked += 1
        assert checked == 2 * len(dataset.actions)


def test_a_stopped_call_goes_on(reproduce, tmp_path, monkeypatch):
    steps, train_step = [], utils.train.engine.train_step

    def step_with_ctrl_c(*arguments, **options):
        steps.append(train_step(*arguments, **options))
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(utils.train.engine, 'train_step', step_with_ctrl_c)
    only = ['--only', '3dpw', 'cmu', '--epoch', '2', '--batch_size', '4']
    code, log = reproduce(*only)
    assert code == 130 and log.endswith('stopped: the same command goes on from here\n'), log
    assert len(steps) == 2 and not (tmp_path / 'runs' / 'reproduce.md').exists()
    assert 'CMU' not in log.split('stopping')[1]
    code, log = reproduce(*only)
    assert code == 0 and '3DPW: going on\n' in log and 'CMU mocap: training\n' in log, log
    first = checkpoint.load(folder_of(tmp_path / 'runs', '3dpw') / checkpoint.LAST)
    assert [entry['epoch'] for entry in first['history']] == [1, 2] and first['step'] == 2 * (12 // 4)
    page = (tmp_path / 'runs' / 'reproduce.md').read_text()
    assert '2 epochs in ' in page and '## Human3.6M\n\nNothing here: left out with --only.' in page


def test_a_dataset_that_is_not_there_is_skipped(reproduce, tiny, tmp_path):
    data = tmp_path / 'some data'
    data.mkdir()
    code, log = reproduce(data=data)
    assert code == 2
    assert log.endswith(f'error: {data}: none of the datasets is there; see docs/data.md for '
                        'where each goes\n')
    (data / '3dpw').symlink_to(tiny / '3dpw')
    code, log = reproduce(data=data)
    skipped = 'Human3.6M is skipped: --data_dir' in log and 'CMU mocap is skipped: --data_dir' in log
    assert code == 0 and skipped, log
    page = (tmp_path / 'runs' / 'reproduce.md').read_text()
    assert page.count(f'Nothing here: not in {data}.') == 2
    assert '## Synthetic motion in the layout of 3DPW' in page
    assert f"`python tools/reproduce.py '{data}'" in page


def test_a_dataset_that_fails_does_not_stop_the_others(reproduce, tmp_path, monkeypatch):
    whole = utils.run.main

    def failing(dataset, *arguments):
        if dataset.name == '3dpw':
            raise RuntimeError('the accelerator fell off the bus')
        return whole(dataset, *arguments)

    monkeypatch.setattr(utils.run, 'main', failing)
    code, log = reproduce('--only', '3dpw', 'cmu')
    assert code == 1 and 'fell off the bus' in log and log.endswith('error: 1 of 2 datasets failed: 3dpw\n')
    page = (tmp_path / 'runs' / 'reproduce.md').read_text()
    assert '## 3DPW\n\nNothing here: failed' in page
    assert '## Synthetic motion in the layout of CMU mocap\n' in page


@pytest.mark.parametrize('more, expected', [
    (['--colour', 'red'], 'unrecognized arguments: --colour red'),
    (['--exp', 'mine'], '--exp: is set for each dataset by this tool'),
    (['--is_load'], '--is_load: is set for each dataset'),
    (['--no_test'], '--no_test: is set for each dataset'),
    (['--data_dir=x'], '--data_dir=x: is set for each dataset'),
    (['--dct_n', '90'], '--dct_n 90: a window of'),
    (['--only', 'mpii'], "invalid choice: 'mpii'"),
])
def test_what_cannot_be_meant_is_refused_before_any_training(reproduce, tmp_path, more, expected):
    code, log = reproduce(*more)
    assert code == 2 and expected in log.splitlines()[-1] and log.splitlines()[-1].startswith('error: ')
    assert not (tmp_path / 'runs').exists()


def test_earlier_runs_that_do_not_fit_are_refused(reproduce, tiny, tmp_path):
    assert reproduce('--only', '3dpw')[0] == 0
    code, log = reproduce('--only', '3dpw', '--epoch', '2')
    assert code == 2 and 'was made with --epoch 1, this command says 2' in log
    code, log = reproduce('--only', '3dpw', '--lr_now', '0.1')
    assert code == 2 and 'was made with --lr_now 0.001, this command says 0.1' in log
    # The same files without the marker pass for recordings.
    # Their run has another name, and a run on synthetic motion is refused there.
    recorded = tmp_path / 'recorded'
    recorded.mkdir()
    sequences = recorded / 'sequenceFiles'
    sequences.symlink_to(tiny / '3dpw' / 'sequenceFiles')
    run = folder_of(tmp_path / 'runs', '3dpw')
    run.rename(run.with_name(run.name.removesuffix('_synthetic')))
    code, log = reproduce('--only', '3dpw', data=recorded)
    assert code == 2 and 'one of that and' in log and 'is synthetic motion, the other is not' in log


PAPER = {  # the README of the paper's repository
    'h36m': '--num_gcn 4 --dct_n 15 --input_n 10 --output_n 10 --skip_rate 1 --batch_size 32 '
            '--test_batch_size 64 --node_n 66 --cuda_idx cuda:0 --d_model 16 --lr_now 0.0005 --epoch 100 '
            '--test_sample_num -1',
    'cmu': '--num_gcn 4 --dct_n 15 --input_n 10 --output_n 25 --skip_rate 1 --batch_size 16 '
           '--test_batch_size 32 --node_n 75 --cuda_idx cuda:0 --d_model 16 --lr_now 0.005 --epoch 100 '
           '--test_sample_num -1',
    '3dpw': '--num_gcn 4 --dct_n 15 --input_n 10 --output_n 30 --skip_rate 1 --batch_size 32 '
            '--test_batch_size 64 --node_n 69 --cuda_idx cuda:0 --d_model 16 --lr_now 0.001 --epoch 100 '
            '--test_sample_num -1',
}


@pytest.mark.parametrize('name', DATASETS)
def test_the_papers_settings_are_the_mains_defaults(name):
    main = MAINS[name]
    shown = paper_lines()[f'{main.__name__}.py']
    assert shown == [f'{main.__name__}.py', '--data_dir', 'DATA', *PAPER[name].split()]
    usual = read_words(main.DATASET, main.DEFAULTS, ['--data_dir', 'DATA'])
    assert usual == read_words(main.DATASET, main.DEFAULTS, shown[1:])
    assert usual == read_words(main.DATASET, {}, shown[1:])
