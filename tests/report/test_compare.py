"""tools/compare.py: averages over shared actions, what sets runs apart, refusals, sizes, speeds, picture."""
import csv
import json
import statistics
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import tools.compare
from model.ksof import KSOF
from tests.conftest import numbers
from utils.common import checkpoint
from utils.common.cli import run_tool
from utils.data import cmu, h36m, threedpw
from utils.evaluate.results import Results, read_results, read_window_errors
from utils.evaluate.window_errors import WindowErrors
from utils.report.page import write_all
from utils.report.published import TABLE

SIZES = {'node_n': 75, 'input_n': 10, 'output_n': 10, 'dct_n': 15, 'num_gcn': 1, 'd_model': 1, 'dropout': 0.1,
         'tcn_axis': 'time', 'topk': 'signed', 'wiring': 'released'}


def error(action, frame, offset):
    """An invented error that no two actions share."""
    return offset + 7.0 * len(action) + 3.5 * frame + 0.25 * frame * len(action)


@pytest.fixture
def make_run(tmp_path):
    """Write the tables of an invented run and return its folder; more: fields of Results."""
    def make(name, actions=cmu.ACTIONS, *, offset=0.0, output_n=10, dataset=cmu.DATASET, protocol='all',
             **more):
        methods = {}
        for k, method in enumerate(('KSOF', 'KSOF predicted joints only', 'zero velocity',
                                    'constant velocity')):
            methods[method] = {action: [error(action, f, offset if k < 2 else 0) + 20 * k
                                        for f in range(output_n)]
                               for action in actions}
            methods[method]['avg'] = [statistics.mean(table)
                                      for table in zip(*methods[method].values(), strict=True)]
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write_all(Results(dataset, {action: 5 for action in actions}, protocol, 10, output_n, 7, 'validation',
                          methods, **more),
                  folder)
        return folder
    return make


@pytest.fixture
def compare(capsys, tmp_path, monkeypatch):
    """Run the tool; returns exit code, compare.md and messages.

    The terminal shows the same numbers, in 80 columns.
    """
    monkeypatch.setenv('COLUMNS', '80')
    draw = tools.compare.draw

    def run(*arguments):
        capsys.readouterr()
        own = '--out' in arguments
        monkeypatch.setattr(tools.compare, 'draw', draw if own else lambda *_: None)
        out = arguments[arguments.index('--out') + 1] if own else tmp_path / 'page'
        words = arguments if own else (*arguments, '--out', out)
        code = run_tool(tools.compare.main, [str(word) for word in words])
        shown, log = capsys.readouterr()
        page = (out / 'compare.md').read_text() if code == 0 else shown
        assert numbers(shown) == numbers(page)
        assert all(len(line) <= 80 for line in shown.splitlines() if code == 0)
        return code, page, log
    return run


def cells(text, name):
    """The cells of the first table row with this name."""
    line = next(line for line in text.split('\n') if line.startswith(f'| {name} '))
    return [cell.strip() for cell in line.split('|')[2:-1]]


def published_mean(method, actions, label):
    with TABLE.open(newline='') as file:
        return statistics.mean(float(row['mpjpe_mm']) for row in csv.DictReader(file)
                               if row['dataset'] == 'cmu'
                               and row['method'] == method and row['action'] in actions
                               and row['label_ms'] == str(label))


def test_averages_are_over_the_actions_that_all_runs_have(compare, make_run):
    first = make_run('first', ('basketball', 'jumping', 'soccer'))
    second = make_run('second', ('jumping', 'soccer', 'walking'), offset=1)
    code, text, _ = compare(first, second / 'results.json')
    assert code == 0 and 'mean of 2 actions of 8 (not in every run: basketball, basketball_signal' in text
    for name, offset in (('first', 0), ('second', 1)):
        expected = [(error('jumping', f, offset) + error('soccer', f, offset)) / 2 for f in (1, 3, 7, 9)]
        row = [line for line in text.split('\n') if line.startswith(f'| {name} ')][1]
        assert [float(cell) for cell in row.split('|')[2:-1]] == pytest.approx(expected, abs=0.0051)
    assert cells(text, 'first')[2] == '3 of 8', 'the runs themselves are described as they are'
    assert cells(text, 'zero velocity'), 'runs that agree on a baseline share its row'
    assert float(cells(text, 'KSOF-released, 10 out (t)')[3]) == pytest.approx(
        published_mean('KSOF-released', ('jumping', 'soccer'), 400), abs=0.0051)
    by_action = text.split('By action at 400 ms:')[1].split('At every frame')[0]
    assert cells(by_action, 'soccer') == [f'{error("soccer", 9, offset):.2f}' for offset in (0, 1)]
    assert '| basketball ' not in by_action
    frames = text.split('At every frame:')[1]
    assert cells(frames, '240') == ['100', *(f'{(error("jumping", 5, o) + error("soccer", 5, o)) / 2:.2f}'
                                             for o in (0, 1))]


def test_one_action_and_each_action(compare, make_run):
    runs = [make_run('a'), make_run('b', offset=2, output_n=25)]
    code, text, _ = compare(*runs, '--action', 'walking', '--published', 'pgbig')
    assert code == 0 and 'MPJPE in mm at the frame, walking.' in text and 'By action' not in text
    assert cells(text.split('label ms')[1], 'b') == [f'{error("walking", f, 2):.2f}'
                                                     for f in (1, 3, 7, 9, 13, 24)]
    assert cells(text.split('label ms')[1], 'a')[-2:] == ['-', '-']
    assert cells(text, 'PGBIG, 25 out (t)')[0] == f'{published_mean("PGBIG", ("walking",), 80):.2f}'
    assert 'GGMotion' not in text
    assert 'observe or predict different numbers of frames' in text
    code, text, _ = compare(*runs, '--action', 'all', '--published', 'none')
    assert [line[4:] for line in text.split('\n') if line.startswith('### ')] == list(cmu.ACTIONS)
    assert 'PGBIG' not in text and '(t)' not in text
    soccer = text.split('### soccer')[1].split('###')[0]
    assert cells(soccer, 'a')[:4] == [f'{error("soccer", f, 0):.2f}' for f in (1, 3, 7, 9)]


def test_other_protocols_and_synthetic_motion_are_marked(compare, make_run):
    a, b, c = make_run('a'), make_run('b', protocol='256'), make_run('c', sample=True)
    code, text, _ = compare(a, b, c)
    assert code == 0 and '## 3 runs on CMU mocap\n' in text
    assert cells(text, r'b [other protocol: 256 windows]') and cells(text, 'c [synthetic motion]')
    assert 'Runs tested on other windows than a are marked' in text
    assert 'compare with nothing measured on recordings' in text
    code, text, _ = compare(b, b.parent / 'a')
    assert cells(text, 'PGBIG, 25 out (t) [other protocol: all windows]')
    assert cells(text, 'a [other protocol: all windows]')
    code, text, _ = compare(c)
    assert text.startswith('## 1 run on synthetic motion in the layout of CMU mocap')
    assert text.count('synthetic') == 1 and 'PGBIG' not in text


def test_missing_files_of_any_run_are_listed(compare, make_run):
    some = make_run('some', h36m.ACTIONS[:2], dataset=h36m.DATASET, missing_files=['S5/eating_1.txt'])
    code, text, _ = compare(make_run('whole', h36m.ACTIONS, dataset=h36m.DATASET), some)
    assert code == 0 and 'files are missing: S5/eating_1.txt' in text and 'mean of 2 actions of 15' in text


def test_what_cannot_be_compared_gets_one_line(compare, make_run, tmp_path):
    a, walking = make_run('a', ('jumping',)), make_run('b', ('walking',))
    other = make_run('c', ('all',), dataset=threedpw.DATASET)
    for arguments, expected in (
            ((a, other), 'c is a run on 3DPW, a on CMU mocap: compare runs of one dataset'),
            ((a, walking), 'different actions, with none in common'),
            ((a, a), 'the same run is given twice'),
            ((a, '--action', 'soccer'), '--action soccer: the runs share jumping'),
            ((tmp_path / 'nowhere',), f'{tmp_path / "nowhere"}: no such run'),
            ((tmp_path,), f'{tmp_path / "results.json"}: no results there')):
        code, text, log = compare(*arguments)
        assert (code, text, log.count('\n')) == (2, '', 1) and log.startswith('error: ') and expected in log
    file = a / 'results.json'
    for damage in (lambda content: content[:100], lambda content: '[]',
                   lambda content: content.replace('"cmu"', '"mpii"'),
                   lambda content: content.replace('"zero velocity"', '"zero"'),
                   lambda content: content.replace('"output_n": 10', '"output_n": 11')):
        whole = file.read_text()
        file.write_text(damage(whole))
        code, text, log = compare(a)
        assert (code, text, log.count('\n')) == (2, '', 1) and log.startswith(f'error: {file}: '), log
        file.write_text(whole)
    (a / 'options.json').write_text('{}')
    assert f'{a / "options.json"}: is not the options of a run' in compare(a)[2]


def test_size_speed_and_latency(compare, make_run):
    folder = make_run('one')
    model = KSOF(**SIZES)
    torch.save({'model': model.state_dict(), 'options': {'dataset': 'cmu', **SIZES}, 'epoch': 1},
               folder / checkpoint.BEST)
    (folder / 'history.csv').write_text('epoch,windows_per_s,seconds\n1,10,1\n2,1000,1\n3,30,1\n')
    code, text, _ = compare(folder)
    statistics_of_batches = ('running_mean', 'running_var', 'num_batches_tracked')
    weights = sum(value.numel() for name, value in model.state_dict().items()
                  if not name.endswith(statistics_of_batches))
    assert code == 0 and cells(text, 'one')[3:] == ['7 of 3', f'{weights / 1e6:.2f} M', '30']
    assert 'one CPU thread' not in text
    (folder / 'options.json').write_text(json.dumps({'options': {**SIZES, 'd_model': 2}}))
    code, text, _ = compare(folder, '--latency')
    assert code == 0 and cells(text, 'one')[4] != f'{weights / 1e6:.2f} M'
    assert float(cells(text, 'one')[6]) > 0
    (folder / 'options.json').write_text('{"options": {"d_model": 2}}')
    assert 'one: its options do not fit this version' in compare(folder)[2]


def test_the_picture_and_the_page(compare, make_run, tmp_path, monkeypatch):
    out = tmp_path / 'new' / 'out'
    runs = [make_run('a', ('walking', 'soccer')), make_run('b', ('walking', 'soccer'), output_n=25, offset=3)]
    code, text, _ = compare(*runs, '--out', out)
    assert code == 0 and cells(text, 'zero velocity (windows of a)')
    from matplotlib.image import imread
    picture = imread(out / 'compare.png')
    assert picture.shape[:2] == (1200, 1500)
    for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):
        assert (abs(picture[..., :3] - torch.tensor(colour).numpy() / 255).max(-1)
                < 0.01).sum() > 500, 'a run is not drawn'
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    monkeypatch.delitem(sys.modules, 'utils.report.comparison_plot')
    code, text, log = compare(*runs, '--out', tmp_path / 'plain')
    assert code == 0 and 'no compare.png: matplotlib is not installed' in log
    assert [path.name for path in (tmp_path / 'plain').iterdir()] == ['compare.md']


def test_the_picture_names_every_row_without_overlap(make_run):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from utils.report.comparison import load_runs
    from utils.report.comparison_plot import comparison_figure

    figure = comparison_figure(load_runs([make_run('a', output_n=25),
                                          make_run('a much longer name of a run', offset=5)]), [])
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {'a', 'a much longer name of a run', 'PGBIG, 25 out (t)', 'zero velocity'} <= set(names)
    assert len(set(names)) == len(names) == 2 + 7 + 2
    for texts in ([t for t in axes.get_xticklabels() if t.get_text()] for axes in figure.axes):
        boxes = sorted((text.get_window_extent(renderer) for text in texts), key=lambda box: box.x0)
        assert len(boxes) >= 4
        assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))


@pytest.fixture
def make_scored(make_run):
    """Write an invented run with errors of its windows, which are not those of its tables."""
    def make(name, seed, shift=0.0, **changes):
        own, windows = np.random.default_rng(seed), 120
        folder = make_run(name, ('walking', 'soccer'))
        action = np.repeat([cmu.ACTIONS.index('walking'), cmu.ACTIONS.index('soccer')], windows)
        errors = (20 + own.random((2 * windows, 10)) + shift).astype(np.float32)
        start = np.tile(np.arange(windows), 2)
        files = np.array([f'test/{one}/{one}_1.txt' for one in cmu.ACTIONS])
        of_windows = WindowErrors('cmu', 10, errors, errors, np.ones(2 * windows, np.float32), start, action,
                                  action, files, np.zeros(8, int), np.array(cmu.ACTIONS))._replace(**changes)
        results = read_results(folder / 'results.json')
        write_all(replace(results, windows={'walking': windows, 'soccer': windows}), folder, of_windows)
        return folder
    return make


def of_windows(folder):
    """MPJPE of every window of a run."""
    return read_window_errors(read_results(folder / 'results.json'), folder).all_joints


@pytest.fixture
def paired(capsys, tmp_path, monkeypatch):
    """Run the tool with --paired; returns exit code, paired.md or the shown text, and messages."""
    monkeypatch.setenv('COLUMNS', '80')

    def run(*arguments):
        capsys.readouterr()
        words = [str(word) for word in (*arguments, '--paired', '--out', tmp_path / 'page')]
        code = run_tool(tools.compare.main, words)
        shown, log = capsys.readouterr()
        page = (tmp_path / 'page' / 'paired.md').read_text() if code == 0 else shown
        return code, ' '.join(page.split()) if code == 0 else page, log
    return run


def test_paired_says_what_can_be_said(paired, make_scored, tmp_path):
    a, b = make_scored('a', 1), make_scored('b', 2, shift=-1)
    code, text, _ = paired(a, b)
    assert code == 0 and '## b against a on CMU mocap' in text and '240 windows that all runs' in text
    assert 'At 80, 160, 320, 400 ms b is better than a: the interval lies below 0.' in text
    assert 'soccer 3, walking 3' in text and 'blocks of a recording' in text and 'another seed' in text
    errors = [of_windows(run) for run in (a, b)]
    assert f'| b minus a | {(errors[1] - errors[0])[:, 1].mean():.2f} |' in text
    code, text, _ = paired(a, a)
    assert code == 0 and 'both have the same errors' in text and 'another seed' not in text
    for row in ('a minus a', '95% interval from', 'to', 'windows in which a is better, %'):
        assert f'| {row} | 0.00 | 0.00 | 0.00 | 0.00 |' in text
    code, text, _ = paired(a, make_scored('c', 3))
    assert code == 0 and 'nothing can be said of which is better: 0 is in the interval' in text
    code, text, _ = paired(a, b, '--action', 'soccer')
    assert code == 0 and '120 windows that all runs' in text and 'by action' not in text
    assert 'Only 3 recordings or blocks were there to draw from' in text


def test_paired_averages_the_seeds_that_a_pattern_finds(paired, make_scored, tmp_path):
    runs = [make_scored(f'a{seed}', seed, shift=seed) for seed in (1, 2, 3)]
    make_scored('b', 4)
    (tmp_path / 'a_unfinished').mkdir()
    code, text, _ = paired(tmp_path / 'a*', tmp_path / 'b')
    means = [of_windows(run)[:, 1].mean() for run in runs]
    assert code == 0 and f'(mean of 3 runs) | {statistics.mean(means):.2f} |' in text
    assert f'standard deviation of its runs | {statistics.stdev(means):.2f} |' in text
    assert 'The runs of a setting are drawn too' in text
    code, shown, log = paired(*runs, tmp_path / 'b')
    assert code == 2 and 'takes two settings, here are 4' in log and log.count('\n') == 1
    assert 'matches no evaluated run' in paired(tmp_path / 'x*', tmp_path / 'b')[2]


def test_paired_refuses_what_is_no_pair(paired, make_scored, make_run):
    a = make_scored('a', 1)
    assert 'saw different motion' in paired(a, make_scored('b', 2, held=np.full(240, 2, np.float32)))[2]
    assert 'the errors of the windows are not there' in paired(a, make_run('c', ('walking', 'soccer')))[2]
    (a / 'errors.npz').write_bytes(b'')
    assert 'is not the file that results.json beside it names' in paired(a, a)[2]


def test_distribution_and_measures(compare, make_scored, tmp_path):
    a, b = make_scored('a', 1), make_scored('b', 2)
    errors = of_windows(a)
    code, text, _ = compare(a, b, '--distribution', '--measures', '--out', tmp_path / 'out')
    assert code == 0
    ordered = sorted(errors[:, 9].tolist())
    assert cells(text, 'a, median')[3] == f'{(ordered[119] + ordered[120]) / 2:.2f}'
    assert ordered[214] <= float(cells(text, 'a, 90th percentile')[3]) + 0.005
    worst = text.split('The recordings of each run')[1]
    window = errors[:, 9].argmax()
    expected = [f'{errors[window, 9]:.2f}', str(window % 120)]
    assert [cell.strip() for cell in worst.split('\n')[4].split('|')[-3:-1]] == expected
    table = read_results(a / 'results.json').methods['KSOF']['avg']
    up_to = text.split('averaged up to the label')[1]
    assert cells(up_to, 'a')[:2] == [f'{statistics.mean(table[:2]):.2f}', f'{statistics.mean(table[:4]):.2f}']
    assert cells(up_to.split('Final displacement')[1], 'a')[-1] == f'{table[-1]:.2f}'
    from matplotlib.image import imread
    assert imread(tmp_path / 'out' / 'distribution.png').shape[:2] == (690, 1500)
