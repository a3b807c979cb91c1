"""A run's folder: how it is found, whose it is, what may be written, what a checkpoint knows of itself."""
import json
import logging
import os
import shutil
import subprocess
from argparse import Namespace
from dataclasses import replace

import pytest
import torch

import utils.run
from main_cmu_3d import DEFAULTS
from opt import given_options, parse
from tests.conftest import few_frames, weights
from utils.build import Opened, build_network, load_windows
from utils.common import checkpoint, environment, run_folder
from utils.common.errors import InputError
from utils.data.cmu import DATASET
from utils.data.dataset import find_root
from utils.data.synthetic import files as synthetic
from utils.run import best_of, check_owner, find_start, main, selected_on

SHORT = ['--d_model', '1', '--num_gcn', '1', '--output_n', '10', '--skip_rate', '40', '--batch_size', '8',
         '--epoch', '1', '--cuda_idx', 'cpu', '--warmup_steps', '3']


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Dataset root with synthetic CMU recordings, each a few windows long."""
    root = tmp_path_factory.mktemp('few')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, 'draw_lengths', few_frames)
        synthetic.write('cmu', root)
    return root


@pytest.fixture(scope='module')
def whole_run(data, tmp_path_factory):
    """Folder of a trained and evaluated run; tests only read it."""
    folder = tmp_path_factory.mktemp('whole') / 'run'
    assert main(DATASET, DEFAULTS, ['--data_dir', str(data), *SHORT, '--exp', str(folder)]) == 0
    return folder


@pytest.fixture
def here(whole_run, tmp_path, monkeypatch, caplog):
    """A working folder with checkpoint/done, a run; warnings are in caplog."""
    shutil.copytree(whole_run, tmp_path / 'checkpoint' / 'done')
    monkeypatch.setattr(run_folder, 'RUNS', tmp_path / 'checkpoint')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger('ksof'), 'propagate', True)
    monkeypatch.setattr(utils.run, 'log_to_terminal', lambda: None)
    return tmp_path


def start_of(*words):
    """Where a command would begin."""
    words = ['--data_dir', 'D', *words]
    options = parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=words)
    return find_start(DATASET, vars(options), given_options('cmu', 'CMU mocap', DEFAULTS, words))


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*')
            if path.is_file() and path.suffix != '.lock'}


def rewrite(path, **changes):
    """Saves a checkpoint with other entries."""
    state = torch.load(path, weights_only=True)
    torch.save({name: value for name, value in (state | changes).items() if value is not None}, path)


# Where a run is.

def test_a_run_is_found_by_its_name_or_a_path(here, monkeypatch):
    run = here / 'checkpoint' / 'done'
    for name in ('done', 'done/', 'checkpoint/done', './checkpoint/done', str(run)):
        assert run_folder.place(name).resolve() == run, name
        assert run_folder.checkpoint_at(name).resolve() == run / checkpoint.BEST, name
    (here / 'else').mkdir()
    monkeypatch.chdir(here / 'else')
    for name in ('done', '../checkpoint/done'):
        assert run_folder.place(name).resolve() == run, name
    assert run_folder.place('new') == here / 'checkpoint' / 'new'
    assert run_folder.place('sub/new').resolve() == here / 'else' / 'sub' / 'new'
    shutil.move(run, here / 'else' / 'done')
    assert run_folder.place('done').resolve() == here / 'else' / 'done', 'as tools find it'


@pytest.mark.parametrize('words', [['--is_eval', '--exp', 'dnoe'], ['--is_load', '--exp', 'dnoe'],
                                   ['--is_eval', '--ckpt', 'dnoe'], ['--init', 'dnoe']])
def test_a_wrong_name_lists_the_runs_and_leaves_nothing(words, here):
    before = sorted(here.rglob('*'))
    with pytest.raises(InputError, match='no checkpoint there; the runs under checkpoint/ are done$'):
        start_of(*words)
    assert sorted(here.rglob('*')) == before


@pytest.mark.parametrize('name, said',
                         [('.', 'the folder that you stand in'), ('checkpoint', 'which holds the runs'),
                          ('..', 'or above it'), ('group', r'holds other runs \(inner\)')])
def test_a_folder_that_is_not_one_run_s_is_refused(name, said, here):
    shutil.copytree(here / 'checkpoint' / 'done', here / 'group' / 'inner')
    before = content(here)
    for _ in range(2):
        with pytest.raises(InputError, match=said):
            run_folder.start_run(run_folder.place(f'./{name}'), {}, 'id')
    assert content(here) == before


# Nothing is overwritten.

@pytest.mark.parametrize('sign', run_folder.SIGNS)
def test_any_sign_of_a_run_is_moved_aside(sign, here, caplog):
    folder = here / 'checkpoint' / 'new'
    folder.mkdir()
    (folder / sign).write_text('kept')
    run_folder.start_run(folder, {'epoch': 3}, 'id').release()
    assert (here / 'checkpoint' / 'new.1' / sign).read_text() == 'kept'
    about = run_folder.read_about(folder)
    assert about['options'] == {'epoch': 3} and about['run_id'] == 'id'
    assert about['started'].endswith('+00:00')
    assert 'now moved to' in caplog.text
    assert ('a released run' in caplog.text) == (sign == checkpoint.BEST)


def test_forgetting_is_eval_costs_no_weights(here, data, caplog):
    released = here / 'checkpoint' / 'done'
    (released / checkpoint.LAST).unlink()
    before = content(released)
    assert main(DATASET, DEFAULTS, ['--data_dir', str(data), *SHORT, '--no_test', '--exp', 'done']) == 0
    assert content(here / 'checkpoint' / 'done.1') == before
    assert 'held a released run' in caplog.text and '--is_eval' in caplog.text


# Whose tables and checkpoints are in a folder.

def test_tables_of_another_run_are_refused_and_go_beside_their_checkpoint(here):
    other = shutil.copytree(here / 'checkpoint' / 'done', here / 'checkpoint' / 'other')
    run_folder.write_about(other, run_folder.read_about(other) | {'run_id': 'another'})
    for name in (checkpoint.LAST, checkpoint.BEST):
        rewrite(other / name, run_id='another')
    best = str(other / checkpoint.BEST)
    with pytest.raises(InputError, match='--exp .*done: holds another run than .*other'):
        start_of('--is_eval', '--exp', 'done', '--ckpt', best)
    assert start_of('--is_eval', '--ckpt', best).folder == other
    assert start_of('--is_eval', '--ckpt', best, '--exp', 'tables').folder == here / 'checkpoint' / 'tables'
    shutil.copytree(other, here / 'copy')
    same = start_of('--is_eval', '--ckpt', best, '--exp', './copy').path
    assert same == other / checkpoint.BEST, 'the same run'


def test_results_say_which_checkpoint_was_scored(here, data, capsys):
    run, tables = here / 'checkpoint' / 'done', here / 'tables'
    scored = json.loads((run / 'results.json').read_text())['checkpoint']
    state, digest = checkpoint.load_with_digest(run / checkpoint.BEST)
    assert scored == {'path': checkpoint.BEST, 'epoch': 1, 'sha256': digest, 'run_id': state['run_id']}
    # The shape is the checkpoint's: nothing but the data has to be said.
    words = ['--data_dir', str(data), '--cuda_idx', 'cpu', '--is_eval']
    assert main(DATASET, DEFAULTS, [*words, '--exp', 'done']) == 0
    assert main(DATASET, DEFAULTS, [*words, '--ckpt', str(run / checkpoint.LAST), '--exp', './tables']) == 0
    there = json.loads((tables / 'results.json').read_text())
    assert there['checkpoint']['path'] == f'../checkpoint/done/{checkpoint.LAST}'
    assert there['methods'] == json.loads((run / 'results.json').read_text())['methods']
    other = Opened(state | {'run_id': 'another'}, {}, 'another')
    with pytest.raises(InputError, match='holds another run'):
        check_owner(tables, here / 'x' / checkpoint.BEST, other)


def test_an_evaluation_does_not_write_into_a_new_run_of_the_same_name(here, data, monkeypatch, capsys):
    run, score_methods = here / 'checkpoint' / 'done', utils.run.score_methods

    def slowly(*arguments, **options):
        run_folder.start_run(run, {}, 'new').release()
        return score_methods(*arguments, **options)

    monkeypatch.setattr(utils.run, 'score_methods', slowly)
    before = content(run)
    assert main(DATASET, DEFAULTS,
                ['--data_dir', str(data), '--cuda_idx', 'cpu', '--is_eval', '--exp', 'done']) == 2
    assert 'another run has taken this folder meanwhile' in capsys.readouterr().err
    assert list(content(run)) == [next(path for path in content(run) if path.name == 'options.json')]
    assert content(here / 'checkpoint' / 'done.1') == before


def test_writers_of_tables_take_turns(here, monkeypatch):
    run = here / 'checkpoint' / 'done'
    quick = run_folder.FileLock
    monkeypatch.setattr(run_folder, 'FileLock', lambda path, timeout: quick(path, timeout=0))
    with run_folder.tables_lock(run):
        said = 'another process has been writing tables'
        with pytest.raises(InputError, match=said), run_folder.tables_lock(run):
            pass
        with pytest.raises(InputError, match='another process'):
            run_folder.start_run(run, {}, 'id')
    assert run.is_dir() and not run.with_name('done.1').exists()


# What --is_load goes on with.

def test_going_on_elsewhere_takes_the_best_epoch_along_and_moves_what_is_there(here, data, caplog):
    done, other = here / 'checkpoint' / 'done', here / 'checkpoint' / 'other'
    shutil.copytree(done, other)
    for name in (checkpoint.LAST, checkpoint.BEST):
        rewrite(other / name, run_id='another')
    before = content(other)
    words = ['--data_dir', str(data), *SHORT, '--no_test', '--exp', 'other', '--is_load', '--ckpt',
             str(done / checkpoint.LAST)]
    assert main(DATASET, DEFAULTS, words) == 0
    assert content(here / 'checkpoint' / 'other.1') == before and 'now moved to' in caplog.text
    first, last = (checkpoint.load(other / name) for name in (checkpoint.BEST, checkpoint.LAST))
    assert first['run_id'] == last['run_id'] == checkpoint.load(done / checkpoint.LAST)['run_id']
    assert checkpoint.same_run(first, last) and first['epoch'] == last['best']['epoch']
    about = run_folder.read_about(other)
    assert about['run_id'] == first['run_id']
    [resumed] = about['resumed']
    assert resumed['epochs_done'] == resumed['epochs'] == 1 and resumed['threads'] == torch.get_num_threads()
    assert resumed['git_revision'] == about['git_revision']


def test_a_run_that_has_gone_on_does_not_begin_again_from_an_earlier_checkpoint(here, data, capsys):
    done, copy = here / 'checkpoint' / 'done', here / 'checkpoint' / 'copy'
    shutil.copy(done / checkpoint.LAST, here / 'early.pth.tar')
    words = ['--data_dir', str(data), *SHORT, '--epoch', '2', '--no_test', '--is_load',
             '--ckpt', 'early.pth.tar', '--exp']
    assert main(DATASET, DEFAULTS, [*words, 'copy']) == 0
    assert main(DATASET, DEFAULTS, [*words, 'done']) == 0, 'done has not gone on from it'
    before = content(copy), content(done)
    for folder in ('copy', 'done'):
        assert main(DATASET, DEFAULTS, [*words, folder]) == 2
        said = capsys.readouterr().err
        assert 'this run has gone on to epoch 3, step 0, in ' in said and 'leave out --ckpt' in said
    assert (content(copy), content(done)) == before and not copy.with_name('copy.1').exists()
    (copy / checkpoint.LAST).write_bytes(b'damaged')
    assert start_of('--is_load', '--ckpt', 'early.pth.tar', '--exp', 'copy', *words[2:-5]).folder == copy


def test_what_chose_the_epoch_of_a_checkpoint_is_said_as_it_was():
    def said(epoch, refit=False, **more):
        history = [{'epoch': k, 'validation': error, 'refit': float(refit)}
                   for k, error in enumerate((3.0, 1.0, 2.0), start=1)][:epoch]
        saved = {'epoch': epoch, 'history': history} | more
        return selected_on(Opened(saved, {'refit': refit, 'epoch': 3}, ''))

    assert said(2) == said(2, best=None) == said(2, progress={'step': 0}) == 'validation'
    assert said(3) == said(2, progress={'step': 5}) == 'no data (named with --ckpt)'
    assert said(3, refit=True) == 'no data (the last of a refit)'
    assert said(2, refit=True) == 'no data (stopped in the middle of a refit)'


def test_best_and_last_are_of_one_run(here):
    done = here / 'checkpoint' / 'done'
    last = checkpoint.load(done / checkpoint.LAST)
    assert best_of(last, done / checkpoint.LAST, True) is None
    (done / checkpoint.BEST).unlink()
    assert best_of(last, done / checkpoint.LAST, True) is last, 'the last epoch is the best one'
    trained_on = last | {'progress': last['progress'] | {'step': 3}}
    with pytest.raises(InputError, match='its best epoch, 1, is not in'):
        best_of(trained_on, done / checkpoint.LAST, True)
    checkpoint.save(done / checkpoint.BEST, last | {'run_id': 'another'})
    with pytest.raises(InputError, match='is of another run than ckpt_last'):
        best_of(last, done / checkpoint.LAST, True)


def test_runs_from_before_ids_are_told_apart_by_their_epochs():
    epochs = [{'epoch': 1, 'seconds': 1.5}, {'epoch': 2, 'seconds': 1.25}]
    assert checkpoint.same_run({'history': epochs}, {'history': epochs[:1], 'run_id': 'x'})
    assert not checkpoint.same_run({'history': epochs}, {'history': [epochs[0] | {'seconds': 2.0}]})
    assert not checkpoint.same_run({'history': epochs, 'run_id': 'y'}, {'history': epochs, 'run_id': 'x'})


def test_a_failed_resume_leaves_nothing_behind(here, data, capsys):
    before, folders = content(here), sorted(here.rglob('*'))
    last = str(here / 'checkpoint' / 'done' / checkpoint.LAST)
    words = ['--data_dir', str(data), *SHORT, '--exp', 'new', '--is_load']
    for more in ([], ['--ckpt', last, '--seed', '7'],
                 ['--ckpt', last, '--num_gcn', '2', '--skip_rate', '41']):
        assert main(DATASET, DEFAULTS, [*words, *more]) == 2
    said = capsys.readouterr().err
    assert 'was made with --num_gcn 1, this command says 2; with --skip_rate 40, this command says 41' in said
    assert content(here) == before and sorted(here.rglob('*')) == folders


def test_other_frames_are_refused(here, data, capsys, monkeypatch):
    def halved(settings, root, split, device):
        windows = load_windows(settings, root, split, device)
        if split == changed:
            windows.frames[7, 30] += 0.01
        return windows

    monkeypatch.setattr(utils.run, 'load_windows', halved)
    words = ['--data_dir', str(data), *SHORT, '--no_test', '--exp', 'done', '--is_load']
    for changed in ('train', 'validation'):
        assert main(DATASET, DEFAULTS, words) == 2
        assert f'was made with other frames of {changed} than are in --data_dir' in capsys.readouterr().err
    changed = 'none'
    assert main(DATASET, DEFAULTS, words) == 0
    last = checkpoint.load(here / 'checkpoint' / 'done' / checkpoint.LAST)
    assert set(last['data']) == {'train', 'validation'}
    rewrite(here / 'checkpoint' / 'done' / checkpoint.LAST, data=last['data'] | {'test': 'earlier'})
    changed = 'test'
    assert main(DATASET, DEFAULTS, [word for word in words if word != '--no_test']) == 0, 'not trained on'
    rewrite(here / 'checkpoint' / 'done' / checkpoint.LAST, data=None)
    changed = 'train'
    assert main(DATASET, DEFAULTS, words) == 0, 'a checkpoint from before checksums'


def test_checksums_are_of_frames_and_windows(data):
    settings = vars(parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=['--data_dir', str(data), *SHORT]))
    windows = load_windows(settings, find_root(str(data), DATASET), 'train', torch.device('cpu'))
    assert replace(windows).checksum == windows.checksum and len(windows.checksum) == 32
    assert replace(windows, starts=windows.starts[1:]).checksum != windows.checksum
    assert replace(windows, frames=-windows.frames).checksum != windows.checksum


# What a checkpoint knows.

def test_the_shape_is_the_checkpoint_s_and_all_differences_are_named(here):
    start = start_of('--is_eval', '--exp', 'done')
    assert [start.settings[name] for name in ('d_model', 'num_gcn', 'output_n')] == [1, 1, 10]
    assert start.settings['test_batch_size'] == DEFAULTS['test_batch_size']
    with pytest.raises(InputError) as refused:
        start_of('--is_eval', '--exp', 'done', '--output_n', '25', '--d_model', '1', '--dct_n', '35',
                 '--recipe', 'accurate')
    assert str(refused.value).endswith('was made with --output_n 10, this command says 25; with --dct_n 15, '
                                       'this command says 35; with --symmetry off, this command says average')
    options = checkpoint.load(here / 'checkpoint' / 'done' / checkpoint.LAST)['options'] \
        | {'dataset': '3dpw', 'node_n': 69}
    rewrite(here / 'checkpoint' / 'done' / checkpoint.BEST, options=options,
            model=build_network(options).state_dict())
    with pytest.raises(InputError, match='was made with dataset 3dpw, this command says cmu'):
        start_of('--is_eval', '--exp', 'done')


def test_a_run_starts_from_the_weights_of_another(here, data, capsys, monkeypatch):
    words = ['--data_dir', str(data), '--no_test', '--cuda_idx', 'cpu', '--skip_rate', '40', '--epoch', '1',
             '--lr_now', '0']
    assert main(DATASET, DEFAULTS, [*words, '--init', 'done', '--seed', '9', '--exp', 'tuned']) == 0
    tuned, done = here / 'checkpoint' / 'tuned', here / 'checkpoint' / 'done'
    before, after = (weights(folder, checkpoint.BEST) for folder in (done, tuned))
    learned = [name for name in before if not name.startswith('loss.') and 'running_' not in name
               and 'tracked' not in name]
    changed = [name for name in learned if not torch.equal(before[name], after[name])]
    assert learned and not changed, 'a rate of 0 changes none'
    state = checkpoint.load(tuned / checkpoint.LAST)
    assert state['options']['seed'] == 9 and state['options']['lr_now'] == 0
    assert state['options']['d_model'] == 1
    assert state['run_id'] != checkpoint.load(done / checkpoint.LAST)['run_id'] and len(state['history']) == 1
    # The same command goes on, also where the weights that it began with are gone.
    shutil.rmtree(done)
    assert main(DATASET, DEFAULTS,
                [*words, '--init', 'done', '--seed', '9', '--exp', 'tuned', '--is_load']) == 0


def test_a_run_does_not_move_the_weights_aside_that_it_starts_from(here):
    for exp in ('done', './checkpoint/done'):
        with pytest.raises(InputError, match='--init done: lies in .*done, which the new run would have too'):
            start_of('--init', 'done', '--exp', exp)


def test_weights_of_a_refit_spoil_the_validation_of_what_starts_from_them(here, caplog):
    best = here / 'checkpoint' / 'done' / checkpoint.BEST
    start_of('--init', 'done', '--exp', 'tuned')
    assert not caplog.text
    rewrite(best, options=checkpoint.load(best)['options'] | {'refit': True})
    start_of('--init', 'done', '--exp', 'tuned', '--refit')
    assert not caplog.text
    start_of('--init', 'done', '--exp', 'tuned')
    assert 'was trained on its validation windows too, with --refit' in caplog.text


def test_what_does_not_fit_is_refused_by_name(here, data, capsys):
    words = ['--data_dir', str(data), '--init', 'done', '--exp', 'tuned', '--cuda_idx', 'cpu']
    assert main(DATASET, DEFAULTS, [*words, '--num_gcn', '2', '--d_model', '2']) == 2
    assert ('does not fit: it was made with --num_gcn 1, this command says 2, '
            '--d_model 1, this command says 2'
            in capsys.readouterr().err)
    assert not (here / 'checkpoint' / 'tuned').exists()
    assert start_of('--init', 'done', '--symmetry', 'average').settings['symmetry'] == 'average'
    assert start_of('--init', 'done').folder.name.startswith('cmu_in10_out10_dct15_gcn1_d1')


def test_the_revision_is_this_repository_s(monkeypatch, tmp_path):
    is_checkout = (environment.PROJECT / '.git').exists()
    assert environment.git_revision() != 'unknown: not a git checkout' or not is_checkout
    inner = environment.PROJECT / 'utils'
    monkeypatch.setattr(environment, 'PROJECT', inner)
    assert environment.git_revision.__wrapped__() == 'unknown: not a git checkout'


def test_a_git_that_hangs_is_asked_once(monkeypatch):
    asked = []

    def hang(*words, timeout, **_):
        asked.append(timeout)
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(environment.subprocess, 'run', hang)
    environment.git_revision.cache_clear()
    assert [environment.git_revision() for _ in range(3)] == ['unknown: not a git checkout'] * 3
    environment.git_revision.cache_clear()
    assert len(asked) == 1 and asked[0] < 10


@pytest.mark.parametrize('word, option',
                         [('--epochs', '--epoch'), ('--lr', '--lr_now'), ('--batch-size', '--batch_size'),
                          ('--gpu', '--cuda_idx'), ('--outputn', '--output_n'), ('--resume', '--is_load')])
def test_names_of_other_projects_are_answered(word, option):
    with pytest.raises(InputError, match=f'did you mean {option}[?]'):
        parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=['--data_dir', 'x', word, '3'])
    with pytest.raises(InputError) as plain:
        parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=['--data_dir', 'x', '--colour', '3'])
    assert 'did you mean' not in str(plain.value)


def test_options_that_a_command_names():
    words = ['--data_dir', 'x', '--recipe', 'short', '--mirror', '0.1', '--is_eval']
    named = given_options('cmu', 'CMU mocap', DEFAULTS, words)
    assert named['mirror'] == 0.1 and named['symmetry'] == 'average' and named['is_eval'] is True
    assert 'output_n' not in named and isinstance(parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=words),
                                                  Namespace)
    assert os.fspath(run_folder.RUNS)
