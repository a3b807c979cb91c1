"""What one sees while a run trains: lines in a file, a bar in a terminal, and how long is left."""
import io
import os
import signal
import sys
from datetime import datetime

import pytest

from utils.common import progress
from utils.common.progress import Progress, done_in, duration, hidden
from utils.train import loop
from utils.train.engine import digits, training_errors
from utils.train.loop import epoch_line
from utils.train.signals import StopRequest


class Terminal(io.StringIO):
    """A terminal of 80 columns that keeps what is drawn."""

    def isatty(self):
        return True

    def fileno(self):
        return -1


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(os, 'get_terminal_size', lambda *_: os.terminal_size((80, 24)))
    return Terminal()  # pytest puts its own stderr in place before a test: set in each


def test_a_run_in_a_file_is_lines(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loop, 'LINE_EVERY', 0)  # as if each log step were a minute after the last
    assert command('--epoch', '2', '--skip_rate', '16') == 0
    said = capsys.readouterr().err
    assert '\r' not in said and '|' not in said and '\x1b' not in said
    for epoch in '12':
        *minutes, whole = [line for line in said.splitlines() if line.startswith(f'epoch {epoch}/2 ')]
        assert minutes and all('%  fused ' in line and '  done in ' in line for line in minutes)
        assert 'validation' in whole and ('done in' if epoch == '1' else 'trained in') in whole
        assert all('K-TCN ' in line and 'S-GCN ' in line and len(line) <= 110 for line in (*minutes, whole))


    kept = (tmp_path / 'run' / 'train.log').read_text().splitlines()
    assert kept[0].startswith('# 20') and kept[1:] == said.splitlines()
    [options] = [line for line in kept if line.startswith('options: ')]
    assert 'd_model=1 ' in options and 'epoch=2' in options
    assert not any(f' {name}=' in options for name in ('lr_now', 'node_n', 'is_load', 'seed', 'without'))
    assert command('--epoch', '2', '--skip_rate', '16', '--is_load') == 0
    assert (tmp_path / 'run' / 'train.log').read_text().splitlines()[:len(kept)] == kept


def test_the_first_ten_steps_tell_how_long_the_run_will_take(command, capsys, monkeypatch):
    monkeypatch.setattr(loop, 'LINE_EVERY', 3600)
    assert command('--epoch', '2', '--skip_rate', '8', '--no_test') == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('epoch ')]
    first, one, two = lines
    assert first.startswith('epoch 1/2  ') and '%  fused ' in first and 'done in ' in first
    assert one.startswith('epoch 1/2  fused ') and two.startswith('epoch 2/2  fused ')


def test_the_bar_shows_the_fused_error_first(command, terminal, monkeypatch):
    monkeypatch.setattr(sys, 'stderr', terminal)
    assert command('--epoch', '1', '--skip_rate', '8') == 0
    lines = terminal.getvalue().replace('\n', '\r').split('\r')
    drawn = [line for line in lines if line.startswith('epoch 1/1  fused ') and '%|' in line]
    assert drawn and all(len(line) <= 80 for line in drawn)
    for line in drawn:
        assert line.index('fused ') < line.index('K-TCN ') < line.index('S-GCN ') < line.index('%|')
    assert any('done in ' in line for line in drawn)


def test_tqdm_disable_hides_every_bar(command, terminal, monkeypatch):
    monkeypatch.setenv('TQDM_DISABLE', '1')
    monkeypatch.setattr(sys, 'stderr', terminal)
    assert command('--epoch', '1') == 0
    said = terminal.getvalue()
    assert '%|' not in said and '\r' not in said and 'epoch 1/1  fused ' in said
    assert hidden() is True


@pytest.mark.parametrize('value, shown', [('', None), ('0', None), ('1', True)])
def test_what_tqdm_disable_means(value, shown, monkeypatch):
    monkeypatch.setenv('TQDM_DISABLE', value)
    assert hidden() is shown and hidden(quiet=True) is True


def test_items_without_a_bar_are_counted_once_a_minute(monkeypatch):
    clock, said = iter(range(0, 10_000, 25)), []
    monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
    monkeypatch.setattr(progress.log, 'info', lambda form, *values: said.append(form % values))
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    assert list(Progress(range(8), desc='reading cmu train', unit=' files')) == [*range(8)]
    assert said == ['reading cmu train: 2 of 8 files', 'reading cmu train: 5 of 8 files']
    assert list(Progress(range(8), desc='x', unit=' files', quiet=True)) == [*range(8)] and len(said) == 2


@pytest.mark.parametrize('seconds, text', [(0.2, '0 s'), (99, '99 s'), (100, '2 min'), (5400, '90 min'),
                                           (6000, '1.7 h'), (47 * 3600, '47.0 h'), (75 * 3600, '3.1 d')])
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize('hours, text', [(7.5, 'done in 7.5 h, 10:00'), (30, 'done in 30.0 h, Fri 08:30'),
                                         (24 * 12, 'done in 12.0 d, 08 Dec')])
def test_when_a_run_is_done(hours, text):
    assert done_in(hours * 3600, now=datetime(2026, 11, 26, 2, 30)) == text


@pytest.mark.parametrize('value, four, three', [(8.123, '8.12', '8.1'), (81.23, '81.23', '81.2'),
                                                (812.34, '812.3', '812'), (8123.4, '8123', '8123'),
                                                (float('nan'), 'nan', 'nan')])
def test_digits(value, four, three):
    assert (digits(value), digits(value, 3)) == (four, three)


def test_the_widest_epoch_line_has_110_columns():
    entry = {'fused': 123.45, 'temporal': 234.56, 'spatial': 345.67, 'validation': 456.78, 'seconds': 3600.0}
    history = [entry | {'epoch': epoch} for epoch in range(1, 1000)]
    line = epoch_line(history, 1050, history[3])
    assert line.startswith('epoch 999/1050  fused 123.5 mm, K-TCN 235, S-GCN 346  validation 456.8, best '
                           '456.8  done in 2.1 d, ')
    assert len(line) <= 110
    assert epoch_line(history, 999, history[3]).endswith('  trained in 41.6 d')


def test_an_epoch_says_how_long_the_rest_takes():
    state = type('State', (), {'history': [], 'progress': type('Progress', (), {'seconds': 30.0})})
    assert loop.seconds_left(state, 4, 0.25) == 120 * 3.75, 'the first epoch goes by its own steps'
    state.history = [{'seconds': 200.0}]
    assert loop.seconds_left(state, 4, 0.25) == 200 * 2.75


@pytest.mark.parametrize('number', [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_signals_that_ask_to_stop(number, capsys):
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        pytest.skip('the tests were started with this signal ignored, as by nohup')
    with StopRequest() as request:
        signal.raise_signal(number)
        assert request.number == number
        signal.raise_signal(signal.SIGHUP)  # comes by itself, and often twice: saving is not cut short
        if number in (signal.SIGTERM, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
        else:
            signal.raise_signal(signal.SIGTERM)
        assert request.number == number
    assert signal.getsignal(number) is before
    assert capsys.readouterr().err.count('stopping after this step') == 1


def test_a_signal_that_nohup_ignores_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as request:
            signal.raise_signal(signal.SIGHUP)
            assert request.number is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_training_errors_read_as_the_history_names_them():
    assert training_errors({'fused': 41.234, 'temporal': 44.14,
                            'spatial': 143.6}) == 'fused 41.23 mm, K-TCN 44.1, S-GCN 144'
