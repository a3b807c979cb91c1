"""The paper's command lines: each trains, evaluates and writes its tables, and evaluates again with --is_eval."""
import csv
import json
import runpy
import shutil
import sys

import pytest

from tests.conftest import PROJECT
from utils.data import cmu, h36m, sample, threedpw

COMMANDS = {
    'h36m': 'main_h36m.py --data_dir {data} --num_gcn 4 --dct_n 15 --input_n 10 --output_n 10 --skip_rate 1 --batch_size 32 '
            '--test_batch_size 64 --node_n 66 --cuda_idx cuda:0 --d_model 16 --lr_now 0.0005 --epoch 100 --test_sample_num -1',
    'cmu': 'main_cmu_3d.py --data_dir {data} --num_gcn 4 --dct_n 15 --input_n 10 --output_n 25 --skip_rate 1 --batch_size 16 '
           '--test_batch_size 32 --node_n 75 --cuda_idx cuda:0 --d_model 16 --lr_now 0.005 --epoch 100 --test_sample_num -1',
    '3dpw': 'main_3dpw.py --data_dir {data} --num_gcn 4 --dct_n 15 --input_n 10 --output_n 30 --skip_rate 1 --batch_size 32 '
            '--test_batch_size 64 --node_n 69 --cuda_idx cuda:0 --d_model 16 --lr_now 0.001 --epoch 100 --test_sample_num -1',
}
READERS = {'h36m': h36m.READER, 'cmu': cmu.READER, '3dpw': threedpw.READER}

def few_frames(paths, bounds, seed):
    """Recorded frames of each file: one or two windows, of the paper's lengths, where it is trained, validated or tested on."""
    lengths = {'train': 142, 'test': 72, 'sequenceFiles': 82}
    return {path: lengths.get(path.split('/')[0], 40) for path in paths}


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Dataset root with all files of the three samples, each a few windows long."""
    root = tmp_path_factory.mktemp('tiny')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, 'draw_lengths', few_frames)
        for write in (sample.write_h36m, sample.write_cmu, sample.write_threedpw):
            write(root)
    return root


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line in this process, as `python` does; returns exit code, stdout and stderr."""
    def run_command(command):
        words = command.split()
        monkeypatch.setattr(sys, 'argv', words)
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(PROJECT / words[0]), run_name='__main__')
        shown = capsys.readouterr()
        return stopped.value.code, shown.out, shown.err
    return run_command


@pytest.mark.parametrize('name', COMMANDS)
def test_the_papers_command_line(name, tiny, tmp_path, run):
    # What follows the paper's own words only shortens the run: one epoch, every 40th window.
    command = COMMANDS[name].format(data=tiny) + f' --exp {tmp_path / "run"} --epoch 1 --skip_rate 40'
    code, table, log = run(command)
    assert code == 0, log
    results = check_files(tmp_path / 'run', READERS[name], table)
    for file in ('test_all_eval.csv', 'results.json', 'results.md'):
        (tmp_path / 'run' / file).unlink()
    code, table, log = run(command + ' --is_eval')
    assert code == 0, log
    assert check_files(tmp_path / 'run', READERS[name], table) == results


def check_files(folder, reader, table):
    """The three files of a run, which must agree; returns results.json."""
    results = json.loads((folder / 'results.json').read_text())
    assert list(results) == ['dataset', 'protocol', 'input_n', 'output_n', 'epoch', 'selected_on', 'label_ms', 'true_ms',
                             'mm_scale_to_true', 'windows', 'missing_actions', 'missing_files', 'sample', 'methods']
    assert results['missing_actions'] == results['missing_files'] == []
    assert results['dataset'] == reader.name and results['protocol'] == 'all'
    assert list(results['windows']) == list(reader.actions)
    assert list(results['methods']) == ['KSOF', 'KSOF predicted joints only', 'zero velocity', 'constant velocity']
    labels = [round(reader.skeleton.label_ms_per_frame * k) for k in range(1, results['output_n'] + 1)]
    assert results['label_ms'] == labels
    rows = list(csv.reader((folder / 'test_all_eval.csv').read_text().splitlines()))
    assert rows[0] == ['action', *(f'test_#{label}ms' for label in labels)]
    assert [row[0] for row in rows[1:]] == [*reader.actions, 'avg']
    for row in rows[1:]:
        assert [float(cell) for cell in row[1:]] == results['methods']['KSOF'][row[0]]
    text = (folder / 'results.md').read_text()
    assert table == text + '\n'
    lists = reader.skeleton
    copied, truth = len(lists.copied), len(lists.joints) - len(lists.predicted) - len(lists.copied)
    assert f'{len(lists.joints)} joints: {len(lists.predicted)} predicted, {copied} copied from those, {truth} taken' in text
    assert '| KSOF predicted joints only ' in text and 'PGBIG' in text
    return results


def test_missing_files_stop_a_run_or_are_listed(tiny, tmp_path, run):
    shutil.copytree(tiny / 'h36m', tmp_path / 'h36m', copy_function=shutil.copyfile)
    for path in (tmp_path / 'h36m' / 'S5').iterdir():
        if path.name not in ('walking_2.txt', 'eating_1.txt', 'eating_2.txt'):
            path.unlink()
    command = (f'main_h36m.py --data_dir {tmp_path} --exp {tmp_path / "run"} --d_model 1 --num_gcn 1 --epoch 1 --skip_rate 40')
    code, table, log = run(command)
    assert (code, table) == (2, '') and not (tmp_path / 'run').exists(), 'it stops before training'
    assert log.splitlines()[-1].startswith(f'error: {tmp_path}/h36m/S5/walking_1.txt: no such file')
    code, table, log = run(command + ' --allow_missing')
    assert code == 0, log
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert results['missing_actions'] == list(h36m.ACTIONS[2:])
    assert len(results['missing_files']) == 27 and results['missing_files'][0] == 'S5/walking_1.txt'
    assert results['windows'] == {'walking': 1, 'eating': 2}
    assert 'mean of 2 of 15 actions' in table and 'S5/walking_1.txt' in table and 'missing: smoking' in table
