"""Every command that README.md and docs/ show runs, in their order, with short settings, on synthetic data.

Each document has a working folder of its own, in which the names that commands use stand for something:
DATA (and whatever follows --data_dir) for synthetic datasets; RUN, RUN_A, OTHER_RUN, RUN1 and the like, the
released runs' names and checkpoint/ANY_NAME for a trained run, on the dataset that the name begins with or
else CMU mocap; CHECKPOINT and CKPT for the file of one; MOTION and any .amc, .bvh, .npy or .txt for a
recording; AMC_DIR for a folder of trials. What follows --out is written there. A python block that begins
with a comment such as `# net.py` is that file; examples/ is there too.
"""
import re
import shlex
import shutil
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import pytest
from asf_sample import write_amc, write_asf, write_trial
from own_motion import bvh_text, world_positions
from torch.distributed.run import get_args_parser

import utils.run
from tests.conftest import PROJECT, few_frames, paper_lines
from tools.reproduce import MAINS
from utils.common import run_folder
from utils.data.lookup import DATASETS
from utils.data.synthetic import files as synthetic

DOCUMENTS = [PROJECT / 'README.md', *sorted((PROJECT / 'docs').glob('*.md'))]
BRIEF = ['--epoch', '1', '--skip_rate', '40', '--cuda_idx', 'cpu']
SHORT = [*BRIEF, '--d_model', '1', '--num_gcn', '1']
TRAINING = (*(f'{main.__name__}.py' for main in MAINS.values()), 'tools/reproduce.py')
SOME = {'tools/benchmark.py': ['--quick', '--d_model', '1', '--dataset', 'cmu', '--cuda_idx', 'cpu'],
        'tools/gpu_check.py': ['--dataset', 'cmu'],
        'tools/ablate.py': [*SHORT, '--only', 'unchanged', 'topk_off', '--seeds', '0'],
        'tests/mutate.py': ['--help']}  # it takes hours; test_mutations.py holds its list
RUN_NAME = re.compile(r'([A-Z]+_)?RUN(_?[A-Z0-9]+)?|cmu_(short|long)')
WORDS = {'MOTION': 'motion.bvh', 'CHECKPOINT': 'checkpoint/RUN/ckpt_best.pth.tar',
         'CKPT': 'checkpoint/RUN/ckpt_best.pth.tar'}
NOT_RUN = {
    'make': 'builds an environment of its own; that the target is there is checked',
    'pip': 'installs; that the files it names are there is checked',
    '.': 'changes the shell that it is typed in',
    'git': 'fetches this repository',
}
EXPORT = all(find_spec(name) for name in ('onnx', 'onnxscript', 'onnxruntime'))  # without them a tool says so


class Command(NamedTuple):
    """One command as it is shown, and where."""

    place: str
    words: list[str]


def shown_commands(name, text):
    """Returns the commands of a document.

    Each line of its sh blocks, python and make in plain blocks, and `python script.py ...`.
    """
    found, kind, lines = [], None, enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if line.startswith('```'):
            kind = line[3:].strip() if kind is None else None
            continue
        if kind is None:
            texts = re.findall(r'(?<!`)`(python \S+\.py[^`]*)`', line)
        else:
            while line.endswith('\\'):
                line = line[:-1] + next(lines)[1]
            texts = [line] if kind == 'sh' or (kind == '' and line.startswith(('python ', 'make '))) else []
        words = [shlex.split(text.removeprefix('$ '), comments=True) for text in texts]
        found += [Command(f'{name}:{number}: {" ".join(own)}', own) for own in words if own]
    return found


def shown_files(text):
    """The files of a document: python blocks whose first line is a comment with the file's name."""
    return re.findall(r'^```python\n# (\w+\.py)\n(.*?)^```', text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope='session')
def trained(tiny, tmp_path_factory):
    """Folder of a run on a dataset, trained when it is first asked for."""
    root = tmp_path_factory.mktemp('trained')

    def folder(dataset):
        if not (root / dataset).exists():
            words = ['--data_dir', str(tiny), *SHORT, '--exp', str(root / dataset)]
            assert utils.run.main(DATASETS[dataset], MAINS[dataset].DEFAULTS, words) == 0
        return root / dataset
    return folder


@pytest.fixture(scope='session')
def recording(tmp_path_factory):
    """A recording of 9 s in every format, by suffix."""
    folder = tmp_path_factory.mktemp('recording')
    rows = write_trial(folder, 1080, asf='motion.asf', amc='motion.amc')
    (folder / 'motion.bvh').write_text(bvh_text(rows[1:121]))
    np.save(folder / 'motion.npy', world_positions(rows[1:121:4]) / 1000)
    return {path.suffix: path for path in folder.iterdir()}


@pytest.fixture
def provide(tiny, trained, recording, tmp_path):
    """Make what a command's words name in the working folder, where it is not there yet."""
    here = tmp_path / 'work'
    here.mkdir()
    (here / 'DATA').symlink_to(tiny)
    (here / 'examples').symlink_to(PROJECT / 'examples')

    def provide_run(name):
        folder = here / 'checkpoint' / name
        if not folder.exists():
            shutil.copytree(trained(next((dataset for dataset in DATASETS if name.startswith(dataset)),
                                         'cmu')), folder)
        if not (here / name).exists():
            (here / name).symlink_to(folder)

    def provide_for(words):
        for before, word in zip(['', *words], words, strict=False):
            path, parts = here / word, word.split('/')
            if before == '--out' or word.startswith('-') or path.exists():
                continue
            if RUN_NAME.fullmatch(parts[0]) or parts[0] == 'checkpoint' and len(parts) > 1:
                provide_run(parts[parts[0] == 'checkpoint'])
            elif before == '--data_dir':
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(tiny)
            elif path.suffix in recording:
                shutil.copyfile(recording[path.suffix], path)
                for stem in (path.stem, path.stem.split('_')[0]) if path.suffix == '.amc' else ():
                    shutil.copyfile(recording['.asf'], path.with_name(f'{stem}.asf'))
            elif word == 'AMC_DIR':
                path.mkdir()
                for trial in ('13_20', '13_26', '14_10'):
                    write_asf(path / f'{trial[:2]}.asf')
                    write_amc(path / f'{trial}.amc', frames=4)
    return provide_for


@pytest.fixture
def follow(provide, run, tmp_path, monkeypatch):
    """Follow a document's commands in a working folder."""
    here, done = tmp_path / 'work', set()
    monkeypatch.chdir(here)
    monkeypatch.setattr(run_folder, 'RUNS', here / 'checkpoint')
    monkeypatch.setattr(synthetic, 'draw_lengths', few_frames)

    def python(place, words):
        script = words[0]
        if (here / script).is_file():  # one that the document shows
            words = [str(here / script), *words[1:]]
        assert (PROJECT / words[0]).is_file(), f'{place}: no such script'
        if not {'--help', '--version'} & set(words):
            words = [WORDS.get(word, word) for word in words]
            provide(words)
            own = BRIEF if '--network' in words else SHORT  # a network of one's own has its own width
            words += own if script in TRAINING else SOME.get(script, [])
        if script == 'tools/make_sample_data.py' and (here / words[1]).is_symlink():
            (here / words[1]).unlink()  # not into the datasets that other tests read
        if tuple(words) in done:  # the same command is shown again
            return
        later = {'--is_eval', '--is_load'} & set(words)  # of a run that may not have been shown
        training = [word for word in words if word not in later]
        for own in (training, words) if later and tuple(training) not in done else (words,):
            code, _, log = run(own)
            assert code == 0 or 'requirements-export.txt' in log and not EXPORT, f'{place}\n{log}'
        done.update({tuple(words), tuple(training)})

    def follow_commands(commands):
        for place, words in commands:
            while '=' in words[0]:  # a variable of the environment
                words = words[1:]
            if words[0] == 'torchrun':  # what it starts is run in one process; test_distributed.py has two
                started = get_args_parser().parse_args(words[1:])
                words = ['python', started.training_script, *started.training_script_args]
            if words[0] != 'python':
                check_unrun(place, words)
            else:
                python(place, words[1:])
    return follow_commands


def check_unrun(place, words):
    """What can be said of a command that no test can run."""
    assert words[0] in NOT_RUN, f'{place}: neither run nor excused by this test'
    if words[0] == 'make':
        targets = (PROJECT / 'Makefile').read_text().split('.PHONY:')[1].split('\n')[0].split()
        assert {word for word in words[1:] if '=' not in word} <= set(targets), f'{place}: no such target'
    if words[0] == 'pip':
        for before, word in zip(words, words[1:], strict=False):
            assert before != '-r' or (PROJECT / word).is_file(), f'{place}: no such file'


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_the_commands_of_a_document(document, follow, tmp_path):
    for name, code in shown_files(document.read_text()):
        (tmp_path / 'work' / name).write_text(code)
    follow(shown_commands(document.name, document.read_text()))


def test_commands_are_found():
    counts = {path.name: len(shown_commands(path.name, path.read_text())) for path in DOCUMENTS}
    assert counts['README.md'] >= 4 and counts['compare.md'] >= 5 and counts['predict.md'] >= 3
    assert counts['prepare.md'] >= 3
    text = ('Say `python a.py --x`.\n```sh\nmake demo  # two\nA=1 python b.py \\\n  --y "a b"\n```\n'
            '```python\nimport z\n```\n    python c.py\n')
    assert [(command.place[:5], command.words) for command in shown_commands('t', text)] == [
        ('t:1: ', ['python', 'a.py', '--x']), ('t:3: ', ['make', 'demo']),
        ('t:4: ', ['A=1', 'python', 'b.py', '--y', 'a b'])]


@pytest.mark.parametrize('line, expected', [
    ('python main_cmu_3d.py --data_dir DATA --colour red', 'unrecognized arguments: --colour red'),
    ('python main_cmu.py --data_dir DATA', 'no such script'),
    ('python tools/compare.py RUN --colours', 'unrecognized arguments: --colours'),
    ('python tools/predict.py CHECKPOINT MOTION --output x.csv', 'unrecognized arguments: --output'),
    ('python tools/compare.py nowhere', 'nowhere: no such run'),
    ('torchrun --nproc_per_node 2 main_cmu_3d.py --data_dir DATA --colour red',
     'unrecognized arguments: --colour red'),
    ('make everything', 'no such target'),
    ('pip install -r nothing.txt', 'no such file'),
    ('curl example', 'neither run nor excused'),
])
def test_a_command_that_does_not_work_is_noticed(follow, line, expected):
    with pytest.raises(AssertionError) as noticed:
        follow(shown_commands('t', f'```sh\n{line}\n```'))
    assert str(noticed.value).startswith(f't:2: {line}') and expected in str(noticed.value)


def test_the_words_that_commands_use_stand_for_something(follow):
    follow(shown_commands('t', """```sh
python tools/predict.py CKPT MOTION --out future.csv
python tools/predict.py checkpoint/cmu_mine/ckpt_best.pth.tar walk.amc --out future.npy
python tools/compare.py RUN_A RUN2 checkpoint/cmu_mine OTHER_RUN
python main_3dpw.py --data_dir data/mine --is_eval
```"""))


def test_the_papers_command_lines_are_shown_as_they_are():
    lines = paper_lines()
    assert list(lines) == ['main_h36m.py', 'main_cmu_3d.py', 'main_3dpw.py']
    for document in DOCUMENTS:
        for command in shown_commands(document.name, document.read_text()):
            for main, line in lines.items():
                if main in command.words and {'--num_gcn', '--lr_now',
                                              '--test_sample_num'} <= set(command.words):
                    assert [word for word in command.words[1:]
                            if word not in ('--is_eval', '--is_load')] == line, command.place
