"""The network as a .pt2 and an .onnx file: the same numbers for any batch, and what is said where it cannot be."""
import json

import numpy as np
import own_motion
import pytest
import torch
from own_motion import SIZES, save_checkpoint

from tools.export import KINDS, main
from utils.common.cli import run_tool
from utils.data.skeleton import CMU
from utils.predict import export
from utils.predict.trained import load_trained

needs_onnx = pytest.mark.skipif(any(export.find_spec(name) is None for name in export.ONNX_LIBRARIES),
                                reason='onnx, onnxscript or onnxruntime is not installed (requirements-export.txt)')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp('run') / 'ckpt_best.pth.tar', 'cmu')


@pytest.fixture(scope='module')
def trained(checkpoint):
    return load_trained(checkpoint)


@pytest.fixture(scope='module')
def written(checkpoint, tmp_path_factory):
    """A .pt2, and where its libraries are an .onnx, beside the checkpoint they are made of."""
    folder = tmp_path_factory.mktemp('export')
    names = ['net.pt2'] + (['net.onnx'] if needs_onnx.args[0] is False else [])
    assert run_tool(main, [str(checkpoint), *(word for name in names for word in ('--out', str(folder / name)))]) == 0
    return folder


def check(run, trained):
    """That a written network gives the network's predictions, for batches it was not made with."""
    for batch in (1, 3, 40):
        observed = export.poses(trained, batch, seed=batch + 100)
        with torch.inference_mode():
            expected = trained.model(observed).fused
        assert (expected - observed[:, -1:]).abs().mean() > 1  # it predicts motion, so a held pose would be noticed
        predicted = run(observed.numpy())
        assert predicted.shape == (batch, SIZES['output_n'], CMU.node_n)
        np.testing.assert_allclose(predicted, expected.numpy(), atol=0.02)


def test_pt2_is_the_network(written, trained):
    check(export.program_runner(written / 'net.pt2'), trained)
    extra = {'ksof.json': ''}
    torch.export.load(written / 'net.pt2', extra_files=extra)
    about = json.loads(extra['ksof.json'])
    assert about['joints'][0] == CMU.joints[CMU.predicted[0]] and len(about['joints']) == 25
    assert about['mm_scale_to_true'] == CMU.mm_scale_to_true and about['frames_per_second'] == pytest.approx(60)


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
    monkeypatch.setitem(KINDS, '.pt2', (lambda path, *_: path.touch(), lambda path: lambda observed: 0 * observed[:, :6]))
    assert run_tool(main, [str(checkpoint), '--out', str(tmp_path / 'net.pt2')]) == 2
    assert 'off the network on random poses: do not use it' in capsys.readouterr().err


@pytest.mark.parametrize('out, expected', [('net.pb', 'write .pt2 or .onnx'), ('nowhere/net.pt2', 'no folder')])
def test_what_cannot_be_written_is_refused(checkpoint, tmp_path, capsys, out, expected):
    assert run_tool(main, [str(checkpoint), '--out', str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and expected in error
    assert not list(tmp_path.iterdir())


def test_missing_libraries_are_named(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, 'ONNX_LIBRARIES', ('onnx_that_is_not_there',))
    assert run_tool(main, [str(checkpoint), '--out', str(tmp_path / 'net.onnx')]) == 2
    assert capsys.readouterr().err == ('error: .onnx needs onnx_that_is_not_there: pip install -r requirements-export.txt\n')
