"""Intervals of the difference of two runs: a planted one is found, none planted is not."""
import numpy as np
import pytest

from utils.common.errors import InputError
from utils.evaluate.paired import (
    bootstrap_units,
    difference,
    drawn_means,
    of_action,
    pair,
    spread,
    windows_won,
)
from utils.evaluate.window_errors import WindowErrors

INPUT, FRAMES = 4, 2
LENGTH = INPUT + FRAMES
PER_WINDOW = ('all_joints', 'predicted_joints', 'held', 'start', 'recording', 'action')


def made(seed, *, lengths=(240, 300, 180), shift=0.0, seed_of_motion=0, input_n=INPUT):
    """Errors of an invented run: a recording for each action; neighbouring windows share noise.

    The windows' difficulty is the motion's, the noise is the run's own.
    """
    motion, own = np.random.default_rng(seed_of_motion), np.random.default_rng(seed)
    errors, start, recording = [], [], []
    for k, length in enumerate(lengths):
        noise = own.standard_normal(length + LENGTH) * np.sqrt(LENGTH)
        noise = np.convolve(noise, np.ones(LENGTH) / LENGTH, 'valid')[:length]
        errors.append(20 + 5 * motion.random(length) + noise + shift)
        start.append(np.arange(length) + INPUT - input_n)
        recording.append(np.full(length, k))
    of_all = np.repeat(np.concatenate(errors)[:, None], FRAMES, 1).astype(np.float32)
    recording = np.concatenate(recording)
    held = 3 + np.sin(np.arange(len(recording))).astype(np.float32) * (1 + seed_of_motion)
    return WindowErrors('cmu', input_n, of_all, of_all, held, np.concatenate(start), recording, recording,
                        np.array([f'f{k}' for k in range(len(lengths))]), np.zeros(len(lengths), int),
                        np.array([f'a{k}' for k in range(len(lengths))]))


ACTIONS = ['a0', 'a1', 'a2']


def paired(first, second, only=ACTIONS):
    return pair([first], [second], ['A', 'B'], only)


def test_a_run_has_exactly_no_difference_from_itself():
    run, other = made(1), made(2)
    found = difference(paired(run, run), draws=200)
    assert not found.mean.any() and not found.low.any() and not found.high.any()
    assert [share.tolist() for share in windows_won(paired(run, run))] == [[0, 0], [0, 0]]
    several = difference(pair([run, other], [run, other], ['A', 'B', 'A', 'B'], ACTIONS), draws=200)
    assert not several.mean.any() and not several.low.any() and not several.high.any()


def excluding_zero(shift, draws=100):
    """In how many of the draws of two runs the interval of their difference does not hold zero."""
    found = [difference(paired(made(2 * k + 1000), made(2 * k + 1001, shift=shift)), draws=400)
             for k in range(draws)]
    return sum(bool(one.low[0] > 0 or one.high[0] < 0) for one in found)


def test_a_planted_difference_is_found_and_none_planted_is_not():
    assert excluding_zero(shift=1.0) >= 95
    assert excluding_zero(shift=0.0) <= 5


def test_the_difference_is_the_mean_of_the_actions_and_the_windows_won_are_counted():
    first, second = made(1), made(2)
    pairs = paired(first, second)
    apart = (second.all_joints - first.all_joints).astype(float)
    means = [apart[first.action == k].mean(0) for k in range(3)]
    assert difference(pairs, draws=10).mean == pytest.approx(np.mean(means, 0), abs=1e-5)
    assert difference(of_action(pairs, 'a1'), draws=10).mean == pytest.approx(means[1], abs=1e-5)
    won = windows_won(pairs)
    assert won[1] == pytest.approx((apart < 0).mean(0)) and (won[0] + won[1]).tolist() == [1, 1]


def test_several_seeds_are_averaged_and_widen_the_interval():
    runs = [made(1), made(2, shift=3), made(3, shift=-3)]
    pairs = pair(runs, [made(4)], list('ABCD'), ACTIONS)
    means = [np.mean([run.all_joints[run.action == k].mean(0) for k in range(3)], 0) for run in runs]
    assert spread(pairs.first, pairs.action) == pytest.approx(np.std(means, axis=0, ddof=1), abs=1e-4)
    assert spread(pairs.second, pairs.action) is None
    several, one = difference(pairs), difference(paired(runs[0], made(4)))
    assert (several.high - several.low > 3 * (one.high - one.low)).all()


def test_seeds_of_two_settings_are_drawn_apart():
    """How the runs' names sort says nothing of which seeds belong together."""
    first, second = [made(1), made(2, shift=3)], [made(3), made(4, shift=3)]
    widths = []
    for order in (second, second[::-1]):
        found = difference(pair(first, order, list('ABCD'), ACTIONS))
        widths.append((found.high - found.low).mean())
    assert widths[0] == pytest.approx(widths[1], rel=0.1) and min(widths) > 5


def test_windows_are_paired_by_what_they_predict():
    whole, few = made(1), made(1, lengths=(240, 100, 180))
    order = np.random.default_rng(0).permutation(len(whole.start))
    shuffled = whole._replace(**{name: getattr(whole, name)[order] for name in PER_WINDOW})
    assert not difference(paired(whole, shuffled), draws=20).mean.any()
    later = whole._replace(input_n=INPUT - 1, start=whole.start + 1)
    assert not difference(paired(whole, later), draws=20).mean.any()
    held = np.concatenate([whole.held[:340], whole.held[540:]])
    assert paired(whole, few._replace(held=held)).first.shape == (1, 240 + 100 + 180, FRAMES)
    twice = whole._replace(**{name: np.concatenate([getattr(whole, name), getattr(whole, name)[:1]])
                              for name in PER_WINDOW})
    assert paired(twice, whole).first.shape[1] == len(whole.start)
    assert paired(twice, twice).first.shape[1] == len(whole.start) + 1


def test_what_is_no_pair_is_refused():
    with pytest.raises(InputError, match='A and B: saw different motion in f2 at frame 163'):
        paired(made(1), made(1, seed_of_motion=1))
    with pytest.raises(InputError, match='tested on different windows'):
        paired(made(1), made(1)._replace(files=np.array(['x', 'y', 'z'])))
    with pytest.raises(InputError, match='no windows in common of soccer'):
        paired(made(1), made(2), only=['soccer'])


def test_the_units_are_recordings_where_there_are_enough_and_blocks_where_not():
    many = [np.repeat(np.arange(8), 30), np.tile(np.arange(30), 8), np.zeros(240, int)]
    unit, cut = bootstrap_units(*many, length=LENGTH)
    assert unit.tolist() == many[0].tolist() and not cut
    unit, cut = bootstrap_units(np.zeros(100, int), np.arange(100), np.zeros(100, int), length=LENGTH)
    assert cut == {0} and len(np.unique(unit)) == 100 // (2 * LENGTH) and (np.diff(unit) >= 0).all()
    assert np.bincount(unit).min() >= 2 * LENGTH
    unit, _ = bootstrap_units(np.zeros(9, int), np.arange(9), np.zeros(9, int), length=LENGTH)
    assert np.unique(unit).tolist() == [0, 1]


def test_the_spread_of_the_draws_is_that_of_a_mean_of_the_units():
    generator = np.random.default_rng(3)
    values = generator.standard_normal(5)
    errors = np.repeat(values, 4)[None, :, None]
    drawn = drawn_means(errors, np.zeros(20, int), np.repeat(np.arange(5), 4), draws=40_000, seed=0)
    assert drawn.std() == pytest.approx(values.std(ddof=1) / np.sqrt(5), rel=0.02)
