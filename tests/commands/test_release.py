"""Runs that are given away."""
import csv
import json

import pytest
import torch

from model.ksof import KSOF
from tests.conftest import PROJECT, weights
from tools import release
from utils.build import build_network
from utils.common import checkpoint
from utils.common.cli import run_tool
from utils.evaluate.results import read_results
from utils.predict.trained import load_trained
from utils.report.page import markdown


def test_a_released_run_scores_the_same_and_says_nothing_of_the_machine(command, tmp_path, capsys):
    assert command('--recipe', 'accurate', '--average', '0.8', '--epoch', '1') == 0
    run, out = tmp_path / 'run', tmp_path / 'given'
    assert run_tool(release.main, [str(run), '--out', str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        'ckpt_best.pth.tar', 'config.json', 'errors.npz', 'history.csv', 'model.safetensors', 'options.json',
        'results.json', 'results.md', 'test_all_eval.csv']
    assert not [path for path in out.iterdir() if str(tmp_path).encode() in path.read_bytes()]
    state = torch.load(out / checkpoint.BEST, weights_only=True)
    assert set(state) == {'model', 'criterion', 'epoch', 'history', 'best', 'options'}
    expected = checkpoint.load(run / checkpoint.BEST)['model']
    assert all(torch.equal(state['model'][name], expected[name]) for name in expected)
    assert_safetensors_hold_the_network(out)
    before = (out / 'results.json').read_text()
    (out / 'results.json').unlink()
    assert command('--recipe', 'accurate', '--is_eval', '--exp', str(out)) == 0
    assert (out / 'results.json').read_text() == before
    assert json.loads((out / 'options.json').read_text())['options']['data_dir'] == 'DATA'


def assert_safetensors_hold_the_network(folder):
    """KSOF with config.json's arguments takes model.safetensors and predicts what the checkpoint does."""
    load_file = pytest.importorskip('safetensors.torch').load_file
    sizes = json.loads((folder / 'config.json').read_text())['network']
    network = KSOF(**sizes).eval()
    network.load_state_dict(load_file(folder / 'model.safetensors'))
    expected = build_network(checkpoint.load(folder / checkpoint.BEST)['options']).eval()
    expected.load_state_dict(checkpoint.load(folder / checkpoint.BEST)['model'])
    observed = 300 * torch.randn(2, sizes['input_n'], sizes['node_n'])
    with torch.no_grad():
        assert torch.equal(network(observed).fused, expected(observed).fused)


def test_the_table_that_is_given_away_is_of_the_same_windows_as_the_results(command, tmp_path, capsys):
    assert command('--epoch', '1') == command('--is_eval', '--test_sample_num', '8') == 0
    assert run_tool(release.main, [str(tmp_path / 'run'), '--out', str(tmp_path / 'given')]) == 0
    assert [path.name for path in (tmp_path / 'given').glob('test_*')] == ['test_8_eval.csv']


def test_a_network_of_one_s_own_is_not_given_away_as_ksof(command, tmp_path, monkeypatch, capsys):
    assert command('--epoch', '1') == 0
    opened = release.open_checkpoint

    def own(path):
        found = opened(path)
        return found._replace(settings=found.settings | {'network': '/home/me/mine.py:Mine'})

    monkeypatch.setattr(release, 'open_checkpoint', own)
    capsys.readouterr()
    assert run_tool(release.main, [str(tmp_path / 'run'), '--out', str(tmp_path / 'given')]) == 2
    assert 'is of a network of one\'s own' in capsys.readouterr().err
    assert not (tmp_path / 'given').exists()


@pytest.mark.parametrize('damage', ['exists', 'unevaluated', 'absent', 'deep', 'linked', 'damaged'])
def test_what_cannot_be_released_is_refused(damage, command, tmp_path, capsys):
    assert command('--epoch', '1') == 0
    run, out = tmp_path / 'run', tmp_path / 'given'
    if damage == 'exists':
        out.mkdir()
    elif damage == 'unevaluated':
        (run / 'results.json').unlink()
    elif damage == 'absent':
        run = tmp_path / 'nothing'
    elif damage == 'linked':  # it could lead to any file of the machine
        (run / 'history.csv').rename(tmp_path / 'secret')
        (run / 'history.csv').symlink_to(tmp_path / 'secret')
    elif damage == 'damaged':
        (run / 'options.json').write_text('[' * 100_000)
    else:
        out = out / 'deeper'
    capsys.readouterr()
    assert run_tool(release.main, [str(run), '--out', str(out)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith('error: ') and shown.count('\n') == 1
    named = {'linked': 'history.csv: is a link', 'damaged': 'options.json: '}
    assert named.get(damage, '') in shown and not list(tmp_path.glob('*unfinished*'))
    assert not out.exists() or damage == 'exists'
    assert weights(tmp_path / 'run', 'ckpt_best.pth.tar')


@pytest.mark.parametrize('name', ['cmu_short', 'cmu_long'])
def test_what_the_project_gives_away(name):
    folder = PROJECT / 'checkpoint' / name
    assert (folder / checkpoint.BEST).stat().st_size < 16e6
    weights = torch.load(folder / checkpoint.BEST, weights_only=True)
    assert set(weights) == {'model', 'criterion', 'epoch', 'history', 'best', 'options'}
    assert_safetensors_hold_the_network(folder)
    trained = load_trained(folder / checkpoint.BEST)
    results = read_results(folder / 'results.json')
    of_run = 'cmu', trained.settings['output_n'], trained.epoch
    assert (results.dataset.name, results.output_n, results.epoch) == of_run
    rows = list(csv.DictReader((folder / 'history.csv').open()))
    best = min(rows, key=lambda row: float(row['validation']))
    assert int(best['epoch']) == trained.epoch, 'the epoch is the best on validation data'


@pytest.mark.parametrize('name', ['cmu_short', 'cmu_long'])
def test_the_given_away_page_is_made_from_its_results(name):
    folder = PROJECT / 'checkpoint' / name
    assert (folder / 'results.md').read_text() == markdown(read_results(folder / 'results.json'))
