"""The network as a .pt2 and an .onnx file: the same numbers, in the tools too, and what is refused."""
import json
from pathlib import Path

import numpy as np
import own_motion
import pytest
import torch
from own_motion import SIZES, save_checkpoint, some_positions

from model.losses import joint_distances
from tools.export import KINDS, main
from utils.build import load_windows
from utils.common.cli import run_tool
from utils.common.errors import InputError
from utils.data.skeleton import CMU
from utils.mocap.motion import motion_of_positions
from utils.predict import export, exported
from utils.predict.predictor import load_predictor
from utils.predict.stream import Stream
from utils.predict.trained import checkpoint_path, load_trained

needs_onnx = pytest.mark.skipif(any(exported.find_spec(name) is None for name in export.ONNX_LIBRARIES),
                                reason='onnx, onnxscript or onnxruntime is not installed '
                                       '(requirements-export.txt)')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = save_checkpoint(tmp_path_factory.mktemp('run') / 'ckpt_best.pth.tar', 'cmu')
    state = torch.load(path)
    # Reading windows asks for it.
    torch.save(state | {'options': state['options'] | {'skip_rate': 1}}, path)
    return path


@pytest.fixture(scope='module')
def trained(checkpoint):
    return load_trained(checkpoint)


@pytest.fixture(scope='module')
def written(checkpoint, tmp_path_factory):
    """A .pt2, and where its libraries are an .onnx, beside the checkpoint they are made of."""
    folder = tmp_path_factory.mktemp('export')
    names = ['net.pt2'] + (['net.onnx'] if needs_onnx.args[0] is False else [])
    words = [word for name in names for word in ('--out', str(folder / name))]
    assert run_tool(main, [str(checkpoint), *words]) == 0
    return folder


def check(run, trained):
    """That a written network gives the network's predictions, for batches it was not made with."""
    for batch in (1, 3, 40):
        observed = export.poses(trained, batch, seed=batch + 100)
        with torch.inference_mode():
            expected = trained.model(observed).fused
        # It predicts motion, so a held pose would be noticed.
        assert (expected - observed[:, -1:]).abs().mean() > 1
        predicted = run(observed.numpy())
        assert predicted.shape == (batch, SIZES['output_n'], CMU.node_n)
        np.testing.assert_allclose(predicted, expected.numpy(), atol=0.02)


def test_pt2_is_the_network(written, trained):
    check(export.program_runner(written / 'net.pt2'), trained)
    extra = {'ksof.json': ''}
    torch.export.load(written / 'net.pt2', extra_files=extra)
    about = json.loads(extra['ksof.json'])
    assert about['joints'][0] == CMU.joints[CMU.predicted[0]] and len(about['joints']) == 25
    assert about['mm_scale_to_true'] == CMU.mm_scale_to_true
    assert about['frames_per_second'] == pytest.approx(60)


@needs_onnx
def test_onnx_is_the_network(written, trained):
    import onnx

    check(export.onnx_runner(written / 'net.onnx'), trained)
    model = onnx.load(written / 'net.onnx')
    onnx.checker.check_model(model)
    sizes = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
             for value in (*model.graph.input, *model.graph.output)]
    assert sizes == [['batch', 10, 75], ['batch', 6, 75]]
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ['observed', 'fused']
    assert json.loads({prop.key: prop.value for prop in model.metadata_props}['dataset']) == 'cmu'


@needs_onnx
def test_onnx_is_loaded_like_the_checkpoint(written, checkpoint, trained):
    loaded = load_trained(written / 'net.onnx')
    assert loaded.settings == trained.settings
    assert (loaded.dataset, loaded.epoch) == (trained.dataset, trained.epoch)
    check(lambda observed: loaded.model(torch.from_numpy(observed), None).fused.numpy(), trained)
    predictor, expected = load_predictor(written / 'net.onnx'), load_predictor(checkpoint)
    positions = some_positions('cmu', 30, 60)
    future = predictor(positions, fps=60, units='mm')
    np.testing.assert_allclose(future, expected(positions, fps=60, units='mm'), atol=0.01)
    stream = Stream(predictor)
    body = motion_of_positions(positions, 'cmu', fps=60, units='mm').body * CMU.mm_scale_to_true
    streamed = [stream.push(pose) for pose in body][-1]
    np.testing.assert_allclose(streamed, future, atol=0.01)


@needs_onnx
def test_the_tools_take_an_onnx(written, checkpoint, sample_cmu, tmp_path, run, capsys):
    np.save(tmp_path / 'walk.npy', some_positions('cmu', 30, 60))
    shown = {}
    for name, network in (('onnx', written / 'net.onnx'), ('torch', checkpoint)):
        out = tmp_path / f'{name}.npy'
        words = ['--fps', '60', '--units', 'mm', '--out', str(out)]
        code, _, log = run(['tools/predict.py', str(network), str(tmp_path / 'walk.npy'), *words])
        assert code == 0, log
        words = ['--data_dir', str(sample_cmu), '--window', '3', '5', '--make', 'viewer', '--out',
                 str(tmp_path / name)]
        code, table, log = run(['tools/visualise.py', str(network), *words])
        assert code == 0, log
        shown[name] = [line for line in table.splitlines() if 'CMU mocap' in line]
    np.testing.assert_allclose(np.load(tmp_path / 'onnx.npy'), np.load(tmp_path / 'torch.npy'), atol=0.01)
    assert shown['onnx'] == shown['torch'] and len(shown['onnx']) == 2


@needs_onnx
def test_both_views_of_the_symmetry_average_are_exported(checkpoint, tmp_path):
    path, state = tmp_path / 'ckpt.pth.tar', torch.load(checkpoint)
    state['options']['symmetry'] = 'average'
    torch.save(state, path)
    both, one = tmp_path / 'both.onnx', tmp_path / 'one.pt2'
    assert run_tool(main, [str(path), '--out', str(both)]) == 0
    assert run_tool(main, [str(path), '--out', str(one), '--symmetry', 'off']) == 0
    trained = load_trained(path)
    check(export.onnx_runner(both), trained)
    check(export.program_runner(one), trained._replace(model=trained.model.network))
    assert load_trained(both).settings['symmetry'] == 'average'


@needs_onnx
@pytest.mark.parametrize('damage', ['cut', 'text', 'older', 'settings', 'shape'])
def test_an_onnx_that_is_none_is_one_line(damage, written, tmp_path):
    import onnx

    path = tmp_path / 'net.onnx'
    content = (written / 'net.onnx').read_bytes()
    if damage in ('cut', 'text'):
        path.write_bytes(content[: len(content) // 2] if damage == 'cut' else b'not a network')
    else:
        model = onnx.load_from_string(content)
        entries = {entry.key: entry.value for entry in model.metadata_props}
        if damage == 'older':
            del entries['settings']
        elif damage == 'settings':
            entries['settings'] = '[1]'
        else:
            entries['settings'] = json.dumps(json.loads(entries['settings']) | {'output_n': 7})
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, entries)
        path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match='net.onnx: is not an exported network that can be used') as raised:
        load_predictor(path)
    assert '\n' not in str(raised.value)


def test_what_runs_an_onnx_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(exported, 'find_spec', lambda name: None)
    (tmp_path / 'net.onnx').touch()
    with pytest.raises(InputError, match=r'^\.onnx needs onnxruntime: pip install -r requirements-export'):
        load_predictor(tmp_path / 'net.onnx')


@needs_onnx
def test_an_exported_network_is_not_exported_again(written, tmp_path, capsys):
    assert run_tool(main, [str(written / 'net.onnx'), '--out', str(tmp_path / 'net.pt2')]) == 2
    assert 'is exported already' in capsys.readouterr().err and not list(tmp_path.iterdir())


@needs_onnx
@pytest.mark.long
@pytest.mark.parametrize('name', ['cmu_short', 'cmu_long'])
def test_released_networks_agree_on_all_cmu_test_windows(name, real_cmu, tmp_path):
    path = tmp_path / f'{name}.onnx'
    assert run_tool(main, [name, '--out', str(path)]) == 0
    trained, onnx = load_trained(checkpoint_path(Path(name))), load_trained(path)
    windows = load_windows(trained.settings, real_cmu / 'cmu_mocap', 'test', torch.device('cpu'))

    differences, errors = [], []
    with torch.inference_mode():
        for batch in windows.batches(64):
            ours, theirs = (network.model(batch.observed).fused for network in (trained, onnx))
            differences.append((ours - theirs).abs().amax((1, 2)))
            errors.append(torch.stack([joint_distances(poses, batch.future).mean((0, 2)) * len(poses)
                                       for poses in (ours, theirs)]))
    # Of two responses that differ in the last digit TOP-K may keep the other one: a few windows show it.
    apart = (torch.cat(differences) > 0.01).sum().item()
    assert len(windows) > 1000 and apart <= 0.005 * len(windows)
    ours, theirs = sum(errors) / len(windows)
    assert (ours - theirs).abs().max() < 0.001, 'mm, mean error at a frame'


@pytest.mark.parametrize('changes', [{'tcn_axis': 'coordinates', 'topk': 'packed'}, {'topk': 'off'}])
def test_variants_can_be_exported(changes, tmp_path, monkeypatch):
    monkeypatch.setattr(own_motion, 'SIZES', SIZES | changes)
    trained = load_trained(own_motion.save_checkpoint(tmp_path / 'ckpt.pth.tar', 'cmu'))
    module = export.export_program(trained).module()
    check(lambda observed: module(torch.from_numpy(observed)).detach().numpy(), trained)


def test_the_network_itself_stays_as_it_was(trained):
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    export.export_program(trained)
    after = trained.model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


def test_a_wrong_graph_is_noticed(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, 'export_program', lambda trained: None)
    monkeypatch.setitem(KINDS, '.pt2',
                        (lambda path, *_: path.touch(), lambda path: lambda observed: 0 * observed[:, :6]))
    assert run_tool(main, [str(checkpoint), '--out', str(tmp_path / 'net.pt2')]) == 2
    assert 'off the network on random poses: do not use it' in capsys.readouterr().err


@pytest.mark.parametrize('out, expected',
                         [('net.pb', 'write .pt2 or .onnx'), ('nowhere/net.pt2', 'no folder')])
def test_what_cannot_be_written_is_refused(checkpoint, tmp_path, capsys, out, expected):
    assert run_tool(main, [str(checkpoint), '--out', str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and expected in error
    assert not list(tmp_path.iterdir())


def test_missing_libraries_are_named(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, 'ONNX_LIBRARIES', ('onnx_that_is_not_there',))
    assert run_tool(main, [str(checkpoint), '--out', str(tmp_path / 'net.onnx')]) == 2
    assert capsys.readouterr().err == ('error: .onnx needs onnx_that_is_not_there: pip install -r '
                                       'requirements-export.txt\n')
