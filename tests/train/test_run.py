"""The command from options to tables, in process: train, evaluate, resume, and what it refuses."""
import csv
import importlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

import utils.train.engine
from main_cmu_3d import DEFAULTS
from tests.conftest import PROJECT, TINY, weights
from utils.common import checkpoint
from utils.data.cmu import DATASET
from utils.run import main
from utils.train.optimizer import learning_rate_factor


def test_training_writes_everything_and_evaluation_repeats_it(command, tmp_path, capsys):
    folder = tmp_path / 'run'
    assert command() == 0
    trained = capsys.readouterr()
    assert 'zero velocity' in trained.out and 'epoch 3/3' in trained.err
    names = {'ckpt_last.pth.tar', 'ckpt_best.pth.tar', 'options.json', 'history.csv', 'test_all_eval.csv',
             'results.json', 'results.md', 'errors.npz'}
    assert names <= {path.name for path in folder.iterdir()}
    assert not [path for path in folder.iterdir() if path.name.startswith('.')]
    tables = {name: (folder / name).read_text()
              for name in ('test_all_eval.csv', 'results.json', 'results.md')}
    for name in tables:
        (folder / name).unlink()
    assert command('--is_eval') == 0
    assert capsys.readouterr().out == trained.out
    assert {name: (folder / name).read_text() for name in tables} == tables

    rows = list(csv.reader(tables['test_all_eval.csv'].splitlines()))
    assert rows[0] == ['action', *(f'test_#{40 * k}ms' for k in range(1, 11))]
    assert [row[0] for row in rows[1:]] == [*DATASET.actions, 'avg']
    results = json.loads(tables['results.json'])
    assert list(results) == ['dataset', 'protocol', 'input_n', 'output_n', 'epoch', 'selected_on', 'label_ms',
                             'true_ms', 'mm_scale_to_true', 'windows', 'missing_actions', 'missing_files',
                             'sample', 'methods', 'parameters', 'motion', 'checkpoint', 'mpjpe_up_to_frame',
                             'final_displacement', 'pck_percent', 'errors', 'network']
    assert list(results['methods']) == ['KSOF', 'KSOF predicted joints only', 'zero velocity',
                                        'constant velocity']
    assert results['selected_on'] == 'validation' and results['missing_actions'] == []
    average = [sum(results['methods']['KSOF'][action][k] for action in DATASET.actions) / 8
               for k in range(10)]
    assert results['methods']['KSOF']['avg'] == pytest.approx(average, abs=1e-3)
    history = list(csv.DictReader((folder / 'history.csv').open()))
    best = min(history, key=lambda entry: float(entry['validation']))
    assert int(best['epoch']) == results['epoch'] and len(history) == 3
    saved = json.loads((folder / 'options.json').read_text())
    assert saved['options']['d_model'] == 1 and saved['torch'] == torch.__version__ and saved['git_revision']


def test_a_refit_adds_the_validation_windows_to_a_trained_network_and_keeps_its_last_epoch(
        command, tmp_path, monkeypatch, capsys):
    assert command('--no_test', '--epoch', '1') == 0
    first = checkpoint.load(tmp_path / 'run' / checkpoint.BEST)
    errors = iter([1.0, 3.0, 2.0])  # the last epoch is not the one with the lowest error
    monkeypatch.setattr('utils.train.loop.validate', lambda *given, **more: {'validation': next(errors)})
    refit = ['--init', str(tmp_path / 'run'), '--exp', str(tmp_path / 'refit'), '--refit']
    capsys.readouterr()
    assert command(*refit) == 0
    said = capsys.readouterr()
    assert 'validation, trained on, 2.00 ' in said.err and 'best' not in said.err
    assert 'epoch 3, selected on no data (the last of a refit)' in ' '.join(said.out.split())
    kept = checkpoint.load(tmp_path / 'refit' / checkpoint.BEST)
    assert kept['epoch'] == kept['best']['epoch'] == 3
    assert kept['training_windows'] > first['training_windows']
    results = json.loads((tmp_path / 'refit' / 'results.json').read_text())
    assert results['epoch'] == 3 and results['selected_on'] == 'no data (the last of a refit)'
    (tmp_path / 'refit' / 'results.json').unlink()
    assert command('--is_eval', '--exp', str(tmp_path / 'refit')) == 0
    assert json.loads((tmp_path / 'refit' / 'results.json').read_text()) == results


@pytest.mark.parametrize('main_of', ['main_h36m', 'main_3dpw'])
def test_a_refit_is_refused_where_the_protocol_keeps_validation_files_out_of_training(
        main_of, request, tmp_path, capsys):
    suite = importlib.import_module(main_of)
    data = request.getfixturevalue(f'sample_{suite.DATASET.name}')
    words = ['--data_dir', str(data), *TINY, '--exp', str(tmp_path / 'run'), '--refit']
    assert main(suite.DATASET, suite.DEFAULTS, words) == 2
    assert 'has validation files of its own' in capsys.readouterr().err
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('number, code, step',
                         [(signal.SIGTERM, 143, 13), (signal.SIGINT, 130, 4), (signal.SIGINT, 130, 18)])
def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(command, tmp_path, monkeypatch, capsys, number,
                                                             code, step):
    assert command() == 0
    expected = weights(tmp_path / 'run')
    history = checkpoint.load(tmp_path / 'run' / checkpoint.LAST)['history']
    shutil.rmtree(tmp_path / 'run')
    steps = []

    def step_with_a_signal(*arguments, **options):
        steps.append(train_step(*arguments, **options))
        if len(steps) == step:
            os.kill(os.getpid(), number)

    train_step = utils.train.engine.train_step
    monkeypatch.setattr(utils.train.engine, 'train_step', step_with_a_signal)
    assert command() == code and len(steps) == step
    error = capsys.readouterr().err.splitlines()[-1]
    assert f'saved in {tmp_path / "run" / checkpoint.LAST}; the same command with --is_load goes on' in error
    assert command('--is_load') == 0 and len(steps) == 27
    resumed = weights(tmp_path / 'run')
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    again = checkpoint.load(tmp_path / 'run' / checkpoint.LAST)['history']
    timeless = [[value for name, value in entry.items() if name not in ('seconds', 'windows_per_s')]
                for entry in history + again]
    assert timeless[:3] == timeless[3:]
    assert len((tmp_path / 'run' / 'history.csv').read_text().splitlines()) == 4


def test_seeds_decide_the_weights(command, tmp_path):
    found = []
    for run, seed in (('a', '1'), ('b', '1'), ('c', '2')):
        assert command('--epoch', '1', '--seed', seed, '--exp', str(tmp_path / run)) == 0
        found.append(weights(tmp_path / run)['sgcn.first.conv.linear.weight'])
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_an_earlier_run_is_moved_aside(command, tmp_path, capsys):
    assert command('--epoch', '1') == 0
    first = weights(tmp_path / 'run')
    capsys.readouterr()
    assert command('--epoch', '1', '--seed', '5') == 0
    assert 'now moved to' in capsys.readouterr().err
    assert all(torch.equal(first[name], value) for name, value in weights(tmp_path / 'run.1').items())


def test_unavailable_cuda_warns_once_and_uses_the_cpu(command, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    assert command('--epoch', '1', '--cuda_idx', 'cuda:0') == 0
    assert capsys.readouterr().err.count('using the CPU') == 1


def test_a_diverging_loss_stops_with_its_terms(command, capsys):
    assert command('--lr_now', '1e30', '--warmup_steps', '0') == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith('error: ') and 'fused' in error and 'spatial' in error
    assert 'lower --lr_now' in error


@pytest.mark.parametrize('arguments, expected', [
    (['--data_dir', '/nowhere'], '--data_dir /nowhere: no such folder'),
    (['--node_n', '66'], 'use --node_n 75'),
    (['--dct_n', '21'], '--dct_n 21: a window of 20 frames'),
    (['--d_model', '0'], '0 is below 1'),
    (['--d_model', 'x'], 'invalid whole number value'),
    (['--lr_now', 'nan'], 'nan is not finite'),
    (['--dropout', '1'], 'must be below 1'),
    (['--output_n', '2'], '2 is below 3'),
    (['--epoch', '1' + 400 * '0'], 'is above'),
    (['--epoch', '1' + 5000 * '0'], 'invalid whole number value'),
    (['--lr_now', '1' + 400 * '0'], 'is not finite'),
    (['--balance', '400'], '400 is above 10'),
    (['--epoch', '1_0'], "invalid whole number value: '1_0'"),
    (['--test_sample_num', '2_56'], "invalid whole number value: '2_56'"),
    (['--test_sample_num', '9'], 'invalid choice'),
    (['--is_eval', '--is_load'], 'give one of them'),
    (['--ckpt', 'x.pth.tar'], '--ckpt needs --is_eval or --is_load'),
    (['--colour', 'red'], 'unrecognized arguments'),
    (['--cuda_idx', 'gpu'], '--cuda_idx gpu: not a device'),
    (['--input_n', '2000'], 'no sequence has the 2010 frames'),
    (['--skip_rate', '100000', '--batch_size', '1'], '1 is below 2'),
])
def test_bad_options_get_one_clear_line(command, arguments, expected, capsys, tmp_path):
    assert command(*arguments) == 2
    errors = [line for line in capsys.readouterr().err.split('\n') if line and 'skipped in' not in line]
    assert len(errors) == 1 and errors[0].startswith('error: ') and expected in errors[0]
    assert not (tmp_path / 'run').exists()


def test_evaluation_says_where_it_looked(command, tmp_path, capsys):
    assert command('--is_eval') == 2
    assert f'{tmp_path / "run" / checkpoint.BEST}: no checkpoint there' in capsys.readouterr().err


def test_a_checkpoint_of_other_settings_names_the_setting(command, tmp_path, capsys):
    assert command('--epoch', '1') == 0
    for action in ('--is_eval', '--is_load'):
        capsys.readouterr()
        assert command(action, '--num_gcn', '2') == 2
        assert 'was made with --num_gcn 1, this command says 2' in capsys.readouterr().err


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'PK\x03\x04 broken zip'])
def test_a_damaged_checkpoint_is_named(command, tmp_path, capsys, content):
    path = tmp_path / 'damaged.pth.tar'
    path.write_bytes(content)
    assert command('--is_eval', '--ckpt', str(path)) == 2
    assert f'{path}: is not a readable checkpoint' in capsys.readouterr().err


def test_missing_test_actions_are_listed(sample_cmu, tmp_path, capsys):
    root = tmp_path / 'data'
    shutil.copytree(sample_cmu / 'cmu_mocap', root)
    shutil.rmtree(root / 'test' / 'soccer')
    arguments = ['--data_dir', str(root), *TINY, '--exp', str(tmp_path / 'run'), '--epoch', '1']
    assert main(DATASET, DEFAULTS, arguments) == 0
    assert 'mean of 7 of 8 actions (missing: soccer)' in capsys.readouterr().out
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert results['missing_actions'] == ['soccer'] and len(results['windows']) == 7


def test_the_learning_rate_warms_up_and_falls_to_its_end():
    factors = [learning_rate_factor(step, warmup=4, total=100, end=0.1) for step in range(101)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(a >= b for a, b in zip(factors[4:], factors[5:], strict=False))
    assert factors[-1] == pytest.approx(0.1) and math.isclose(factors[52], 0.55, abs_tol=0.01)


def test_the_script_itself(sample_cmu, tmp_path):
    run = [sys.executable, str(PROJECT / 'main_cmu_3d.py'), '--data_dir', str(sample_cmu)]
    refused = subprocess.run([*run, '--node_n', '1'], capture_output=True, text=True, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == 'error: --node_n 1: CMU mocap has 75 predicted coordinates; use --node_n 75\n'
    done = subprocess.run([*run, *TINY, '--epoch', '1', '--exp', str(tmp_path / 'run')], capture_output=True,
                          text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'KSOF ' in done.stdout
