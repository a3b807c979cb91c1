"""What goes beyond the paper: drawn windows, averaged weights, supervised velocities, and their recipe."""
import csv
import os
import signal

import pytest
import torch

from main_cmu_3d import DEFAULTS
from model.ksof import Prediction
from model.losses import KSOFLoss, mpjpe
from opt import OLDER, RECIPES, completed, parse
from tests.conftest import weights
from utils.common import checkpoint
from utils.evaluate.symmetry import SymmetryAverage
from utils.predict.trained import load_trained
from utils.train import engine
from utils.train.engine import epoch_order

ALL = ['--recipe', 'accurate', '--average', '0.8']


def settings(*more):
    return vars(parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=['--data_dir', 'x', *more]))


def test_a_recipe_is_other_defaults_which_options_may_override():
    plain, recipe = settings(), settings('--recipe', 'accurate')
    changed = settings('--recipe', 'accurate', '--mirror', '0.1')
    differing = {name for name in plain if plain[name] != recipe[name]}
    assert differing == {*RECIPES['accurate'], 'recipe', 'exp'}
    # The paper's command line has none of it.
    assert all(plain[name] in (0, 'off') for name in RECIPES['accurate'])
    assert {name for name in recipe if recipe[name] != changed[name]} == {'mirror'}
    assert changed['mirror'] == 0.1


def test_velocities_are_supervised_beside_the_paper_s_terms():
    truth, predicted = torch.randn(4, 6, 9), torch.randn(4, 6, 9)
    prediction = Prediction(predicted, predicted, predicted)
    plain, more = KSOFLoss()(prediction, truth), KSOFLoss(velocity_weight=2.0)(prediction, truth)
    steps = mpjpe(predicted[:, 1:] - predicted[:, :-1], truth[:, 1:] - truth[:, :-1])
    assert more.total.item() == pytest.approx(plain.total.item() + 2 * steps.item(), rel=1e-6)
    assert more[1:] == plain[1:]


def test_near_frames_count_more_by_the_power_that_is_given():
    torch.manual_seed(0)
    truth, predicted = torch.randn(4, 6, 9), torch.randn(4, 6, 9)
    prediction = Prediction(predicted, predicted, predicted)
    plain, more = KSOFLoss()(prediction, truth), KSOFLoss(near_frames=0.5)(prediction, truth)
    of_frames = [mpjpe(predicted[:, k], truth[:, k]).item() for k in range(6)]
    shares = [(k + 1) ** -0.5 for k in range(6)]
    weighted = sum(share * error for share, error in zip(shares, of_frames, strict=True)) / sum(shares)
    assert more.total.item() == pytest.approx(plain.total.item() - plain.fused.item() + weighted, rel=1e-6)
    assert more[1:] == plain[1:] and weighted != pytest.approx(plain.fused.item(), rel=1e-3)


def test_windows_are_drawn_as_often_as_their_weights_say():
    draw = torch.tensor([1.0] * 50 + [3.0] * 50).double()
    order = epoch_order(100, seed=0, epoch=1, weights=draw)
    assert torch.equal(order, epoch_order(100, seed=0, epoch=1, weights=draw)) and len(order) == 100
    often = torch.cat([epoch_order(100, seed=0, epoch=epoch, weights=draw) for epoch in range(200)])
    assert (often >= 50).double().mean().item() == pytest.approx(0.75, abs=0.02)


def test_all_of_it_again_is_the_same_run(command, tmp_path):
    assert command(*ALL, '--epoch', '3') == 0
    whole = checkpoint.load(tmp_path / 'run' / 'ckpt_last.pth.tar')
    assert command(*ALL, '--epoch', '3', '--exp', str(tmp_path / 'other')) == 0
    first = checkpoint.load(tmp_path / 'other' / 'ckpt_last.pth.tar')
    assert all(torch.equal(first['model'][name], whole['model'][name]) for name in whole['model'])
    average, trained = whole['model'], whole['average']['model']
    assert whole['average']['steps'] == whole['step'] and average.keys() == trained.keys()
    assert sum(not torch.equal(average[name], trained[name]) for name in average) > 0.9 * len(average)


def test_the_average_is_what_is_scored_and_it_is_an_average(command, tmp_path, monkeypatch):
    """After one step the average is the weights; later it is the recursion that its decay says.

    The decay grows to its value.
    """
    trail, train_step = [], engine.train_step

    def recorded(state, *arguments, **options):
        train_step(state, *arguments, **options)
        trail.append({name: value.clone() for name, value in state.model.state_dict().items()})

    monkeypatch.setattr(engine, 'train_step', recorded)
    assert command('--average', '0.3', '--epoch', '1') == 0
    expected = trail[0]
    for n, after in enumerate(trail[1:], start=1):
        decay = min(0.3, (n + 1) / (n + 10))
        expected = {name: decay * expected[name] + (1 - decay) * after[name] for name in after}
    assert len(trail) > 4  # on both sides of where the decay stops growing
    saved = weights(tmp_path / 'run')
    for name, value in expected.items():
        if trail[0][name].is_floating_point():  # batch norms count their steps, too
            assert torch.allclose(saved[name], value, rtol=1e-4, atol=1e-5), name


def test_a_stop_in_an_epoch_leaves_no_trace_with_all_of_it(command, tmp_path, monkeypatch):
    assert command(*ALL, '--epoch', '2', '--exp', str(tmp_path / 'whole')) == 0
    steps, train_step = [], engine.train_step

    def stopped(*arguments, **options):
        steps.append(train_step(*arguments, **options))
        if len(steps) == 13:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(engine, 'train_step', stopped)
    assert command(*ALL, '--epoch', '2') == 143
    monkeypatch.undo()
    assert command(*ALL, '--epoch', '2', '--is_load') == 0
    a, b = (checkpoint.load(tmp_path / name / 'ckpt_last.pth.tar') for name in ('whole', 'run'))
    for part in (lambda state: state['model'], lambda state: state['average']['model']):
        assert all(torch.equal(part(a)[name], part(b)[name]) for name in part(a))
    rows = [list(csv.DictReader((tmp_path / name / 'history.csv').open())) for name in ('whole', 'run')]
    assert [row['validation'] for row in rows[0]] == [row['validation'] for row in rows[1]]


@pytest.mark.parametrize('words',
                         [['--mirror', '1.5'], ['--reverse', '2'], ['--average', '1'], ['--recipe', 'best']])
def test_what_cannot_be_meant_is_refused(words, command, capsys):
    assert command(*words) == 2
    assert words[0] in capsys.readouterr().err


def test_a_run_goes_on_with_the_same_recipe_only(command, capsys):
    assert command('--epoch', '1') == 0
    assert command('--epoch', '2', '--is_load', '--mirror', '0.5') == 2
    assert '--mirror' in capsys.readouterr().err


def test_what_earlier_versions_did_is_what_the_defaults_mean():
    defaults = settings()
    assert completed({}) == {name: defaults[name] for name in OLDER} | {'wiring': 'inner'}
    assert len(OLDER) == 18


def test_a_checkpoint_from_before_these_settings_is_one_without_them(command, tmp_path, capsys):
    inner = ['--wiring', 'inner']  # as all checkpoints from before that option
    assert command(*inner, '--epoch', '1') == 0
    path = tmp_path / 'run' / 'ckpt_best.pth.tar'
    state = checkpoint.load(path)
    for name in OLDER:
        del state['options'][name]
    checkpoint.save(path, state)
    assert load_trained(path).settings['symmetry'] == 'off'
    assert command(*inner, '--is_eval') == 0
    assert command(*inner, '--is_eval', '--symmetry', 'average') == 2
    assert 'was made with --symmetry off' in capsys.readouterr().err


def test_what_a_run_was_evaluated_with_is_what_tools_use(command, tmp_path):
    assert command(*ALL, '--epoch', '1') == 0
    trained = load_trained(tmp_path / 'run' / 'ckpt_best.pth.tar')
    assert trained.settings['symmetry'] == 'average' and isinstance(trained.model, SymmetryAverage)
