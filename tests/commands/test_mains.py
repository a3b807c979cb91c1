"""The paper's command lines: each trains, evaluates, writes its tables, and evaluates anew with --is_eval."""
import csv
import json
import shutil

import pytest

from tests.conftest import numbers, paper_lines
from tools.reproduce import MAINS
from utils.data import h36m
from utils.data.lookup import DATASETS


@pytest.mark.parametrize('name', DATASETS)
def test_the_papers_command_line(name, tiny, tmp_path, run):
    # What follows the paper's own words only shortens the run: one epoch, every 40th window.
    words = [str(tiny) if word == 'DATA' else word for word in paper_lines()[f'{MAINS[name].__name__}.py']]
    command = ' '.join(words) + f' --exp {tmp_path / "run"} --epoch 1 --skip_rate 40'
    code, table, log = run(command)
    assert code == 0, log
    results = check_files(tmp_path / 'run', DATASETS[name], table)
    for file in ('test_all_eval.csv', 'results.json', 'results.md'):
        (tmp_path / 'run' / file).unlink()
    code, table, log = run(command + ' --is_eval')
    assert code == 0, log
    assert check_files(tmp_path / 'run', DATASETS[name], table) == results


def check_files(folder, reader, table):
    """The three files of a run, which must agree; returns results.json."""
    results = json.loads((folder / 'results.json').read_text())
    assert list(results) == ['dataset', 'protocol', 'input_n', 'output_n', 'epoch', 'selected_on', 'label_ms',
                             'true_ms', 'mm_scale_to_true', 'windows', 'missing_actions', 'missing_files',
                             'sample', 'methods', 'parameters', 'motion', 'checkpoint', 'mpjpe_up_to_frame',
                             'final_displacement', 'pck_percent', 'errors', 'network']
    assert results['missing_actions'] == results['missing_files'] == []
    assert results['dataset'] == reader.name and results['protocol'] == 'all'
    assert list(results['windows']) == list(reader.actions)
    assert list(results['methods']) == ['KSOF', 'KSOF predicted joints only', 'zero velocity',
                                        'constant velocity']
    labels = [round(reader.skeleton.label_ms_per_frame * k) for k in range(1, results['output_n'] + 1)]
    assert results['label_ms'] == labels
    rows = list(csv.reader((folder / 'test_all_eval.csv').read_text().splitlines()))
    assert rows[0] == ['action', *(f'test_#{label}ms' for label in labels)]
    assert [row[0] for row in rows[1:]] == [*reader.actions, 'avg']
    for row in rows[1:]:
        assert [float(cell) for cell in row[1:]] == results['methods']['KSOF'][row[0]]
    text = (folder / 'results.md').read_text()
    assert numbers(table) == numbers(text) and max(map(len, table.splitlines())) <= 80
    lists = reader.skeleton
    copied, truth = len(lists.copied), len(lists.joints) - len(lists.predicted) - len(lists.copied)
    assert (f'{len(lists.joints)} joints: {len(lists.predicted)} predicted, {copied} copied from those, '
            f'{truth} taken' in text)
    assert '| KSOF predicted joints only ' in text
    assert text.startswith('## KSOF on synthetic motion') and text.count('synthetic') == 1
    assert 'PGBIG' not in text
    check_motion(results, text)
    return results


def check_motion(results, text):
    """What must hold of the baselines' motion whatever the data, and that the table shows the network's."""
    motion = results['motion']
    assert {measure: len(methods) for measure, methods in motion.items()} == {
        'acceleration error': 3, 'bone-length error': 3, 'acceleration': 4}
    for action in (*results['windows'], 'avg'):
        own, truth = (motion['acceleration'][name][action] for name in ('constant velocity', 'truth'))
        assert len(own) == results['output_n'] and max(own) < 0.01 < 0.1 < min(truth)
        for name, first in (('constant velocity', 0), ('zero velocity', 1)):
            error = motion['acceleration error'][name][action]
            assert error[first:] == pytest.approx(truth[first:], abs=0.01)
        assert max(motion['bone-length error']['zero velocity'][action]) < 0.01
        assert motion['bone-length error']['constant velocity'][action][-1] > 0.1
    for measure in ('acceleration error', 'bone-length error'):
        row = next(line for line in text.splitlines()
                   if line.startswith(f'| {measure}: KSOF ')).split('|')[2:-1]
        expected = motion[measure]['KSOF']['avg'][results['label_ms'].index(shown_label(text))]
        assert float(row[0]) == pytest.approx(expected, abs=0.0051)
    assert f'KSOF {sum(motion["acceleration"]["KSOF"]["avg"]) / results["output_n"]:.2f} (' in text
    assert f'{results["parameters"] / 1e6:.2f} M parameters.' in text


def shown_label(text):
    """The first label that tables show."""
    return int(next(line for line in text.splitlines() if line.startswith('| label ms ')).split('|')[2])


def test_missing_files_stop_a_run_or_are_listed(tiny, tmp_path, run):
    shutil.copytree(tiny / 'h36m', tmp_path / 'h36m', copy_function=shutil.copyfile)
    for path in (tmp_path / 'h36m' / 'S5').iterdir():
        if path.name not in ('walking_2.txt', 'eating_1.txt', 'eating_2.txt'):
            path.unlink()
    command = (f'main_h36m.py --data_dir {tmp_path} --exp {tmp_path / "run"} --d_model 1 --num_gcn 1 --epoch '
               '1 --skip_rate 40')
    code, table, log = run(command)
    assert (code, table) == (2, '') and not (tmp_path / 'run').exists(), 'it stops before training'
    assert log.splitlines()[-1].startswith(f'error: {tmp_path}/h36m/S5/walking_1.txt: no such file')
    code, table, log = run(command + ' --allow_missing')
    assert code == 0, log
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert results['missing_actions'] == list(h36m.ACTIONS[2:])
    assert len(results['missing_files']) == 27 and results['missing_files'][0] == 'S5/walking_1.txt'
    assert results['windows'] == {'walking': 1, 'eating': 2}
    shown = ' '.join(table.split())
    assert 'mean of 2 of 15 actions' in shown and 'S5/walking_1.txt' in shown and 'missing: smoking' in shown
