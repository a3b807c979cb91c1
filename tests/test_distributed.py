"""Two processes under torchrun (gloo) against one: the same evaluation, step, run and end."""
import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from main_cmu_3d import DEFAULTS
from opt import parse
from tests.conftest import PROJECT, TINY, weights
from utils import checkpoint, distributed
from utils.data.cmu import READER
from utils.data.reader import find_root
from utils.engine import epoch_order, evaluate, train_step
from utils.run import build_model, load_windows
from utils.training import build_training

LIMIT_S = 120  # of one command; then torchrun is told to end its processes
RUN = [*TINY, '--batch_size', '4', '--epoch', '2']  # 18 steps an epoch of two processes; the loss is read after 10 and 18


def torchrun(*words):
    """Run a script in two processes; returns exit code, stdout and stderr."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2', *map(str, words)]
    environment = os.environ | {'PYTHONPATH': f'{PROJECT}:{PROJECT / "tests"}'}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.terminate()
    return process.returncode, out, err


def network_and_windows(data):
    """A training of which every weight counts (an untrained network's last layers are zero), and the test windows."""
    options = parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=['--data_dir', str(data), *TINY, '--dropout', '0'])
    root, device = find_root(str(data), READER), torch.device('cpu')
    torch.manual_seed(1)
    model = build_model(options)
    for tensor in (*model.parameters(), *(norm.running_mean for norm in model.modules() if hasattr(norm, 'running_mean'))):
        tensor.data += 0.05 * torch.randn_like(tensor)
    windows = {split: load_windows(READER, root, split, options, device) for split in ('train', 'test')}
    return build_training(model.eval(), windows, READER.skeleton, options, root), windows['test']


def scores(training, windows, batch_size):
    """Errors of every window."""
    return evaluate(lambda *views: training.model(*views).fused, windows, READER.skeleton, batch_size=batch_size, title='')


def steps(training, windows, together):
    """Three steps of so many windows of all processes, without dropout and with the batch norms in evaluation mode.

    Returns the first one's gradients, and the weights and the means of the loss terms after the last.
    """
    gradients, parameters = [], [*training.model.parameters(), *training.criterion.parameters()]
    for order in epoch_order(len(windows), seed=0, epoch=1)[: 3 * together].split(together):
        own = distributed.own_windows(order, together // distributed.processes())
        train_step(training.model, training.criterion, windows.batch(own), training.optimiser, training.schedule,
                   training.progress, clip_norm=1e9, guard=False)
        gradients += [p.grad.clone() for p in parameters]
    return gradients[: len(parameters)], [p.detach().clone() for p in parameters], training.progress.sums / 3


WORKER = textwrap.dedent('''
    import sys
    from dataclasses import replace
    import torch
    from test_distributed import network_and_windows, scores, steps
    from utils import distributed
    with distributed.process_group():
        training, test = network_and_windows(sys.argv[1])
        errors = [scores(training, test, batch_size) for batch_size in (100, 5000)]
        windows = training.windows['train']
        done = steps(training, windows, 32)
        frames = windows.frames.clone()
        if distributed.rank() == 1:
            frames[:] = torch.inf
        bad = steps(training, replace(windows, frames=frames), 32)
        torch.save([errors, done, bad[1], training.progress.bad_steps], f'{sys.argv[2]}/{distributed.rank()}.pt')
''')


def test_evaluation_and_training_steps_are_those_of_one_process(sample_cmu, tmp_path):
    script = tmp_path / 'worker.py'
    script.write_text(WORKER)
    code, _, err = torchrun(script, sample_cmu, tmp_path)
    assert code == 0, err
    first, second = (torch.load(tmp_path / f'{rank}.pt', weights_only=False) for rank in range(2))

    training, test = network_and_windows(sample_cmu)
    for batch_size, *found in zip((100, 5000), first[0], second[0], strict=True):
        expected = scores(training, test, batch_size)
        for errors in found:
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(errors, expected, strict=True))

    gradients, after, terms = steps(training, training.windows['train'], 32)
    for found, expected in ((first[1][0], gradients), (first[1][1], after), ([first[1][2]], [terms])):
        relative = [float((ours - theirs).norm() / theirs.norm()) for ours, theirs in zip(found, expected, strict=True)]
        print(f'REL {max(relative)}')
        assert max(relative) < 1e-5
    for parts in (0, 1):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(first[1][parts], second[1][parts], strict=True))

    for process in (first, second):
        assert process[3] == 3, 'a bad step of one process is one of all'
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(process[1][1], process[2], strict=True))


# The main, in which one process meets its fate in a step.
FATE = textwrap.dedent('''
    import os, signal, sys
    import utils.engine
    from main_cmu_3d import DEFAULTS
    from utils.data.cmu import READER
    from utils.run import main
    fate, step, done = sys.argv[1], utils.engine.train_step, 0

    def fatal_step(*arguments, **options):
        global done
        done += 1
        if os.environ['RANK'] == '1' and done == 5:
            if fate == 'raise':
                raise ArithmeticError('the second process is unwell')
            os.kill(os.getpid(), getattr(signal, fate))
        return step(*arguments, **options)

    utils.engine.train_step = fatal_step
    sys.exit(main(READER, DEFAULTS, sys.argv[2:]))
''')


@pytest.fixture(scope='module')
def start(sample_cmu, tmp_path_factory):
    """Starts the CMU main in two processes: with more arguments, and a fate of the second one or none."""
    folder = tmp_path_factory.mktemp('start')
    (folder / 'fate.py').write_text(FATE)

    def start_main(*more, fate=None):
        script = [folder / 'fate.py', fate] if fate else [PROJECT / 'main_cmu_3d.py']
        return torchrun(*script, '--data_dir', sample_cmu, *RUN, *more)
    return start_main


def test_a_run_its_stop_and_its_end(start, command, tmp_path, capsys):
    whole, stopped = tmp_path / 'run', tmp_path / 'stopped'
    code, out, err = start('--exp', whole)
    assert code == 0, err
    assert out.count('## KSOF') == 1 and err.count('epoch 2/2  train') == 1 and '2 processes of 4 windows a step' in err
    assert json.loads((whole / 'options.json').read_text())['processes'] == 2
    assert len((whole / 'history.csv').read_text().splitlines()) == 3
    state = checkpoint.load(whole / checkpoint.LAST)
    assert state['step'] == 36
    assert not torch.equal(state['random']['cpu'], state['random_of_others'][0]['cpu']), 'the same dropout in both processes'

    results = (whole / 'results.json').read_text()
    assert command(*RUN, '--is_eval') == 0
    assert (whole / 'results.json').read_text() == results and capsys.readouterr().out == out
    assert command(*RUN, '--is_load', '--epoch', '3') == 2
    assert 'was made by 2 processes, this run has 1: start 2 with torchrun' in capsys.readouterr().err

    code, _, err = start('--exp', stopped, fate='SIGTERM')
    assert code and err.count(f'stopped in epoch 1, after step 10, saved in {stopped / checkpoint.LAST}') == 1
    code, resumed, err = start('--exp', stopped, '--is_load')
    assert code == 0 and 'epoch 1, step 11' in err, err
    assert resumed == out and (stopped / 'results.json').read_text() == results
    assert all(torch.equal(value, weights(stopped)[name]) for name, value in weights(whole).items())

    code, _, err = start('--exp', stopped, '--is_load', '--lr_now', '0.1')
    assert code and err.count('error: ') == 1 and 'this command says 0.1' in err and 'exitcode  : 2' in err


@pytest.mark.parametrize('fate, said', [('raise', 'ArithmeticError: the second process is unwell'), ('SIGKILL', 'Signal 9')])
def test_a_process_that_dies_ends_the_run(start, tmp_path, fate, said):
    code, out, err = start('--exp', tmp_path / 'run', fate=fate)
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
    assert [own[0] for own in evaluated] == [[0, 1, 2, 3, 12, 13, 14, 15], [4, 5, 6, 7, 16, 17], [8, 9, 10, 11]]
    assert [own[1] for own in evaluated] == [[0, 1, 2, 3], [4], [0, 1, 2, 3]] and [own[2] for own in evaluated] == [[0]] * 3


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
