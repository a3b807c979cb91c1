"""The curves of a run: drawn from one epoch to many, kept up to date, and never in a run's way."""
import math
import random
import sys

import pytest
from PIL import Image
from scenes import assert_readable

from utils.common.figures import import_matplotlib
from utils.train.curves import ERRORS, Curves, draw_curves


@pytest.fixture
def figures(monkeypatch):
    """The figures that were written, in order."""
    figure = pytest.importorskip('matplotlib.figure', reason='matplotlib is not installed').Figure
    kept, save = [], figure.savefig
    monkeypatch.setattr(figure, 'savefig', lambda self, *a, **k: (kept.append(self), save(self, *a, **k)))
    return kept


@pytest.fixture
def without(monkeypatch):
    """Makes modules that are installed look as if they were not."""
    return lambda *names: [monkeypatch.setitem(sys.modules, name, None) for name in names]


def history(epochs):
    """A run that gets better and then worse."""
    rng = random.Random(0)
    entries = []
    for epoch in range(1, epochs + 1):
        error = 9 + 30 / epoch
        entries.append({'epoch': epoch, 'lr': 0.005 * (1 + math.cos(math.pi * epoch / epochs)) / 2,
                        'total': 2 * error, 'fused': error, 'temporal': 1.2 * error, 'spatial': 1.1 * error,
                        'jps': 2 + 1 / epoch, 'a': 5 - 0.01 * epoch, 'b': 26 - 0.1 * epoch,
                        'windows_per_s': 300.0, 'validation': 1.1 * error + 0.02 * epoch + rng.random(),
                        'seconds': 60.0})
    return entries


@pytest.mark.parametrize('epochs', [1, 2, 7, 100])
def test_curves_of_any_length_can_be_read(epochs, tmp_path, figures):
    entries = history(epochs)
    draw_curves(entries, tmp_path / 'curves.png')
    with Image.open(tmp_path / 'curves.png') as picture:
        assert picture.format == 'PNG' and picture.size == (900, 620)
    assert_readable(figures[0])
    errors = figures[0].axes[0]
    lines = {line.get_label(): line for line in errors.lines}
    for key, *_, name in ERRORS:
        assert lines[name].get_ydata() == pytest.approx([entry[key] for entry in entries])
        assert epochs > 1 or lines[name].get_marker() == 'o'  # a single point shows without a line
    best = min(entries, key=lambda entry: entry['validation'])
    star = lines[f'best: {best["validation"]:.2f} mm, epoch {best["epoch"]}']
    assert star.get_xydata().tolist() == [[best['epoch'], best['validation']]]
    assert errors.get_ylim()[0] < best['validation'] < errors.get_ylim()[1]
    assert len(figures[0].axes) == 4
    assert figures[0].axes[3].lines[0].get_ydata() == pytest.approx([e['lr'] for e in entries])


def test_a_refit_says_that_validation_chose_nothing(tmp_path, figures):
    entries = [entry | {'refit': 1} for entry in history(7)]
    entries[2]['validation'] = 0.1
    draw_curves(entries, tmp_path / 'curves.png')
    assert_readable(figures[0])
    lines = {line.get_label(): line for line in figures[0].axes[0].lines}
    kept = lines[f'kept: {entries[-1]["validation"]:.2f} mm, epoch 7']
    assert kept.get_xydata().tolist() == [[7, entries[-1]['validation']]]
    assert 'validation, fused, trained on' in lines and 'validation, fused' not in lines


def test_a_network_without_paths_has_its_curves(tmp_path, figures):
    entries = [{name: value for name, value in entry.items() if name not in ('temporal', 'spatial', 'a', 'b')}
               for entry in history(7)]
    draw_curves(entries, tmp_path / 'curves.png')
    assert_readable(figures[0])
    errors, *small = figures[0].axes
    assert [line.get_label() for line in errors.lines][:2] == ['training', 'validation']
    assert [axes.get_title() for axes in small] == ['joint point smoothness', 'learning rate']


def test_curves_follow_each_epoch(tmp_path, figures, monkeypatch):
    monkeypatch.setattr('utils.train.curves.DRAW_EVERY', 0)
    curves, entries = Curves(tmp_path / 'run'), history(3)
    assert not (tmp_path / 'run').exists()  # nothing is made before the run's own folder is
    (tmp_path / 'run').mkdir()
    for epoch in range(1, 4):
        curves.update(entries[:epoch])
    assert [len(figure.axes[0].lines[0].get_xdata()) for figure in figures] == [1, 2, 3]
    assert (tmp_path / 'run' / 'curves.png').exists()


def test_a_run_goes_on_without_matplotlib(command, tmp_path, capsys, without):
    without('matplotlib.figure', 'torch.utils.tensorboard')
    assert command('--epoch', '2') == 0
    said = capsys.readouterr().err
    assert said.count('matplotlib is not installed') == 1 and said.count('epoch 2/2') >= 1
    names = {path.name for path in (tmp_path / 'run').iterdir()}
    assert 'history.csv' in names and not {'curves.png', 'events'} & names


def test_a_run_draws_its_curves_at_once_and_at_the_end(command, tmp_path, figures, monkeypatch):
    monkeypatch.setattr('utils.train.curves.DRAW_EVERY', 3600)
    assert command('--epoch', '4') == 0
    assert [len(figure.axes[0].lines[0].get_xdata()) for figure in figures] == [1, 4]
    assert (tmp_path / 'run' / 'curves.png').exists()


def test_what_cannot_be_written_is_said_once(tmp_path, monkeypatch, without):
    pytest.importorskip('matplotlib', reason='matplotlib is not installed')
    without('torch.utils.tensorboard')
    said = []
    monkeypatch.setattr('utils.train.curves.log.warning', lambda form, *values: said.append(form % values))
    curves = Curves(tmp_path / 'gone')
    curves.update(history(1))
    curves.update(history(2), last=True)
    assert said == [f'{tmp_path / "gone"}: no more curves.png in this run: No such file or directory']


@pytest.mark.parametrize('error',
                         [TypeError('Descriptors cannot be created directly'), RuntimeError('no\nreason'),
                          ValueError('usetex'), SystemExit('bye')])
def test_whatever_a_library_raises_is_said_once(error, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('utils.train.curves.log.warning', lambda form, *values: said.append(form % values))
    curves = Curves(tmp_path)

    def fail(history):
        raise error

    curves.draw = curves.write_events = fail
    curves.update(history(1))
    curves.update(history(2), last=True)
    reason = f'{type(error).__name__}: {error}'.split('\n')[0]
    assert said == [f'{tmp_path}: no more {what} in this run: {reason}' for what in ('curves.png', 'events')]


def test_a_matplotlib_that_breaks_is_as_none(tmp_path, monkeypatch):
    (tmp_path / 'matplotlib.py').write_text('raise TypeError("no")')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'matplotlib', raising=False)
    with pytest.raises(ImportError, match='matplotlib: TypeError: no'):
        import_matplotlib()


def test_curves_are_drawn_whatever_mplbackend_and_matplotlibrc_say(tmp_path, monkeypatch):
    pytest.importorskip('matplotlib', reason='matplotlib is not installed')
    monkeypatch.setenv('MPLBACKEND', 'garbage')
    import matplotlib

    with matplotlib.rc_context({'text.usetex': True}):
        curves = Curves(tmp_path)
        curves.draw(history(2))
    assert (tmp_path / 'curves.png').stat().st_size > 1000


def test_tensorboard_has_every_epoch_once(tmp_path):
    events = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator',
                                 reason='tensorboard is not installed')
    entries = history(4)
    first = Curves(tmp_path)
    for epoch in (1, 2, 3):
        first.update(entries[:epoch])
    Curves(tmp_path).update([*entries[:2], entries[3] | {'epoch': 3}])  # gone on with from epoch 2
    log = events.EventAccumulator(str(tmp_path / 'events'))
    log.Reload()
    assert set(log.Tags()['scalars']) == entries[0].keys() - {'epoch'}
    scalars = {event.step: event.value for event in log.Scalars('validation')}
    expected = {1: entries[0], 2: entries[1], 3: entries[3]}
    assert scalars == pytest.approx({step: entry['validation'] for step, entry in expected.items()})
    assert len(log.Scalars('validation')) == 3
