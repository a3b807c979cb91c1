"""What a run survives: kills, damage, full disks, bad steps, neighbours; and that it does not grow."""
import gc
import os
import resource
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from main_cmu_3d import DEFAULTS
from model.losses import KSOFLoss
from opt import parse
from tests.conftest import PROJECT, TINY, tables, weights
from utils.build import build_loss, build_network, load_windows, train_settings
from utils.common import checkpoint
from utils.common.errors import DivergedError
from utils.common.files import remove_leftovers
from utils.common.run_folder import lock_run
from utils.data.cmu import DATASET
from utils.data.dataset import find_root
from utils.run import main
from utils.train.engine import epoch_order, mean_terms, train_epoch
from utils.train.loop import build_training

KILLS = int(os.environ.get('KSOF_KILLS', '8'))
# Forks a fresh process for each start, so that importing torch is paid once.
# The kills then fall inside training.
FORKING = textwrap.dedent('''
    import os, random, signal, sys, time
    import torch
    from main_cmu_3d import DEFAULTS
    from utils.data.cmu import DATASET
    from utils.run import main
    torch.set_num_threads(1)
    arguments, checkpoint, kills, seed = sys.argv[4:], sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    chance, killed, code = random.Random(seed), 0, None
    while code is None:
        child = os.fork()
        if not child:
            os._exit(main(DATASET, DEFAULTS, arguments + ['--is_load'] * os.path.exists(checkpoint)))
        if killed < kills:
            time.sleep(chance.uniform(0.1, 0.9))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        else:
            code = os.waitstatus_to_exitcode(status)
    print('killed', killed, 'code', code)
''')


def test_kills_at_random_moments_leave_no_trace(sample_cmu, tmp_path):
    # --save_minutes 0 saves at every reading of the loss, so that kills hit saves often.
    arguments = ['--data_dir', str(sample_cmu), *TINY, '--skip_rate', '8', '--save_minutes', '0', '--epoch',
                 str(max(8, KILLS * 2 // 3)), '--exp']
    killed_run, plain_run = tmp_path / 'killed', tmp_path / 'plain'
    environment = os.environ | {'PYTHONPATH': str(PROJECT)}
    done = subprocess.run([sys.executable, '-c', FORKING, str(killed_run / checkpoint.LAST), str(KILLS), '1',
                           *arguments, str(killed_run)], capture_output=True, text=True, env=environment)
    killed, code = done.stdout.split('\n')[-2].split()[1::2]
    assert code == '0', done.stderr[-2000:]
    assert int(killed) == KILLS, 'the run ended before it could be killed often enough'
    assert main(DATASET, DEFAULTS, [*arguments, str(plain_run)]) == 0
    expected, found = weights(plain_run), weights(killed_run)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert tables(killed_run) == tables(plain_run)
    assert not [path.name for path in killed_run.iterdir()
                if path.name.startswith('.')], 'leftovers of killed saves'


DYING = textwrap.dedent('''
    import os, signal, sys
    from pathlib import Path
    from main_cmu_3d import DEFAULTS
    from utils.data.cmu import DATASET
    from utils.run import main
    left, replace = int(sys.argv[1]), Path.replace

    def dying_replace(self, target):
        global left
        left -= str(target).endswith('.pth.tar')
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)

    Path.replace = dying_replace
    main(DATASET, DEFAULTS, sys.argv[2:])
''')


@pytest.fixture(scope='module')
def undisturbed(sample_cmu, tmp_path_factory):
    """Weights of a run that nobody stopped."""
    run = tmp_path_factory.mktemp('undisturbed') / 'run'
    words = ['--data_dir', str(sample_cmu), *TINY, '--no_test', '--exp', str(run)]
    assert main(DATASET, DEFAULTS, words) == 0
    return weights(run)


@pytest.mark.parametrize('renaming', [1, 4, 5])
def test_a_kill_just_before_a_checkpoint_gets_its_name(command, sample_cmu, tmp_path, renaming, undisturbed):
    run = tmp_path / 'run'
    arguments = ['--data_dir', str(sample_cmu), *TINY, '--no_test', '--exp', str(run)]
    killed = subprocess.run([sys.executable, '-c', DYING, str(renaming), *arguments], capture_output=True,
                            env=os.environ | {'PYTHONPATH': str(PROJECT), 'OMP_NUM_THREADS': '1'})
    assert killed.returncode == -9
    assert [path.name for path in run.iterdir()
            if path.name.startswith('.')], 'the killed save left its temporary file'
    assert command('--no_test', *['--is_load'] * (run / checkpoint.LAST).exists()) == 0
    assert not [path.name for path in run.iterdir() if path.name.startswith('.')]
    found = weights(run)
    assert all(torch.equal(value, found[name]) for name, value in undisturbed.items())


@pytest.mark.parametrize('damage', ['cut', 'bit'])
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(command, tmp_path, capsys, damage):
    assert command('--no_test') == 0
    last, expected = tmp_path / 'run' / checkpoint.LAST, weights(tmp_path / 'run')
    content = bytearray(last.read_bytes())
    if damage == 'bit':
        with zipfile.ZipFile(last) as parts:
            largest = max(parts.infolist(), key=lambda part: part.file_size)
            with parts.open(largest) as data:
                tensor = data.read()
        content[content.index(tensor) + len(tensor) // 2] ^= 16  # nothing but the tensor's checksum tells
    last.write_bytes(content if damage == 'bit' else content[: len(content) // 2])
    capsys.readouterr()
    assert command('--no_test', '--is_load') == 0
    log = capsys.readouterr().err
    assert f'{last}: is not a readable checkpoint' in log
    assert 'going on from the one before it, ckpt_previous' in log
    assert 'epoch 3, step 1' in log
    assert all(torch.equal(value, expected[name]) for name, value in weights(tmp_path / 'run').items())


def test_an_evaluation_takes_nothing_from_a_training_that_saves(tmp_path, monkeypatch):
    """It removes leftovers at any moment, also while the last checkpoint gets its second name."""
    link = os.link

    def link_then_evaluate(*names):
        link(*names)
        remove_leftovers(tmp_path)

    monkeypatch.setattr(os, 'link', link_then_evaluate)
    for epoch in (1, 2):
        checkpoint.save(tmp_path / checkpoint.LAST, {'epoch': epoch})
    assert sorted(path.name for path in tmp_path.iterdir()) == [checkpoint.LAST, checkpoint.PREVIOUS]
    assert torch.load(tmp_path / checkpoint.PREVIOUS, weights_only=True) == {'epoch': 1}


def test_a_full_disk_stops_the_run_and_keeps_the_last_checkpoint(command, tmp_path, capsys):
    assert command('--epoch', '2') == 0
    last = tmp_path / 'run' / checkpoint.LAST
    before, size = weights(tmp_path / 'run'), last.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond it, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
    try:
        capsys.readouterr()
        assert command('--is_load') == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith((f'error: {tmp_path / "run" / checkpoint.BEST}: ', f'error: {last}: '))
    assert 'the one before it is still good: make room and add --is_load' in error
    assert not [path for path in (tmp_path / 'run').iterdir() if path.name.startswith('.')]
    assert all(torch.equal(value, before[name]) for name, value in weights(tmp_path / 'run').items())
    assert command('--is_load') == 0


@pytest.mark.parametrize('setting, value',
                         [('--lr_now', '0.1'), ('--seed', '3'), ('--batch_size', '8'), ('--skip_rate', '20')])
def test_going_on_with_other_settings_is_refused(command, capsys, setting, value):
    assert command('--epoch', '1') == 0
    capsys.readouterr()
    assert command('--is_load', setting, value) == 2
    assert f'this command says {float(value) if setting == "--lr_now" else value}' in capsys.readouterr().err


def test_a_folder_in_use_is_refused(command, tmp_path, capsys):
    assert command('--epoch', '1') == 0
    before = weights(tmp_path / 'run')
    lock = lock_run(tmp_path / 'run')
    for more in ([], ['--is_load']):
        capsys.readouterr()
        assert command('--epoch', '2', *more) == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            f'error: {tmp_path / "run"}: is in use by another run; wait for it, or give this one another '
            '--exp')
    assert command('--is_eval') == 0, 'a run in progress can be evaluated'
    lock.release()
    assert all(torch.equal(value, before[name]) for name, value in weights(tmp_path / 'run').items())
    assert command('--epoch', '2', '--is_load') == 0


@pytest.fixture
def training(sample_cmu, tmp_path):
    """A run on synthetic motion that has not begun; one of its training windows is not finite."""
    options = parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=['--data_dir', str(sample_cmu), *TINY])
    root, device = find_root(str(sample_cmu), DATASET), torch.device('cpu')
    torch.manual_seed(0)
    windows = load_windows(vars(options), root, 'train', device)
    frames = windows.frames.clone()
    frames[windows.starts[0] + 3] = torch.inf
    return build_training(build_network(vars(options)), build_loss(vars(options)),
                          {'train': replace(windows, frames=frames)}, DATASET.skeleton,
                          train_settings(vars(options)), folder=tmp_path / 'run', options=vars(options))


def one_epoch(training, **options):
    windows = training.windows['train']
    for _ in train_epoch(training.state, windows, replace(training.settings, **options),
                         order=epoch_order(len(windows), seed=0, epoch=1), title='epoch 1/1'):
        pass
    return mean_terms(training.state.progress)


def test_a_bad_step_is_named_with_its_files(training):
    with pytest.raises(DivergedError) as error:
        one_epoch(training, skip_bad_steps=0)
    position = epoch_order(len(training.windows['train']), seed=0, epoch=1).tolist().index(0)
    assert f'epoch 1/1, step {position // 16 + 1}: ' in str(error.value) and 'fused nan' in str(error.value)
    assert 'train/basketball/basketball_1.txt' in str(error.value) and '\n' not in str(error.value)
    assert all(p.isfinite().all()
               for p in training.state.model.parameters()), 'the bad step changed no weight'


def test_bad_steps_can_be_skipped(training):
    means = one_epoch(training, skip_bad_steps=1)
    assert training.state.progress.bad_steps == 1 and training.state.progress.step == 9
    assert all(abs(value) < 1e6 for value in means.values())
    assert all(value.isfinite().all() for value in training.state.model.state_dict().values())
    assert all(state['step'] == 8 for state in training.state.optimizer.state.values())
    assert isinstance(training.state.criterion, KSOFLoss) and training.state.criterion.log_a.isfinite()


def test_memory_and_open_files_do_not_grow(command, tmp_path):
    def held():
        gc.collect()
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        return len(list(Path('/proc/self/fd').iterdir())), pages * resource.getpagesize() / 2**20

    epochs = '--skip_rate', '200', '--epoch', '15'
    assert command(*epochs) == 0  # what is loaded once is there then
    files, memory = held()
    assert command(*epochs) == 0
    files_after, memory_after = held()
    assert files_after <= files
    assert memory_after - memory < 30, 'fifteen more epochs took memory'
