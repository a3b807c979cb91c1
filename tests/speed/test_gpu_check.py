"""The GPU check on a machine without one: what runs, what is marked, what is noticed. No time is asserted."""
import math

import pytest
import torch

from tools.gpu_check import main
from utils.common.cli import run_tool
from utils.data.synthetic import files as synthetic
from utils.speed import gpu
from utils.speed.gpu import FAILED, NOT_RUN, OK, Check

CPU = torch.device('cpu')


@pytest.fixture
def short_samples(monkeypatch):
    """Synthetic recordings of about a second."""
    from tests.conftest import few_frames

    monkeypatch.setattr(synthetic, 'draw_lengths', few_frames)


def rows_of(text):
    """The table's cells, by check."""
    lines = [line for line in text.splitlines() if line.startswith('|')]
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]
    return {row[0]: row for row in cells}


def test_the_command_on_a_machine_without_a_gpu(short_samples, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    out = tmp_path / 'report.md'
    assert run_tool(main, ['--dataset', 'cmu', '--out', str(out)]) == 0
    text, shown = out.read_text(), capsys.readouterr()
    assert text.strip() in shown.out and '--cuda_idx cuda:0 is not available here: using the CPU' in shown.err
    rows = rows_of(text)
    assert [row for row, cells in rows.items() if cells[1] == OK] == ['cmu plain', 'cmu readings']
    assert [row for row, cells in rows.items() if cells[1] == NOT_RUN] == [
        'CUDA tests', 'cmu --tf32', 'cmu --amp', 'cmu --compile', 'cmu as on the CPU', 'two GPUs by torchrun']
    _, _, speed, mpjpe, megabytes, _ = rows['cmu plain']
    assert float(speed) > 0 and float(mpjpe) > 0 and float(megabytes) > 50
    assert int(rows['cmu readings'][5]) > 0
    for expected in ('Failed: 0.', 'Not run: 6:', 'CUDA: not available', '- torch: '):
        assert expected in text


def test_a_check_that_raises_is_a_row_and_the_exit_code(short_samples, tmp_path, capsys, monkeypatch):
    def out_of_memory(training, steps):
        raise torch.OutOfMemoryError('CUDA out of memory.\nTried to allocate')

    monkeypatch.setattr(gpu, 'run_steps', out_of_memory)
    with pytest.raises(SystemExit) as ended:
        run_tool(main, ['--cuda_idx', 'cpu', '--dataset', '3dpw', '--out', str(tmp_path / 'report.md')])
    text = (tmp_path / 'report.md').read_text()
    assert ended.value.code == 1 and 'Failed: 2:' in text
    assert '- 3dpw plain: OutOfMemoryError: CUDA out of memory.\n' in text
    assert rows_of(text)['3dpw plain'][1] == FAILED


@pytest.mark.parametrize('mpjpe, status', [(101.9, OK), (98.1, OK), (102.1, FAILED), (97.9, FAILED),
                                           (math.nan, FAILED)])
def test_losses_are_compared_with_the_tolerance(mpjpe, status):
    check = gpu.compared(Check('cmu --tf32', OK, mpjpe=mpjpe), Check('cmu plain', OK, mpjpe=100.0), 0.02)
    assert check.status == status and '0.02 allowed' in check.note and 'cmu plain' in check.note


def test_nothing_is_compared_with_what_failed():
    failed = Check('cmu --amp', FAILED, 'no memory')
    assert gpu.compared(failed, Check('cmu plain', OK, mpjpe=1.0), 0.02).note == 'no memory'
    assert gpu.compared(Check('cmu --amp', OK, mpjpe=1.0), Check('cmu plain', FAILED), 0.02).note == ''


def test_a_reading_in_every_step_fails_the_check(tiny, monkeypatch):
    import utils.train.engine
    from tools.benchmark import settings
    from utils.build import load_windows

    own = settings('cmu', 1, ['--num_gcn', '1', '--batch_size', '4', '--dropout', '0', '--output_n', '10'])
    windows = load_windows(own, tiny / 'cmu_mocap', 'train', CPU)
    step = utils.train.engine.train_step

    def reading_step(state, *arguments):
        state.criterion.log_a.item()
        return step(state, *arguments)

    monkeypatch.setattr(utils.train.engine, 'train_step', reading_step)
    check = gpu.check_reads('cmu readings', own, windows)
    assert check.status == FAILED and check.reads >= 20


def test_two_processes_are_compared_with_one(monkeypatch, tmp_path):
    commands = []

    def run_main(command, folder):
        commands.append(command)
        return {'fused': '10.0' if len(commands) == 1 else '10.1', 'windows_per_s': '50'}

    monkeypatch.setattr(gpu, 'run_main', run_main)
    check = gpu.check_two_processes(['main_cmu_3d.py', '--batch_size', '16'], tmp_path, gpus=2)
    assert check.status == OK and check.mpjpe == 10.1 and '1.0e-02 off "one process"' in check.note
    assert commands[1][-2:] == ['--batch_size', '8'] and 'torch.distributed.run' in commands[1]


def test_a_main_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match='nowhere'):
        gpu.run_main([gpu.sys.executable, 'main_cmu_3d.py', '--data_dir', '/nowhere', '--cuda_idx', 'cpu'],
                     tmp_path / 'one')


def test_an_output_that_cannot_be_written_is_refused_before_the_work(capsys):
    assert run_tool(main, ['--out', '/nowhere/report.md']) == 2
    assert capsys.readouterr().err == 'error: --out /nowhere/report.md: no folder /nowhere\n'
