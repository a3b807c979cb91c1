"""The list of runs."""
import json

import pytest

from main_cmu_3d import DEFAULTS
from opt import RECIPES, parse
from tests.conftest import PROJECT
from tools import runs
from utils.common import run_folder
from utils.common.cli import run_tool

HISTORY = 'epoch,validation,windows_per_s,seconds\n1,30.5,10,60\n2,28.25,10,60\n3,29,10,60\n'


def make_run(folder, *words, epochs=None, **about):
    """Writes what a run on CMU leaves of itself, beside its checkpoints."""
    folder.mkdir(parents=True)
    settings = vars(parse('cmu', 'CMU mocap', DEFAULTS, node_n=75, argv=['--data_dir', 'D', *words]))
    run_folder.write_about(folder, {'options': settings, 'run_id': 'x',
                                    'started': '2026-11-26T02:03:04+00:00', **about})
    if epochs:
        (folder / 'history.csv').write_text(''.join(HISTORY.splitlines(keepends=True)[:1 + epochs]))


@pytest.fixture
def listed(tmp_path, monkeypatch, capsys):
    """Lists the runs under a folder; returns exit code and the words of each line, by run."""
    monkeypatch.setattr(run_folder, 'RUNS', tmp_path / 'checkpoint')
    monkeypatch.setenv('COLUMNS', '110')

    def listing(*words):
        code = run_tool(runs.main, words)
        shown = capsys.readouterr()
        return code, {line.split()[0]: line.split() for line in shown.out.splitlines() if line}, shown
    return listing


def test_each_run_has_its_row_and_what_tells_it_from_others(listed, tmp_path):
    folder = tmp_path / 'checkpoint'
    make_run(folder / 'a', '--lr_now', '0.002', epochs=2)
    make_run(folder / 'a.1', '--seed', '3', '--amp', epochs=3, resumed=[{'epochs': 5}, {'epochs': 7}])
    make_run(folder / 'b', '--recipe', 'short', '--mirror', '0.1', '--epoch', '9', '--init', 'a')
    (folder / 'no_run').mkdir()
    code, _, shown = listed()
    assert code == 0 and 'no_run' not in shown.out
    rows = {line.split()[0]: line.split() for line in shown.out.splitlines()
            if line[:2] in ('a ', 'a.', 'b ')}
    assert rows['a'][1:] == ['cmu', '10', '+', '25', '2026-11-26', '02:03', '2', 'of', '100', '28.25', '-',
                             '-']
    assert rows['a.1'][7:10] == ['3', 'of', '7'] and rows['b'][7:11] == ['0', 'of', '9', '-']
    for line in ('- a: --lr_now 0.002', '- a.1: --amp --seed 3', '- b: --mirror 0.1 --recipe short --init a'):
        assert line in shown.out.splitlines()
    assert RECIPES['short']['mirror'] != 0.1


def test_what_cannot_be_read_is_said_below_the_table(listed, tmp_path):
    folder = tmp_path / 'checkpoint'
    make_run(folder / 'good', epochs=1)
    make_run(folder / 'odd', epochs=1)
    (folder / 'odd' / 'history.csv').write_text('what\x1b[2J is this\n1\n')
    (folder / 'odd' / 'options.json').write_text('[' * 100_000)
    (folder / 'odd' / 'results.json').write_text(json.dumps({'dataset': 'cmu'}))
    code, rows, shown = listed()
    assert code == 0 and rows['good'][-3] == '30.50' and rows['odd'][1:3] == ['-', '-']
    assert '\x1b' not in shown.out
    said = ' '.join(shown.out.split())
    assert all(words in said for words in ('is not the history of a run', 'is not a results.json',
                                           'is not the options of a run'))
    code, _, shown = listed(str(tmp_path / 'nowhere'))
    assert code == 2 and shown.err.startswith('error: ') and shown.err.count('\n') == 1
    code, _, shown = listed(str(folder / 'good'))
    assert code == 2 and 'holds no runs' in shown.err


def test_the_released_runs_are_listed_with_their_scores(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '110')
    assert run_tool(runs.main, [str(PROJECT / 'checkpoint')]) == 0
    shown = capsys.readouterr().out.splitlines()
    for name in ('cmu_short', 'cmu_long'):
        scores = json.loads((PROJECT / 'checkpoint' / name / 'results.json').read_text())
        average = scores['methods']['KSOF']['avg']
        [row] = [line.split() for line in shown if line.split()[:1] == [name]]
        assert row[-2:] == [f'{average[scores["label_ms"].index(label)]:.2f}' for label in (80, 400)]
