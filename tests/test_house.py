"""The walls between the rooms, as docs/design.md has them: who may import whom."""
import ast

import pytest

from tests.conftest import PROJECT

ARROWS = {
    'model': '', 'opt': 'common', 'common': '', 'data': 'common model.dct', 'mocap': 'common data',
    'evaluate': 'common data model', 'train': 'common data evaluate model', 'report': 'common data evaluate',
    'build': 'opt common data evaluate model network_file train.settings', 'network_file': 'common model',
    'predict': 'build common data evaluate mocap model', 'pictures': 'common data evaluate predict',
    'speed': 'build common data evaluate model train report',
    'run': 'opt build common data evaluate model network_file report train', 'start': 'opt run common data',
    'main': 'start data',
}
OURS = ('model', 'utils', 'opt', 'tools', 'tests', 'main_h36m', 'main_cmu_3d', 'main_3dpw')


def place(module):
    """A module's room and its name there: utils.data.cmu is data.cmu, and main_h36m is main."""
    return 'main' if module.startswith('main_') else module.removeprefix('utils.')


def imports(path):
    """The places of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):  # `from utils import x` is about utils.x
            modules = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        yield from (place(module) for module in modules if module.split('.')[0] in OURS)


@pytest.mark.parametrize('room', ARROWS)
def test_a_room_imports_what_its_walls_allow(room):
    files = {path: place('.'.join(path.relative_to(PROJECT).with_suffix('').parts)) for pattern in
             ('*.py', 'model/*.py', 'utils/**/*.py') for path in PROJECT.glob(pattern)}
    own = [path for path, module in files.items() if f'{module}.'.startswith(f'{room}.')]
    walls = tuple(f'{wall}.' for wall in (room, *ARROWS[room].split()))
    assert own and not [f'{files[path]} imports {found}' for path in own for found in imports(path)
                        if not f'{found}.'.startswith(walls)]
