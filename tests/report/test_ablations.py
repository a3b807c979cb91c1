"""Parts left out one at a time, runs that leave the test split alone, and the tool that compares changes."""
import csv
import shutil
import statistics

import pytest
import torch
from torch import nn

import utils.run
from main_cmu_3d import DATASET, DEFAULTS
from model.ksof import KSOF
from model.losses import KSOFLoss
from opt import PARTS
from tests.conftest import TINY, numbers
from tools import ablate
from tools.series import read_words
from utils.common.cli import run_tool

SIZES = {'node_n': 12, 'input_n': 10, 'output_n': 8, 'dct_n': 6, 'num_gcn': 1, 'd_model': 1, 'dropout': 0.0}


@pytest.fixture
def observed():
    torch.manual_seed(3)
    return 100 * torch.randn(6, 1, 12) + torch.randn(6, 10, 12).cumsum(1)


def trained(model, observed):
    """The network after a few steps, so that no part is still at the zero it begins with."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(8):
        optimiser.zero_grad()
        prediction = model(observed)
        sum((part - observed[:, :8] - 50).square().mean() for part in prediction).backward()
        optimiser.step()
    return model


@pytest.fixture
def no_test(sample_cmu, tmp_path):
    """A dataset root whose test files no reader would take."""
    shutil.copytree(sample_cmu, tmp_path / 'no_test')
    for path in (tmp_path / 'no_test' / 'cmu_mocap' / 'test').rglob('*.txt'):
        path.write_text('not motion')
    return tmp_path / 'no_test'


def test_without_gates_the_paths_count_whole(observed):
    both = {gates: KSOF(**SIZES, gates=gates) for gates in (True, False)}
    path = torch.randn(6, 8, 12)
    # gates of one half at first, and no correction yet
    assert torch.allclose(both[True].fuse(path, path), path)
    assert torch.allclose(both[False].fuse(path, path), 2 * path)
    gates = {gated: sum('gate' in name for name in both[gated].state_dict()) for gated in both}
    assert gates[False] == 0 < gates[True]


def test_without_its_residual_the_fusion_is_all_there_is(observed):
    torch.manual_seed(0)
    model = trained(KSOF(**SIZES, fusion_residual=False), observed).eval()
    prediction = model(observed)
    last = observed[:, -1:]
    gated = model.gate(prediction.temporal - last), model.gate(prediction.spatial - last)
    assert torch.allclose(prediction.fused, last + model.fusion(*gated), atol=1e-4)
    model.fusion_residual = True
    assert torch.allclose(model(observed).fused - prediction.fused, sum(gated), atol=1e-3)


@pytest.mark.parametrize(('norm', 'alone'), [('batch', False), ('layer', True)])
def test_layer_norms_see_one_window_batch_norms_all(norm, alone, observed):
    """In training, another window in the batch changes a window's prediction through batch norms alone."""
    torch.manual_seed(0)
    model = trained(KSOF(**SIZES, norm=norm), observed).train()
    other = observed.clone()
    other[1:] += 30 * torch.randn(5, 10, 12)
    first, second = model(observed).spatial[0], model(other).spatial[0]
    assert torch.allclose(first, second, atol=1e-3) == alone
    assert any(isinstance(module, nn.BatchNorm1d) for module in model.sgcn.modules()) != alone


def test_fixed_loss_weights_stay(observed):
    for learned in (True, False):
        criterion, model = KSOFLoss(learned_weights=learned), KSOF(**SIZES)
        before = [weight.clone() for weight in criterion.parameters()]
        optimiser = torch.optim.Adam([*model.parameters(), *criterion.parameters()], lr=0.01)
        criterion(model(observed), observed[:, 2:]).total.backward()
        optimiser.step()
        assert [torch.equal(*pair)
                for pair in zip(before, criterion.parameters(), strict=True)] == [not learned] * 2


@pytest.mark.parametrize('part', PARTS)
def test_a_run_without_a_part_goes_on_and_is_evaluated_without_it(part, command, tmp_path, capsys):
    assert command('--without', part, '--epoch', '1') == 0
    assert command('--without', part, '--epoch', '2', '--is_load') == 0
    assert command('--is_eval') == 0  # its checkpoint knows
    assert command('--is_eval', '--without', 'nothing') == 2
    assert f'was made with --without {part}' in capsys.readouterr().err
    a, b = zip(*((row['a'], row['b']) for row in csv.DictReader((tmp_path / 'run' / 'history.csv').open())),
               strict=True)
    assert (len({*a}) == len({*b}) == 1) == (part == 'loss_weights')


def test_a_run_can_leave_the_test_split_unread(no_test, command, tmp_path, capsys):
    words = ['--data_dir', str(no_test), '--epoch', '1']
    assert command(*words) == 2
    assert command(*words, '--no_test') == 0
    assert capsys.readouterr().out == ''
    made = {path.name for path in (tmp_path / 'run').iterdir()}
    assert 'history.csv' in made and not {'results.json', 'results.md', 'test_all_eval.csv'} & made
    assert command('--no_test', '--is_eval') == 2
    assert command('--is_eval') == 0  # with the same data's test files


def test_epochs_tell_how_predictions_move(command, tmp_path, monkeypatch):
    """The acceleration columns against an own computation, on what the network predicts for validation."""
    seen = []
    monkeypatch.setattr(utils.run, 'train', lambda training: (train(training), seen.append(training)))
    assert command('--epoch', '1', '--no_test') == 0
    [training] = seen
    windows, model = training.windows['validation'], training.state.model.eval()
    batch = next(windows.batches(len(windows)))
    with torch.inference_mode():
        poses = {'own': model(batch.observed).fused, 'true': batch.future}
    moves = {}
    for name, future in poses.items():
        x = torch.cat([batch.observed[:, -2:], future], 1).reshape(len(future), -1, 25, 3).double()
        moves[name] = x[:, 2:] - 2 * x[:, 1:-1] + x[:, :-2]
    for column, vectors in (('acceleration', moves['own']),
                            ('acceleration_error', moves['own'] - moves['true'])):
        of_windows = vectors.square().sum(-1).sqrt().mean((1, 2))
        of_actions = [of_windows[batch.actions == action].mean().item() for action in batch.actions.unique()]
        assert training.state.history[0][column] == pytest.approx(statistics.mean(of_actions), rel=1e-4)


train = utils.run.train


@pytest.fixture
def compare(no_test, tmp_path, capsys):
    """Run the tool on data without readable test files; returns exit code, stdout and stderr."""
    def run(*more):
        try:
            code = run_tool(ablate.main, [str(no_test), '--runs', str(tmp_path / 'runs'), *TINY[:-2], *more])
        except SystemExit as stopped:
            code = stopped.code
        return code, *capsys.readouterr()
    return run


def rows_of(page):
    """The table's rows by change, each a dictionary."""
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in page.splitlines()
             if line.startswith('|')]
    return {row[0]: dict(zip(lines[0], row, strict=True)) for row in lines[2:]}


def test_the_table_of_changes_and_a_second_call_that_trains_nothing(compare, tmp_path, monkeypatch):
    chosen = ['--only', 'unchanged', 'd_model_x2', '--seeds', '0', '1', '--epoch', '2']
    code, out, err = compare(*chosen)
    assert code == 0, err
    page = tmp_path / 'runs' / 'ablations.md'
    rows = rows_of(page.read_text())
    assert list(rows) == ['unchanged', 'd_model_x2']
    errors = {}
    for name, row in rows.items():
        histories = [list(csv.DictReader((tmp_path / 'runs' / f'{name}_seed{seed}' / 'history.csv').open()))
                     for seed in (0, 1)]
        best = [min(history, key=lambda entry: float(entry['validation'])) for history in histories]
        assert [row['seed 0'], row['seed 1']] == [f'{float(entry["validation"]):.2f}' for entry in best]
        assert row['epochs'] == str(len(histories[0])) == ('1' if name == 'd_model_x2' else '2')
        for column, key in (('acceleration error', 'acceleration_error'), ('bone error', 'bone_error')):
            assert row[column] == f'{statistics.mean(float(entry[key]) for entry in best):.2f}'
        errors[name] = statistics.mean(float(entry['validation']) for entry in best)
        assert row['against unchanged'] == f'{100 * (errors[name] / errors["unchanged"] - 1):+.1f}%'
    parameters = {name: int(row['parameters'].replace(',', '')) for name, row in rows.items()}
    assert parameters['d_model_x2'] > parameters['unchanged']
    assert rows['unchanged']['seed 0'] != rows['unchanged']['seed 1']

    monkeypatch.setattr(utils.run, 'main', None)  # would train
    before = page.read_text()
    code, again, _ = compare(*chosen)
    assert code == 0 and again == out and page.read_text() == before and numbers(again) == numbers(before)
    assert max(map(len, again.splitlines()[:-1])) <= 80
    code, _, err = compare(*chosen, '--dropout', '0.4')
    assert code == 2 and 'was made with --dropout 0.3, this command says 0.4' in err
    # one of them asked for: the table is of all that are there
    code, again, _ = compare(*chosen[:2], *chosen[3:])
    assert code == 0 and '| d_model_x2 |' in page.read_text() and '\nd_model_x2  ' in again

    shutil.rmtree(tmp_path / 'runs' / 'd_model_x2_seed1')  # what has one seed is compared with that seed
    code, again, _ = compare(*chosen[:2], *chosen[3:])
    shown = rows_of(page.read_text())['d_model_x2']
    alone = 100 * (float(rows['d_model_x2']['seed 0']) / float(rows['unchanged']['seed 0']) - 1)
    assert code == 0 and float(shown['against unchanged'].strip('%')) == pytest.approx(alone, abs=0.1)
    assert shown['seed 1'] == '-'


def test_runs_of_other_settings_do_not_stand_in_the_table(compare, tmp_path):
    few = ['--seeds', '0', '--epoch', '1', '--only']
    assert compare(*few, 'unchanged')[0] == 0
    code, out, err = compare('--dropout', '0.4', *few, 'jps_0')
    assert code == 0 and 'left out of the table: ' in err and '--dropout 0.3, this command says 0.4' in err
    assert list(rows_of((tmp_path / 'runs' / 'ablations.md').read_text())) == ['jps_0']


def test_a_series_knows_its_runs_again(compare, no_test, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    words = ['--only', 'unchanged', '--seeds', '0', '--epoch', '1']
    assert compare(*words, '--amp')[0] == compare(*words, '--amp')[0] == 0
    # With --init the shape is that of its run.
    unnamed = [str(no_test), '--runs', str(tmp_path / 'tuned'), '--skip_rate', '40', '--cuda_idx', 'cpu',
               '--init', str(tmp_path / 'runs' / 'unchanged_seed0'), *words]
    assert run_tool(ablate.main, unnamed) == run_tool(ablate.main, unnamed) == 0
    assert run_tool(ablate.main, [*unnamed, '--d_model', '2']) == 2
    assert 'was made with --d_model 1, this command says 2' in capsys.readouterr().err


def test_a_refit_is_no_start_for_a_comparison_on_validation(compare, no_test, command, tmp_path, capsys):
    assert command('--refit', '--no_test', '--epoch', '1') == 0
    code, _, err = compare('--only', 'unchanged', '--init', str(tmp_path / 'run'))
    assert code == 2 and '--init: a refit has been trained on the validation windows' in err
    assert not (tmp_path / 'runs').exists()


def test_a_run_that_fails_does_not_stop_the_others(compare, tmp_path, monkeypatch):
    whole = utils.run.main

    def failing(dataset, defaults, words):
        if 'packed' in words:
            raise RuntimeError('the accelerator fell off the bus')
        return whole(dataset, defaults, words)

    monkeypatch.setattr(utils.run, 'main', failing)
    code, out, err = compare('--only', 'unchanged', 'topk_packed', 'jps_0', '--seeds', '0', '--epoch', '1')
    assert code == 1 and 'fell off the bus' in err
    assert err.endswith('error: 1 of 3 runs failed: topk_packed_seed0\n')
    assert list(rows_of((tmp_path / 'runs' / 'ablations.md').read_text())) == ['unchanged', 'jps_0']

    def stopped(*_):
        return 130

    monkeypatch.setattr(utils.run, 'main', stopped)
    code, out, err = compare('--only', 'topk_packed', 'topk_off', '--seeds', '0', '--epoch', '1')
    assert code == 130 and err.endswith('stopped: the same command goes on from here\n')
    assert 'topk_off' not in err


def test_changes_are_option_words_that_the_main_takes():
    """Each differs from the command's own settings, with the paper's training or with the recipe.

    No two are the same.
    """
    useless = set(ablate.CHANGES)
    for recipe in ([], ['--recipe', 'short']):
        words = ['--data_dir', 'DATA', '--output_n', '10', '--d_model', '4', '--epoch', '8', *recipe]
        base = read_words(DATASET, DEFAULTS, words)
        differing = [name for name in ablate.CHANGES if ablate.changes_something(name, words, base)]
        useless -= set(differing)
        settings = [read_words(DATASET, DEFAULTS, [*words, *ablate.changed_words(ablate.CHANGES[name], base)])
                    for name in differing]
        assert len({str(own | {'exp': None}) for own in settings}) == len(settings), 'a change is there twice'
        assert [(own['d_model'], own['epoch']) for own in settings].count((16, 2)) == 1
    assert not useless
    assert ablate.changed_words('--epoch /4', {'epoch': 3}) == ['--epoch', '1']


def test_a_change_that_is_none_is_left_out(compare, tmp_path, monkeypatch):
    monkeypatch.setitem(ablate.CHANGES, 'dropout_none', '--dropout 0.3')
    code, out, err = compare('--only', 'dropout_none', '--seeds', '0')
    assert code == 2 and 'dropout_none is left out: --dropout 0.3 is what the command says already' in err
    assert err.endswith('error: --only: names nothing that differs from the command\'s own settings\n')
    assert not (tmp_path / 'runs').exists()


def test_what_the_tool_does_not_take(compare, tmp_path):
    for words, part in ((['--seed', '3'], '--seed'), (['--only', 'all'], '--only'),
                        (['--is_eval'], '--is_eval'),
                        (['--d_model', '0'], '--d_model'),
                        (['--output_n', '10', '--dct_n', '21'], '--dct_n')):
        code, _, err = compare(*words)
        assert code == 2 and err.startswith('error: ') and part in err and err.count('\n') == 1, err
    assert not (tmp_path / 'runs').exists()
