"""Two processes under torchrun (gloo) against one: the same evaluation, step, run and end."""
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch

from main_cmu_3d import DEFAULTS
from opt import parse
from tests.conftest import PROJECT, TINY, tables, weights
from utils.build import build_loss, build_network, load_windows, train_settings
from utils.common import checkpoint, distributed
from utils.data.cmu import DATASET
from utils.data.dataset import find_root
from utils.evaluate.scoring import evaluate
from utils.train.engine import epoch_order, train_step
from utils.train.loop import build_training

LIMIT_S = 120  # of one command; then torchrun is told to end its processes
RUN = [*TINY, '--batch_size', '4', '--epoch', '2', '--test_sample_num', '8']
# ... has 18 steps an epoch of two processes, and the loss is read after 10 and 18.


def torchrun(*words):
    """Run a script in two processes; returns exit code, stdout and stderr."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2',
               *map(str, words)]
    environment = os.environ | {'PYTHONPATH': f'{PROJECT}:{PROJECT / "tests" / "common"}'}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment)
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.terminate()
    return process.returncode, out, err


def network_and_windows(data):
    """Returns a training of which every weight counts, and the test windows.

    An untrained network's last layers are zero.
    """
    argv = ['--data_dir', str(data), *TINY, '--dropout', '0', '--test_sample_num', '8']
    options = parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=argv)
    root, device = find_root(str(data), DATASET), torch.device('cpu')
    torch.manual_seed(1)
    model = build_network(vars(options))
    for tensor in (*model.parameters(),
                   *(norm.running_mean for norm in model.modules() if hasattr(norm, 'running_mean'))):
        tensor.data += 0.05 * torch.randn_like(tensor)
    windows = {split: load_windows(vars(options), root, split, device) for split in ('train', 'test')}
    training = build_training(model.eval(), build_loss(vars(options)), windows, DATASET.skeleton,
                              train_settings(vars(options)), folder=root, options=vars(options))
    return training, windows['test']


def scores(training, windows, batch_size):
    """Errors of every window."""
    return evaluate(lambda *views: training.state.model(*views).fused, windows, DATASET.skeleton,
                    batch_size=batch_size, title='')


def one_step(training, windows, together):
    """Takes a step of all processes, without dropout and with the batch norms in evaluation mode.

    Returns gradients, all weights in one tensor (Adam makes something of gradients that are next to nothing),
    loss terms.
    """
    own = distributed.own_windows(epoch_order(len(windows), seed=0, epoch=1)[:together],
                                  together // distributed.processes())
    state = training.state
    train_step(state, windows.batch(own), replace(training.settings, clip_norm=1e9))
    parameters = [*state.model.parameters(), *state.criterion.parameters()]
    return [p.grad.clone() for p in parameters], [torch.cat([p.detach().flatten() for p in parameters])], [
        state.progress.sums]


# The CMU main, with more done at its end, or in which the second process meets its fate in a step.
MAIN = textwrap.dedent('''
    import os, signal, sys
    import utils.train.engine, utils.run
    from main_cmu_3d import DEFAULTS
    from utils.data.cmu import DATASET
    fate, step, run, done = sys.argv[1], utils.train.engine.train_step, utils.run.run, 0

    def fatal_step(*arguments, **options):
        global done
        done += 1
        if os.environ['RANK'] == '1' and done == 5:
            if fate == 'raise':
                raise ArithmeticError('the second process is unwell')
            os.kill(os.getpid(), getattr(signal, fate))
        return step(*arguments, **options)

    def run_and_more(dataset, options, named, defaults):
        run(dataset, options, named, defaults)
        utils.train.engine.train_step = step
        from test_distributed import compare
        compare(options.data_dir, options.exp)
        options.is_load, options.lr_now = True, 0.1
        run(dataset, options, {**named, 'lr_now': 0.1}, defaults)

    if fate == 'more':
        utils.run.run = run_and_more
    elif fate != 'none':
        utils.train.engine.train_step = fatal_step
    sys.exit(utils.run.main(DATASET, DEFAULTS, sys.argv[2:]))
''')


def compare(data, folder):
    """What each process finds, for the test to compare."""
    training, test = network_and_windows(data)
    windows = training.windows['train']
    errors = [scores(training, test, batch_size) for batch_size in (10, 100)]
    done = one_step(training, windows, 32)
    frames = torch.full_like(windows.frames, torch.inf) if distributed.rank() else windows.frames
    bad = one_step(training, replace(windows, frames=frames), 32)
    torch.save([errors, done, bad[1], training.state.progress.bad_steps], f'{folder}/{distributed.rank()}.pt')


@pytest.fixture(scope='module')
def start(sample_cmu, tmp_path_factory):
    """Starts the CMU main in two processes, with more arguments and a fate."""
    script = tmp_path_factory.mktemp('start') / 'main.py'
    script.write_text(MAIN)
    return lambda folder, *more, fate='none': torchrun(script, fate, '--data_dir', sample_cmu, *RUN, '--exp',
                                                       folder, *more)


@pytest.fixture(scope='module')
def whole(start, tmp_path_factory):
    """Folder, exit code, stdout and stderr of a run and more."""
    folder = tmp_path_factory.mktemp('whole') / 'run'
    return folder, *start(folder, fate='more')


def test_evaluation_and_training_steps_are_those_of_one_process(whole, sample_cmu):
    first, second = (torch.load(whole[0] / f'{rank}.pt', weights_only=False) for rank in range(2))
    training, test = network_and_windows(sample_cmu)
    for batch_size, *found in zip((10, 100), first[0], second[0], strict=True):
        expected = scores(training, test, batch_size)
        for errors in found:
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(errors, expected, strict=True))

    gradients, after, terms = one_step(training, training.windows['train'], 32)
    for found, expected in zip(first[1], (gradients, after, terms), strict=True):
        assert max(float((ours - theirs).norm() / theirs.norm())
                   for ours, theirs in zip(found, expected, strict=True)) < 1e-5
    for parts in (0, 1):
        assert all(torch.equal(ours, theirs)
                   for ours, theirs in zip(first[1][parts], second[1][parts], strict=True))

    for process in (first, second):
        assert process[3] == 1, 'a bad step of one process is one of all'
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(process[1][1], process[2], strict=True))


def test_rank_0_alone_speaks_and_writes(whole, command, tmp_path, capsys):
    folder, code, out, err = whole
    assert out.count('KSOF on synthetic motion') == 1 and err.count('epoch 2/2  fused ') == 1
    assert '2 processes of 4 windows a step' in err
    assert json.loads((folder / 'options.json').read_text())['processes'] == 2
    assert len((folder / 'history.csv').read_text().splitlines()) == 3
    assert not (folder.parent / 'run.1').exists()
    state = checkpoint.load(folder / checkpoint.LAST)
    assert state['step'] == 36
    assert not torch.equal(state['random']['cpu'],
                           state['random_of_others'][0]['cpu']), 'the same dropout in both processes'
    assert code and err.count('error: ') == 1 and 'this command says 0.1' in err
    assert err.count('exitcode  : 2') >= 1

    results = (folder / 'results.json').read_text()
    assert command(*RUN, '--exp', str(folder), '--is_eval') == 0
    assert (folder / 'results.json').read_text() == results and capsys.readouterr().out == out
    assert command(*RUN, '--exp', str(folder), '--is_load', '--epoch', '3') == 2
    assert 'was made by 2 processes, this run has 1: start 2 with torchrun' in capsys.readouterr().err


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(start, whole, tmp_path):
    folder = tmp_path / 'run'
    code, _, err = start(folder, fate='SIGTERM')
    assert code and err.count(f'stopped in epoch 1, after step 10, saved in {folder / checkpoint.LAST}') == 1
    code, out, err = start(folder, '--is_load')
    assert code == 0 and 'epoch 1, step 11' in err, err
    assert out == whole[2] and tables(folder) == tables(whole[0])
    assert all(torch.equal(value, weights(folder)[name]) for name, value in weights(whole[0]).items())


@pytest.mark.parametrize('fate, said', [('raise', 'ArithmeticError: the second process is unwell'),
                                        ('SIGKILL', 'Signal 9')])
def test_a_process_that_dies_ends_the_run(start, tmp_path, fate, said):
    code, out, err = start(tmp_path / 'run', fate=fate)
    assert code and said in err and not out
    assert err.count('Traceback') <= 2, 'those of the process that died and of torchrun, and no other'
    assert checkpoint.load(tmp_path / 'run' / checkpoint.LAST)['step'] == 0


def test_what_a_process_takes(monkeypatch):
    monkeypatch.setattr(distributed, 'processes', lambda: 3)
    taken, evaluated = [], []
    for number in range(3):
        monkeypatch.setattr(distributed, 'rank', lambda number=number: number)
        taken.append(distributed.own_windows(torch.arange(12), 2).tolist())
        evaluated.append([distributed.own_batches(windows, 4).tolist() for windows in (18, 5, 1)])
    assert taken == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    assert [own[0] for own in evaluated] == [[0, 1, 2, 3, 12, 13, 14, 15], [4, 5, 6, 7, 16, 17],
                                             [8, 9, 10, 11]]
    assert [own[1] for own in evaluated] == [[0, 1, 2, 3], [4], [0, 1, 2, 3]]
    assert [own[2] for own in evaluated] == [[0]] * 3


def test_devices_of_several_processes(monkeypatch):
    monkeypatch.setattr(distributed, 'processes', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'set_device', lambda device: None)
    monkeypatch.setenv('LOCAL_RANK', '1')
    assert distributed.own_device(torch.device('cuda:0')) == torch.device('cuda:1')
    assert distributed.own_device(torch.device('cpu')) == torch.device('cpu')
    with pytest.raises(ValueError, match='--cuda_idx mps'):
        distributed.own_device(torch.device('mps'))
    monkeypatch.setenv('LOCAL_RANK', '2')
    with pytest.raises(ValueError, match='more processes than this machine has GPUs'):
        distributed.own_device(torch.device('cuda'))
