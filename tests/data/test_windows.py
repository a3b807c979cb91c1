"""Which windows a split has, and that a window is what its recording holds."""
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.dct import encode
from utils.common.errors import InputError
from utils.data import cmu, h36m, threedpw
from utils.data.dataset import Recording
from utils.data.windows import all_starts, cut_windows

DATASETS = {'h36m': h36m.DATASET, 'cmu': cmu.DATASET, '3dpw': threedpw.DATASET}


@pytest.mark.parametrize('first, second', [(1612, 1371), (995, 1241)])
@pytest.mark.parametrize('count', [8, 256])
def test_h36m_draws_are_the_fields(golden, first, second, count):
    values = golden('test_window_starts.npz')
    key = f'h36m_{first}_{second}_{count}'
    starts = h36m.test_starts([first, second], count, 10, 10)
    np.testing.assert_array_equal(starts[0], values[f'{key}_first'])
    np.testing.assert_array_equal(starts[1], values[f'{key}_second'])


@pytest.mark.parametrize('length', [289, 1043, 180])
@pytest.mark.parametrize('count', [8, 256])
@pytest.mark.parametrize('output_n', [10, 25])
def test_cmu_draws_are_the_fields(golden, length, count, output_n):
    starts = cmu.test_starts([length], count, 10, output_n)
    np.testing.assert_array_equal(starts[0],
                                  golden('test_window_starts.npz')[f'cmu_{length}_{count}_out{output_n}'])


@pytest.mark.parametrize('draw', [h36m.test_starts, cmu.test_starts])
def test_a_draw_fixes_where_the_prediction_begins(draw):
    few, many = draw([900, 800], 8, 10, 25), draw([900, 800], 8, 50, 25)
    np.testing.assert_array_equal(np.array(few) + 10, np.array(many) + 50)


def test_draws_need_both_takes_and_enough_frames():
    assert [len(own) for own in h36m.test_starts([900], 8, 10, 10)] == [0]
    with pytest.raises(InputError, match='166 frames, too few'):
        h36m.test_starts([900, 166], 8, 10, 10)
    assert h36m.test_starts([900, 167], 8, 10, 10)[1].tolist() == [56] * 4
    with pytest.raises(InputError, match='75 frames, too few'):
        cmu.test_starts([75], 8, 10, 25)
    assert cmu.test_starts([76], 8, 10, 25)[0].tolist() == [40] * 8


@given(length=st.integers(80, 500), count=st.sampled_from([8, 256]))
def test_3dpw_draws_are_test_windows(length, count):
    own, again = threedpw.test_starts([length, length], count, 10, 30)
    assert len(own) == count and own.min() >= 40 and own.max() + 40 <= length
    np.testing.assert_array_equal(own, again)


@given(length=st.integers(0, 60), window=st.integers(2, 40), step=st.integers(1, 7), first=st.integers(0, 45))
def test_all_starts_are_the_windows_that_fit(length, window, step, first):
    fitting = [start for start in range(length)
               if start >= first and (start - first) % step == 0 and start + window <= length]
    assert all_starts(length, window, step, first).tolist() == fitting


def numbered(dataset, action, source, length):
    """A recording whose every coordinate says source and frame: 10000 x source + frame."""
    frames = np.full((length, len(dataset.skeleton.joints), 3), 10_000.0 * source, dtype=np.float32)
    return Recording(action, str(source), frames + np.arange(length, dtype=np.float32)[:, None, None])


def windows_of(dataset, recordings, split, *, test_sample_num=-1, skip_rate=1, input_n=10, output_n=10):
    return cut_windows(dataset, recordings, split, input_n=input_n, output_n=output_n, dct_n=8,
                       skip_rate=skip_rate, test_sample_num=test_sample_num, device=torch.device('cpu'),
                       missing=[])


@pytest.mark.parametrize('name', DATASETS)
@pytest.mark.parametrize('test_sample_num', [-1, 256, 8])
def test_no_window_spans_two_recordings(name, test_sample_num):
    dataset = DATASETS[name]
    actions = [dataset.actions[i // 2 % len(dataset.actions)] for i in range(6)]
    lengths = [170, 200, 300, 171, 190, 250]
    recordings = [numbered(dataset, action, i, length)
                  for i, (action, length) in enumerate(zip(actions, lengths, strict=True))]
    windows = windows_of(dataset, recordings, 'test', test_sample_num=test_sample_num)
    batch = windows.batch(torch.arange(len(windows)))
    all_windows = torch.cat([batch.observed, batch.future], 1)  # (W, T, N)
    assert torch.equal(all_windows,
                       (all_windows[:, :1, :1] + torch.arange(20.0)[:, None]).expand_as(all_windows))
    sources = (all_windows[:, 0, 0] // 10_000).int().tolist()
    assert set(sources) == set(range(6))
    assert [dataset.actions[i] for i in batch.actions] == [actions[source] for source in sources]
    for index in range(0, len(windows), 50):
        assert windows.source(index) == (str(sources[index]), all_windows[index, 0, 0] % 10_000)
    if test_sample_num < 0:
        first = 40 if name == '3dpw' else 0
        assert len(windows) == sum(length - 19 - first for length in lengths)
    else:
        assert windows.counts() == {action: test_sample_num * (1 if name == 'h36m' else actions.count(action))
                                    for action in actions}


def test_batches_hold_every_window_once_in_the_networks_terms(caplog):
    caplog.set_level('INFO', logger='ksof')
    recordings = [numbered(h36m.DATASET, 'walking', 0, 31), numbered(h36m.DATASET, 'eating', 1, 25)]
    windows = windows_of(h36m.DATASET, recordings, 'train', skip_rate=4)
    assert windows.counts() == {'walking': 3, 'eating': 2}
    assert 'Human3.6M train: 2 recordings, 56 frames at 25 Hz, 5 windows' in caplog.messages
    order = torch.tensor([4, 2, 0, 1, 3])
    batches = list(windows.batches(2, order=order))
    assert [len(batch.observed) for batch in batches] == [2, 2, 1]
    assert torch.cat([batch.observed[:, 0, 0] for batch in batches]).tolist() == [10004, 8, 0, 4, 10000]
    batch = batches[0]
    assert batch.observed.shape == batch.future.shape == (2, 10, 66) and batch.future_all.shape == (2, 10, 96)
    joints = batch.future_all.unflatten(-1, (-1, 3))[:, :, list(h36m.DATASET.skeleton.predicted)]
    assert torch.equal(joints.flatten(-2), batch.future)
    assert torch.equal(batch.coefficients, encode(batch.observed, windows.encoding))


def test_short_recordings_are_left_out_and_named(caplog):
    caplog.set_level('WARNING', logger='ksof')
    long, short = numbered(cmu.DATASET, 'walking', 0, 40), numbered(cmu.DATASET, 'walking', 1, 19)
    assert len(windows_of(cmu.DATASET, [long, short], 'train')) == 21
    with pytest.raises(InputError, match='no sequence has the 20 frames'):
        windows_of(cmu.DATASET, [short], 'train')
    # 40 of 3DPW's history, 20 of the window.
    with pytest.raises(InputError, match='no sequence has the 60 frames'):
        windows_of(threedpw.DATASET, [numbered(threedpw.DATASET, 'all', 0, 59)], 'test')
    assert len(windows_of(threedpw.DATASET, [numbered(threedpw.DATASET, 'all', 0, 59)], 'validation')) == 40


def test_an_action_that_training_lacks_is_named(caplog):
    caplog.set_level('WARNING', logger='ksof')
    recordings = [numbered(cmu.DATASET, action, i, 40) for i, action in enumerate(cmu.ACTIONS)]
    windows_of(cmu.DATASET, recordings, 'train')
    windows_of(cmu.DATASET, recordings[2:], 'test')
    assert not caplog.messages
    windows_of(cmu.DATASET, [recordings[i] for i in (0, 2, 3, 4, 6, 7)], 'train')
    assert caplog.messages == ['CMU mocap train: no recordings of basketball_signal, soccer, so the network '
                               'does not learn them']


def test_drawn_windows_that_do_not_fit_are_refused():
    takes = [numbered(h36m.DATASET, 'walking', i, 300) for i in (0, 1)]
    with pytest.raises(InputError, match=r'drawn windows of 10 \+ 200 frames do not fit into its 300'):
        windows_of(h36m.DATASET, takes, 'test', test_sample_num=256, output_n=200)
    with pytest.raises(InputError, match=r'drawn windows of 100 \+ 10 frames do not fit'):
        windows_of(h36m.DATASET, takes, 'test', test_sample_num=256, input_n=100)
    one = windows_of(h36m.DATASET, [*takes, numbered(h36m.DATASET, 'eating', 2, 300)], 'test',
                     test_sample_num=8)
    assert one.counts() == {'walking': 8}
    with pytest.raises(InputError, match='finds no window to draw'):
        windows_of(h36m.DATASET, takes[:1], 'test', test_sample_num=8)


def test_validation_windows_are_neither_skipped_nor_drawn_and_training_windows_are_not_drawn():
    recordings = [numbered(cmu.DATASET, 'walking', 0, 40)]
    for split, count in (('train', 5), ('validation', 21), ('test', 21)):
        assert len(windows_of(cmu.DATASET, recordings, split, skip_rate=5)) == count
    for split in ('train', 'validation'):
        assert len(windows_of(cmu.DATASET, recordings, split, test_sample_num=8)) == 21


def test_a_window_knows_where_its_recording_ends():
    recordings = [numbered(cmu.DATASET, 'walking', i, length) for i, length in enumerate((22, 21, 20))]
    assert windows_of(cmu.DATASET, recordings, 'train').ends.tolist() == [22] * 3 + [43] * 2 + [63]
