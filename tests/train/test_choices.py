"""What a run chooses, seen from outside: epoch, rate, windows, and what is decayed, clipped and averaged.

Two small runs of the CMU main are watched through torch's own hooks. Their recordings swing where they are
trained on and stand still where they are validated. In the first run the validation errors are replaced by
given ones, so that the epoch that is best on validation is not the one that is best in training.
"""
import csv
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import main_cmu_3d
from model.ksof import KSOF
from model.losses import KSOFLoss
from utils.common import checkpoint
from utils.data.augment import mirrored
from utils.data.cmu import ACTIONS
from utils.data.skeleton import CMU
from utils.data.windows import Batch, Windows
from utils.train import loop
from utils.train.engine import epoch_order, train_step
from utils.train.optimizer import (
    build_ema,
    build_lr_scheduler,
    build_optimizer,
    draw_weights,
    learning_rate_factor,
)
from utils.train.state import TrainState, epoch_start

SMALL = ('--d_model 1 --num_gcn 1 --dct_n 8 --output_n 10 --skip_rate 4 --batch_size 18 '
         '--test_batch_size 64 --cuda_idx cpu --lr_now 0.01')
CHANGED = ('--epoch 3 --warmup_steps 5 --clip_norm 0.5 --dropout 0.3 --mirror 0.5 --reverse 0.5 '
           '--stretch 0.3 --shift 10')
DRAWN = '--epoch 2 --warmup_steps 0 --clip_norm 1e6 --optimizer adamw --weight_decay 0.5 --balance 1 ' \
    '--average 0.5 --symmetry average --no_test'
GIVEN = [5.0, 3.0, 4.0]  # the validation errors of CHANGED, mm
STEPS = 4  # of 80 windows 72 make four steps of 18


def write_recordings(root):
    """Three basketball recordings and one of each other action: 51 frames swing, then 20 stand still."""
    for part, still in (('train', 100), ('test', 142)):
        actions = [*ACTIONS, 'basketball', 'basketball'] if part == 'train' else ACTIONS
        for number, action in enumerate(actions):
            draw = np.random.RandomState(number)
            time = np.minimum(np.arange(142), still)[:, None]
            period, phase = draw.uniform(30, 90, 117), draw.uniform(0, 1, 117)
            angles = 0.4 * np.sin(2 * np.pi * (time / period + phase))
            folder = root / 'cmu_mocap' / part / action
            folder.mkdir(parents=True, exist_ok=True)
            np.savetxt(folder / f'{action}_{1 + max(0, number - 7)}.txt', angles, fmt='%.5f', delimiter=',')


class Watched:
    """A run and what torch's hooks saw of it, in order: calls of the network, optimizer steps, windows."""

    def __init__(self, root, folder, words, given=()):
        self.folder = folder
        self.words = ['--data_dir', str(root), '--exp', str(folder), *SMALL.split(), *words.split()]
        self.calls, self.steps, self.taken = [], [], []
        take = Windows.batch
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv('XDG_CACHE_HOME', str(root / 'cache'))
            patch.setattr(Windows, 'batch',
                          lambda own, index: (self.taken.append(index), take(own, index))[1])
            if given:
                errors, measure = iter(given), loop.validate
                patch.setattr(loop, 'validate',
                              lambda *a, **k: measure(*a, **k) | {'validation': next(errors)})
            hooks = [register_module_forward_pre_hook(self.call),
                     register_optimizer_step_pre_hook(self.before_step),
                     register_optimizer_step_post_hook(self.after_step)]
            self.main()
            for hook in hooks:
                hook.remove()
        self.history = [{name: float(value) for name, value in row.items()}
                        for row in csv.DictReader((folder / 'history.csv').open())]

    def main(self, *more):
        assert main_cmu_3d.main(main_cmu_3d.DATASET, main_cmu_3d.DEFAULTS, [*self.words, *more]) == 0

    def call(self, module, given):
        if isinstance(module, KSOF):
            self.calls.append(SimpleNamespace(
                training=module.training, poses=given[0].clone(),
                weight=module.ktcn.embedding.weight.detach().clone(),
                dropout={part.p for part in module.modules() if isinstance(part, nn.Dropout)}))

    def evaluated(self, windows):
        """The calls in evaluation mode on so many windows."""
        return [call for call in self.calls if not call.training and len(call.poses) == windows]

    def before_step(self, optimizer, *_):
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        self.steps.append(SimpleNamespace(
            rates={group['lr'] for group in optimizer.param_groups}, groups=optimizer.param_groups,
            training=self.calls[-1].training, windows=self.taken[-1], call=len(self.calls) - 1,
            before=[p.detach().clone() for p in parameters],
            gradients=[torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]))

    def after_step(self, optimizer, *_):
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        self.steps[-1].after = [p.detach().clone() for p in parameters]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('choices')
    write_recordings(root)
    return root


@pytest.fixture(scope='module')
def changed(data):
    """A run whose training windows are changed, with warm-up and dropout, scored on the test split."""
    return Watched(data, data / 'changed', CHANGED, GIVEN)


@pytest.fixture(scope='module')
def drawn(data):
    """A run without warm-up whose windows are drawn by action and whose weights are decayed and averaged."""
    return Watched(data, data / 'drawn', DRAWN)


def test_the_best_epoch_is_that_of_the_lowest_validation_error_and_not_of_training(changed):
    assert [entry['validation'] for entry in changed.history] == GIVEN
    assert changed.history[2]['fused'] < changed.history[1]['fused'], 'the last one is the best in training'
    saved, last = (checkpoint.load(changed.folder / f'ckpt_{name}.pth.tar') for name in ('best', 'last'))
    assert saved['epoch'] == saved['best']['epoch'] == last['best']['epoch'] == 2 and last['epoch'] == 3
    assert json.loads((changed.folder / 'results.json').read_text())['epoch'] == 2


def test_what_is_scored_is_ckpt_best_and_not_ckpt_last(changed, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(changed.folder.parent / 'cache'))
    after_training = json.loads((changed.folder / 'results.json').read_text())['methods']
    for action, errors in after_training['KSOF'].items():  # joints from the truth have no error
        only = after_training['KSOF predicted joints only'][action]
        assert all(field < own for field, own in zip(errors, only, strict=True))
    changed.main('--is_eval')
    assert json.loads((changed.folder / 'results.json').read_text())['methods'] == after_training
    for name, same in (('best', True), ('last', False)):
        path = changed.folder / f'ckpt_{name}.pth.tar'
        changed.main('--is_eval', '--ckpt', str(path), '--exp', str(tmp_path / name))
        found = json.loads((tmp_path / name / 'results.json').read_text())['methods']
        assert (found == after_training) == same, name


def test_validation_windows_are_never_augmented(changed):
    seen = [call.poses for call in changed.evaluated(10)]  # of ten recordings one window each
    assert len(seen) == 3
    assert all(torch.equal(poses, seen[0]) for poses in seen)
    assert torch.equal(seen[0], seen[0][:, :1].expand_as(seen[0])), 'the recordings stand still there'
    trained = torch.cat([call.poses for call in changed.calls if call.training])
    assert trained.diff(dim=1).abs().sum((1, 2)).min() > 0


def test_gradient_shares_are_measured_on_the_same_unchanged_windows_each_epoch(changed):
    measured = [call.poses for call in changed.evaluated(18)]
    assert len(measured) == 3 and all(torch.equal(poses, measured[0]) for poses in measured)


def test_what_is_validated_is_the_average_of_the_weights_over_each_window_and_its_mirror_image(drawn):
    saved = checkpoint.load(drawn.folder / 'ckpt_last.pth.tar')
    validations = drawn.evaluated(20)
    assert len(validations) == 2
    assert torch.equal(validations[-1].weight, saved['model']['ktcn.embedding.weight'])
    assert not torch.equal(validations[-1].weight, saved['average']['model']['ktcn.embedding.weight'])
    own, seen = validations[0].poses.chunk(2)
    assert torch.equal(seen, mirrored(own, torch.tensor(CMU.predicted_mirror_index)))


def test_what_is_scored_is_the_average_over_each_window_and_its_mirror_image(drawn, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(drawn.folder.parent / 'cache'))
    seen_by_network = []
    hook = register_module_forward_pre_hook(
        lambda module, given: seen_by_network.append(given[0]) if isinstance(module, KSOF) else None)
    words = [word for word in drawn.words if word != '--no_test']
    assert main_cmu_3d.main(main_cmu_3d.DATASET, main_cmu_3d.DEFAULTS, [*words, '--is_eval']) == 0
    hook.remove()
    assert sum(map(len, seen_by_network)) > 64
    for poses in seen_by_network:
        own, image = poses.chunk(2)
        assert torch.equal(image, mirrored(own, torch.tensor(CMU.predicted_mirror_index)))


def test_every_step_trains_in_training_mode_also_after_a_validation(changed, drawn):
    assert [step.training for step in changed.steps] == [True] * 3 * STEPS
    assert [step.training for step in drawn.steps] == [True] * 2 * STEPS
    assert any(not call.training for call in changed.calls[: changed.steps[STEPS].call])
    assert not any(call.training for call in changed.calls[changed.steps[-1].call + 1 :]), 'testing trains'
    assert changed.calls[0].dropout == {0.3} and drawn.calls[0].dropout == {0.1}


def test_an_epoch_is_its_steps_then_validation(changed):
    first_of_epoch = [changed.steps[STEPS * epoch].call for epoch in range(3)]
    for start in first_of_epoch:
        modes = [call.training for call in changed.calls[start:][: STEPS + 1]]
        assert modes == [True] * STEPS + [False]
    assert [entry['epoch'] for entry in changed.history] == [1, 2, 3]


def test_an_epoch_takes_no_window_twice_in_an_order_of_its_own_and_leaves_the_incomplete_batch(changed):
    taken = [step.windows for step in changed.steps]
    epochs = [torch.cat(taken[first : first + STEPS]).tolist() for first in (0, STEPS, 2 * STEPS)]
    for order in epochs:
        assert len(order) == len(set(order)) == 72 and set(order) <= set(range(80))
    assert epochs[0] != epochs[1] != epochs[2] and sorted(epochs[0]) != epochs[0]


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    order = epoch_order(30, seed=3, epoch=2)
    assert sorted(order.tolist()) == list(range(30))
    torch.manual_seed(1)
    assert torch.equal(order, epoch_order(30, seed=3, epoch=2))
    assert not torch.equal(order, epoch_order(30, seed=3, epoch=3))
    assert not torch.equal(order, epoch_order(30, seed=2, epoch=2))


def rates(run):
    assert all(len(step.rates) == 1 for step in run.steps)
    return [rate for step in run.steps for rate in step.rates]


def test_the_rate_warms_up_linearly_then_falls_by_a_cosine_over_the_whole_run(changed, drawn):
    assert rates(changed)[:6] == pytest.approx([0.01 * k / 6 for k in range(1, 7)])
    left = [0.01 * (0.01 + 0.99 * (1 + math.cos(math.pi * k / 7)) / 2) for k in range(7)]  # 5 of 12 before
    assert rates(changed)[5:] == pytest.approx(left)
    whole = [0.01 * (0.01 + 0.99 * (1 + math.cos(math.pi * k / 8)) / 2) for k in range(8)]  # no warm-up
    assert rates(drawn) == pytest.approx(whole)
    assert rates(drawn)[4] == pytest.approx(0.00505)
    after_the_last = [run.history[-1]['lr'] for run in (changed, drawn)]
    assert after_the_last == pytest.approx([0.0001, 0.0001])  # 1 % of --lr_now


@pytest.mark.parametrize('warmup, total', [(0, 100), (200, 1000)])
def test_the_rate_at_the_first_middle_and_last_step(warmup, total):
    def factor(step):
        return learning_rate_factor(step, warmup=warmup, total=total, end=0.01)

    assert factor(0) == pytest.approx(1 / (warmup + 1)) and factor(warmup) == 1
    assert factor((warmup + total) // 2) == pytest.approx(0.505)
    assert factor(total) == pytest.approx(0.01) and factor(total + 5) == pytest.approx(0.01)


def norm(tensors):
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))


def test_the_gradient_of_all_parameters_together_is_clipped_at_clip_norm(changed, drawn):
    assert [norm(step.gradients) for step in changed.steps] == pytest.approx([0.5] * 3 * STEPS, rel=1e-3)
    assert min(norm(step.gradients) for step in drawn.steps) > 0.6, 'without a clip they are longer'
    for step in changed.steps:  # a and b are clipped with the rest
        assert norm(step.gradients[-2:]) > 0 and [p.numel() for p in step.before[-2:]] == [1, 1]


def test_adamw_decays_every_weight_but_never_a_and_b(drawn):
    step = drawn.steps[0]
    network = len(step.groups[0]['params'])
    assert len(step.before) == network + 2
    of_parameters = zip(step.before, step.gradients, step.after, strict=True)
    for place, (before, gradient, after) in enumerate(of_parameters):
        kept = 1 - 0.01 * 0.5 if place < network else 1  # 1 - rate x --weight_decay
        expected = kept * before - 0.01 * gradient / (gradient.abs() + 1e-8)  # what Adam's first step is
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('name, kind', [('adam', torch.optim.Adam), ('adamw', torch.optim.AdamW)])
def test_the_optimizer_is_the_one_that_is_named_and_weight_decay_is_not_on_the_loss(name, kind):
    network, loss = nn.Linear(2, 2), nn.Linear(1, 1)
    settings = SimpleNamespace(optimizer=name, lr_now=0.3, weight_decay=0.2)
    optimizer = build_optimizer(network, loss, settings)
    assert type(optimizer) is kind
    decay = {id(p): group['weight_decay'] for group in optimizer.param_groups for p in group['params']}
    assert decay == {**{id(p): 0.2 for p in network.parameters()}, **{id(p): 0.0 for p in loss.parameters()}}
    assert all(group['lr'] == 0.3 and group['betas'] == (0.9, 0.999) for group in optimizer.param_groups)


def test_a_and_b_are_learned(drawn):
    for first, last in zip(drawn.steps[0].before[-2:], drawn.steps[-1].after[-2:], strict=True):
        assert not torch.equal(first, last)


def test_balance_draws_small_actions_more_often_and_not_less(drawn):
    """24 of 80 windows are basketball; at 1 each of the eight actions has an eighth of the 144 drawn ones."""
    share = sum(int((step.windows < 24).sum()) for step in drawn.steps) / 144
    assert 0.06 < share < 0.2


@pytest.mark.parametrize('power, expected', [(0.5, [0.5] * 4 + [1.0]), (1.0, [0.25] * 4 + [1.0])])
def test_a_window_is_drawn_by_one_over_its_actions_windows_to_the_power_of_balance(power, expected):
    windows = SimpleNamespace(action_index=torch.tensor([2, 2, 2, 2, 0]))
    assert draw_weights(windows, power).tolist() == pytest.approx(expected)


def test_the_ema_after_three_steps_by_hand():
    model = nn.Linear(1, 1, bias=False)
    average = build_ema(model, 0.998)
    for value in (1.0, 4.0, 13.0):
        nn.init.constant_(model.weight, value)
        average.update_parameters(model)
    after_two = 1 * 2 / 11 + 4 * 9 / 11  # the decay after n steps is (1 + n) / (10 + n), up to 0.998
    assert average.module.weight.item() == pytest.approx(after_two * 3 / 12 + 13 * 9 / 12, rel=1e-6)
    average.n_averaged.fill_(10**6)
    before = average.module.weight.item()
    average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(0.998 * before + 0.002 * 13, rel=1e-6)


def test_the_ema_of_a_run_is_what_is_saved_and_training_goes_on_with_the_weights(drawn):
    names = [name for name, _ in KSOF(node_n=75, input_n=10, output_n=10, dct_n=8, num_gcn=1, d_model=1,
                                      dropout=0).named_parameters()]
    average = drawn.steps[0].after
    for count, step in enumerate(drawn.steps[1:], start=1):
        decay = min(0.5, (1 + count) / (10 + count))
        average = [decay * mean + (1 - decay) * now for mean, now in zip(average, step.after, strict=True)]
    saved = checkpoint.load(drawn.folder / 'ckpt_last.pth.tar')
    for name, mean, now in zip(names, average, drawn.steps[-1].after, strict=False):
        torch.testing.assert_close(saved['model'][name], mean, rtol=1e-4, atol=1e-6, msg=name)
        assert torch.equal(saved['average']['model'][name], now)


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_a_step_that_is_not_finite_changes_no_weight_and_no_statistics(bad):
    torch.manual_seed(0)
    model = KSOF(node_n=6, input_n=10, output_n=5, dct_n=4, num_gcn=1, d_model=1, dropout=0)
    criterion = KSOFLoss(error_weighting=1.0, frames=5, joints=2)
    settings = SimpleNamespace(optimizer='adam', lr_now=0.1, weight_decay=0.0, warmup_steps=0, epoch=1,
                               lr_end=1.0, amp=False, clip_norm=1.0, skip_bad_steps=1)
    optimizer = build_optimizer(model, criterion, settings)
    lr_scheduler = build_lr_scheduler(optimizer, settings, steps_per_epoch=9)
    state = TrainState(model, model, criterion, optimizer, lr_scheduler, None,
                       epoch_start(torch.device('cpu')))
    observed, future = torch.randn(8, 10, 6).cumsum(1), torch.randn(8, 5, 6)

    def tensors():
        return [tensor.clone() for part in (model, criterion) for tensor in part.state_dict().values()]

    before = tensors()
    coefficients = model.encoding @ observed
    train_step(state, Batch(observed, coefficients.mT, future * bad, future, torch.zeros(8)), settings)
    assert all(torch.equal(one, other) for one, other in zip(before, tensors(), strict=True))
    assert state.progress.bad_steps == 1 and state.progress.step == 1
    train_step(state, Batch(observed, coefficients.mT, future, future, torch.zeros(8)), settings)
    changed = [not torch.equal(one, other) for one, other in zip(before, tensors(), strict=True)]
    assert sum(changed) > 10 and state.progress.bad_steps == 1 and state.progress.step == 2
