"""The benchmark's counts against independent ones, its structure, and what a training step may cost.

No time is asserted.
"""
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from own_motion import save_checkpoint
from torch.utils._python_dispatch import TorchDispatchMode

import utils.train.engine
from tests.conftest import PROJECT
from tools.benchmark import main, settings
from utils.common.cli import run_tool
from utils.data.dataset import find_root
from utils.data.lookup import DATASETS
from utils.predict import export
from utils.speed.machine import measure_loading
from utils.speed.measure import PARTS, measure_evaluation, stepper, synthetic_training
from utils.speed.tables import tables
from utils.speed.timing import PythonReads, TorchReads, operations, operators, spread
from utils.train.engine import LOG_EVERY, epoch_order, train_epoch

CPU = torch.device('cpu')
SMALL = ['--num_gcn', '1', '--batch_size', '4', '--test_batch_size', '8']


def small_training(dataset='cmu', more=(), frames=300):
    return synthetic_training(settings(dataset, 1, [*SMALL, *more]), frames, CPU)


def products_by_hand(options):
    """Returns the multiplications and additions of the network's products for one window, forward.

    All of them, and those whose input needs no gradient or whose matrix is fixed: going backward costs these
    once and not twice.
    """
    nodes, seen, ahead, kept = options.node_n, options.input_n, options.output_n, options.dct_n
    channels, width, squeezed = 16 * options.d_model, options.d_model * kept, max(2, ahead // 4)
    along_time = options.tcn_axis == 'time'
    length = seen if along_time else nodes
    embedding = length * (nodes if along_time else seen) * channels
    blocks = 4 * 2 * length * channels * channels * 2  # the kernel has two taps
    projection = (channels * seen * ahead + channels * ahead
                  * nodes) if along_time else length * channels * ahead
    first = nodes * kept * width
    stages = 2 * (2 * options.num_gcn + 3)
    spatial = first + nodes * nodes * width + stages * (nodes * width * width + nodes * nodes * width) \
        + nodes * width * kept + nodes * nodes * kept
    decoding = nodes * kept * ahead
    gates = 2 * 2 * ahead * squeezed
    pooled = nodes // 2 if options.topk == 'packed' else nodes
    stages_in_time = 2 * nodes * nodes * 7 + nodes * nodes * 5 + nodes * nodes * 3
    mlp = (nodes + 3 * pooled) * 4 * nodes + 4 * nodes * nodes
    fusion = ahead * (2 * nodes * nodes + stages_in_time + mlp)
    all_products = embedding + blocks + projection + spatial + decoding + gates + fusion
    return 2 * all_products, 2 * (embedding + first + decoding)


@pytest.mark.parametrize('dataset, more', [('cmu', []), ('h36m', ['--topk', 'packed']),
                                           ('3dpw', ['--tcn_axis', 'coordinates']),
                                           ('cmu', ['--d_model', '3', '--num_gcn', '2', '--dct_n', '20'])])
def test_operations_are_those_of_the_products(dataset, more):
    training = small_training(dataset, more)
    options = SimpleNamespace(**training.options)
    forward, once = products_by_hand(options)
    encoding = 2 * options.node_n * options.input_n * options.dct_n  # done by the loader
    assert operations(stepper(training)) == pytest.approx(options.batch_size
                                                          * (3 * forward - once + encoding), rel=1e-3)
    evaluation = measure_evaluation(training, CPU, seconds=0)
    assert evaluation['windows'] == 16
    assert evaluation['flop'] == pytest.approx(16 * (forward + encoding), rel=1e-3)


def test_operators_are_counted_without_views():
    x = torch.randn(4, 4)
    assert operators(lambda: (x.t().view(-1) if x.t().is_contiguous() else x[0]) + 1) == 1
    assert operators(lambda: x @ x + x) == 2


def test_spread_is_of_the_times():
    assert spread([3.0, 1.0, 2.0]) == {'median': 2.0, 'p10': pytest.approx(1.2), 'p90': pytest.approx(2.8),
                                       'p99': pytest.approx(2.98), 'runs': 3}


class Touches(TorchDispatchMode):
    """Names of the operators that get a tensor itself, not a part of it."""

    def __init__(self, tensor):
        super().__init__()
        self.place, self.names = tensor.data_ptr(), []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names += [func.name() for value in args
                       if isinstance(value, torch.Tensor) and value.data_ptr() == self.place]
        return func(*args, **(kwargs or {}))


def test_a_step_gathers_once_from_the_frames():
    training = small_training()
    step = stepper(training)
    with Touches(training.windows['train'].frames) as touches:
        step()
        assert touches.names == ['aten::index.Tensor']
        step()
        assert touches.names == 2 * ['aten::index.Tensor']


def host_reads(steps, more=()):
    """Values read in an epoch of so many steps: from Python, and in torch's own code."""
    training = small_training(more=more)
    order = epoch_order(len(training.windows['train']), seed=0, epoch=1)[: 4 * steps]
    with PythonReads() as reads, TorchReads() as inner:
        for _ in train_epoch(training.state, training.windows['train'], training.settings, order=order,
                             title=''):
            pass
    assert training.state.progress.step == steps
    return reads.count, inner.count


@pytest.mark.parametrize('more',
                         [[], ['--skip_bad_steps', '3', '--optimizer', 'adamw', '--weight_decay', '0.01']])
def test_the_processor_waits_for_the_device_at_reports_only(more):
    reports = [host_reads(steps, more) for steps in (LOG_EVERY + 2, 2 * LOG_EVERY - 1, 3 * LOG_EVERY - 1)]
    assert reports[0] == reports[1]  # two reports each: more steps between them cost nothing
    # Those of the one report more.
    more_reads = [after - before for before, after in zip(reports[1], reports[2], strict=True)]
    assert all(0 < reads <= 3 for reads in more_reads[:1]) and more_reads[1] <= 3
    assert reports[1][0] <= 2 * 3 + 1 and reports[1][1] <= 2 * 3 + 1


@pytest.mark.parametrize('read', [lambda loss: loss.item(), bool, torch.Tensor.tolist,
                                  lambda loss: loss.isnan().nonzero()])
def test_a_read_in_every_step_is_noticed(read, monkeypatch):
    def reading_step(state, *arguments, **options):
        read(next(state.model.parameters()).detach().flatten()[0])
        return train_step(state, *arguments, **options)

    train_step = utils.train.engine.train_step
    before = sum(host_reads(LOG_EVERY + 2))
    monkeypatch.setattr(utils.train.engine, 'train_step', reading_step)
    assert sum(host_reads(LOG_EVERY + 2)) >= before + LOG_EVERY + 2


@pytest.fixture(scope='module')
def figures(tiny, tmp_path_factory):
    """A quick benchmark's JSON."""
    path = tmp_path_factory.mktemp('benchmark') / 'figures.json'
    network = save_checkpoint(path.with_name('ckpt.pth.tar'), 'cmu')
    arguments = ['--quick', '--d_model', '2', '1', '--dataset', 'cmu', '--data_dir', str(tiny), '--out',
                 str(path), '--network', str(network), *SMALL]
    assert run_tool(main, arguments) == 0
    return json.loads(path.read_text())


def test_everything_is_measured(figures):
    assert list(figures) == ['machine', 'command', 'quick', 'peak_flop_per_s', 'settings', 'networks',
                             'loading']
    assert {'device', 'gpu', 'cpu', 'cores', 'vector_instructions', 'torch', 'threads',
            'git_revision'} <= set(figures['machine'])
    assert [(entry['dataset'], entry['d_model']) for entry in figures['settings']] == [('cmu', 1), ('cmu', 2)]
    for entry in figures['settings']:
        assert set(entry['products']) == {'adjacency', 'weights', 'square'}
        assert entry['products']['adjacency']['flop'] == 2 * 4 * 75 * 75 * 15 * entry['d_model']
        assert entry['products']['weights']['flop'] == 2 * 4 * 75 * (15 * entry['d_model']) ** 2
        assert tuple(entry['parts']) == PARTS
        assert entry['train_windows_per_s'] == pytest.approx(4 / entry['step']['median'])
        assert entry['peak_memory']['rss'] > 50e6
        assert len(entry['top_operators']) == 8 and sum(found['share']
                                                        for found in entry['top_operators']) <= 1.001
        assert [found['threads'] for found in entry['latency']] == [1]
        for times in (entry['step'], entry['evaluation']['time'], entry['latency'][0]['time'],
                      *entry['parts'].values()):
            assert 0 < times['p10'] <= times['median'] <= times['p90'] <= times['p99'] and times['runs'] >= 2
    assert figures['peak_flop_per_s'] == max(p['flop_per_s'] for e in figures['settings']
                                             for p in e['products'].values())
    network, = figures['networks']
    assert network['symmetry'] is False and 0 < network['torch']['median'] <= network['torch']['p99']
    assert (network['onnxruntime'] is None) == (not export.can_export_onnx())
    loading, = figures['loading']
    assert loading['windows'] > 0 and loading['cold']['runs'] == loading['cached']['runs'] == 2


def test_the_tables_show_the_figures(figures):
    shown = tables(figures)
    step = figures['settings'][0]
    row = next(line for line in shown.splitlines()
               if f'{step["step_flop"] / 1e9:.1f}' in line and '%' in line)
    share = step['step_flop'] / step['step']['median'] / figures['peak_flop_per_s']
    assert f'{1000 * step["step"]["median"]:.2f} (' in row and f'{share:.0%}' in row
    assert all(len({line.count('|') for line in block.splitlines()}) == 1 for block in shown.split('\n\n')
               if block[0] == '|')


def test_the_users_cache_is_left_alone(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    root = find_root(str(tiny), DATASETS['cmu'])
    measure_loading(settings('cmu', 1, SMALL), root, CPU, repeats=1)
    assert not list(tmp_path.iterdir()) and os.environ['XDG_CACHE_HOME'] == str(tmp_path)


@pytest.mark.parametrize('arguments, expected', [
    (['--colour', 'red'], 'unrecognized arguments: --colour'), (['--dropout', '1'], 'must be below 1'),
    (['--out', '/nowhere/figures.json'], 'no folder /nowhere'), (['--dataset', 'kitti'], 'invalid choice'),
    (['--quick', '--dataset', 'cmu', '--d_model', '1', '--data_dir', '/nowhere', *SMALL],
     '/nowhere: no such folder'),
])
def test_what_cannot_be_meant_is_refused(arguments, expected, capsys):
    assert run_tool(main, arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith('measuring')]
    assert len(errors) == 1 and errors[0].startswith('error: ') and expected in errors[0]


def test_it_can_be_stopped(tmp_path):
    command = [sys.executable, str(PROJECT / 'tools/benchmark.py'), '--dataset', 'cmu', '--d_model', '1',
               '--out', str(tmp_path / 'figures.json')]
    # Jobs in the background of a script ignore Ctrl-C, and so would what they start.
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert running.stderr.readline().startswith('measuring')
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    out, error = running.communicate(timeout=60)
    assert running.returncode == 130 and error == '\nstopped\n' and out == ''
    assert not list(tmp_path.iterdir())
