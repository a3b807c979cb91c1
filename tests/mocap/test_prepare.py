"""ASF/AMC to the benchmark's layout, and the tool that does it."""
import math
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from asf_sample import HIERARCHY, TURNS, bone_vectors, write_amc, write_asf

from tools.prepare_cmu import main
from utils.common.cli import run_tool
from utils.common.errors import InputError
from utils.data.kinematics import joint_positions
from utils.data.skeleton import CMU, Skeleton
from utils.mocap import cmu_trials
from utils.mocap.asf_amc import JOINT_OF_BONE, benchmark_rows, read_amc, read_asf
from utils.mocap.cmu_trials import BenchmarkFile, TrialFile, find_sources

PROJECT = Path(__file__).resolve().parents[2]
FILE = 'test/basketball_signal/basketball_signal_1.txt'


@pytest.fixture
def trials(tmp_path):
    """A folder with subject 98 and its trial 3."""
    folder = tmp_path / 'subjects' / '98'
    folder.mkdir(parents=True)
    write_asf(folder / '98.asf')
    write_amc(folder / '98_03.amc', frames=12)
    return tmp_path / 'subjects'


@pytest.fixture
def prepare(capsys):
    """Run the tool here and return its exit code, output and messages."""

    def run(*arguments):
        capsys.readouterr()
        code = run_tool(main, [str(argument) for argument in arguments])
        return SimpleNamespace(returncode=code, **capsys.readouterr()._asdict())

    return run


def matrix(axis, degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array({'x': [[1, 0, 0], [0, c, -s], [0, s, c]], 'y': [[c, 0, s], [0, 1, 0], [-s, 0, c]],
                     'z': [[c, -s, 0], [s, c, 0], [0, 0, 1]]}[axis])


def acclaim_starts(asf: str, frame: str) -> dict[str, np.ndarray]:
    """Returns where each bone starts, by the Acclaim definition, one bone after another.

    The root is at the origin and not turned.
    """
    axes, values, name = {}, {}, ''
    for line in asf.splitlines():
        words = line.split()
        if words[0] == 'name':
            name = words[1]
        elif words[0] == 'axis' and name:
            x, y, z = map(float, words[1:4])
            axes[name] = matrix('z', z) @ matrix('y', y) @ matrix('x', x)
    for line in frame.splitlines():
        bone, *numbers = line.split()
        values[bone] = [float(number) for number in numbers]
    starts, turned = {'root': np.zeros(3)}, {'root': np.eye(3)}
    ends = {'root': np.zeros(3)}
    for line in HIERARCHY.splitlines():
        parent, *children = line.split()
        for bone in children:
            degrees = dict(zip(TURNS[bone], values.get(bone, []), strict=True))
            x, y, z = (matrix(axis, degrees.get(f'r{axis}', 0)) for axis in 'xyz')
            turn = z @ y @ x
            turned[bone] = turned[parent] @ axes[bone] @ turn @ axes[bone].T
            starts[bone] = ends[parent]
            ends[bone] = starts[bone] + turned[bone] @ bone_vectors()[bone]
    return starts


def test_rotations_place_the_joints_where_acclaim_does(trials):
    asf, amc = trials / '98/98.asf', trials / '98/98_03.amc'
    skeleton = read_asf(asf)
    trial = read_amc(amc, skeleton)
    bone_of = {joint: bone for bone, joint in JOINT_OF_BONE.items()}
    parent_vector = {child: bone_vectors().get(parent, np.zeros(3)) for line in HIERARCHY.splitlines()
                     for parent, *children in [line.split()] for child in children}
    rows = tuple((name, parent, role, tuple(parent_vector[bone_of[name]]) if name in bone_of else (0, 0, 0))
                 for name, parent, role, _ in CMU.rows)
    positions = joint_positions(trial.rotations,
                                Skeleton(rows=rows, raw_fps=120, stride=2, label_ms_per_frame=40))
    frames = amc.read_text().split(':DEGREES\n')[1]
    for number in (1, 12):
        block = frames.split(f'{number}\n', 1)[1].split(f'\n{number + 1}\n')[0].strip()
        starts = acclaim_starts(asf.read_text(),
                                '\n'.join(line for line in block.splitlines() if not line.startswith('root')))
        for bone, joint in JOINT_OF_BONE.items():
            place = positions[number - 1, CMU.joints.index(joint)]
            assert place == pytest.approx(starts[bone], abs=1e-9), bone
    assert np.abs(positions[0] - positions[-1]).max() > 0.1
    assert skeleton.unit_mm == pytest.approx(25.4 / 0.45)


def test_rows_have_the_benchmark_layout(trials):
    trial = read_amc(trials / '98/98_03.amc', read_asf(trials / '98/98.asf'))
    rows = benchmark_rows(trial)
    assert rows.shape == (13, 117)
    assert np.array_equal(rows[0, :3], rows[1, :3]) and np.array_equal(rows[1:, :3], trial.position)
    maps = rows.reshape(13, -1, 3)[:, 1:]
    assert not maps[1:, CMU.joints.index('LHipJoint')].any() and maps[1:, CMU.joints.index('LeftUpLeg')].any()
    t_pose = {CMU.joints[j] for j in np.flatnonzero(maps[0].any(-1))}
    assert t_pose == {'LeftUpLeg', 'RightUpLeg', 'Neck', 'Neck1', 'Head', 'LeftArm', 'RightArm'}
    # The root as the benchmark has it: the transpose of Rz Rx Ry.
    x, y, z = trial.root_degrees[5]
    expected = (matrix('z', z) @ matrix('x', x) @ matrix('y', y)).T
    angle = np.linalg.norm(maps[6, 0])
    u = maps[6, 0] / angle
    skew = np.array([[0, -u[2], u[1]], [u[2], 0, -u[0]], [-u[1], u[0], 0]])
    assert np.allclose(np.eye(3) + math.sin(angle) * skew + (1 - math.cos(angle)) * skew @ skew, expected,
                       atol=1e-12)


def test_real_trial_gives_the_benchmark_file(real_cmu):
    if not (real_cmu / 'asf').is_dir():
        pytest.skip('the raw trial 14_12 is not on this machine')
    rows = benchmark_rows(read_amc(real_cmu / 'asf/14_12.amc', read_asf(real_cmu / 'asf/14.asf')))
    published = np.loadtxt(real_cmu / 'cmu_mocap/test/washwindow/washwindow_1.txt', delimiter=',')
    assert np.abs(rows - published)[:, 3:].max() < 5e-6
    assert np.abs(rows - published)[:, :3].max() < 1e-4


def test_real_files_are_the_ones_in_the_table(real_cmu):
    for file in cmu_trials.benchmark_files():
        path = real_cmu / 'cmu_mocap' / file.name
        assert path.exists() == (file.rows is not None)
        if path.exists():
            lines = path.read_text().split()
            assert len(lines) == file.rows
            assert tuple(map(float, lines[0].split(',')[:3])) == file.start


@pytest.mark.parametrize('old, new, problem', [
    ('lowerback ', 'lowerbach ', 'lowerbach: the skeleton has no such bone'),
    ('lowerback ', 'lowerback 1 ', 'lowerback: 4 values, expected 3'),
    ('lowerback ', 'lowerback x', 'lowerback: could not convert'),
    ('lowerback ', '#', 'the frame that ends here has no values of lowerback'),
    ('root 0.5', 'root nan', 'root: nan is not a finite number'),
    (':DEGREES', ':RADIANS', ':RADIANS: only degrees are read'),
])
def test_damaged_amc_is_one_line_with_the_place(trials, old, new, problem):
    path = trials / '98/98_03.amc'
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_amc(path, read_asf(trials / '98/98.asf'))
    assert str(caught.value).startswith(f'{path}: line ') and problem in str(caught.value)
    assert '\n' not in str(caught.value)


def test_cut_amc_is_refused(trials):
    path = trials / '98/98_03.amc'
    path.write_text('\n'.join(path.read_text().splitlines()[:-4]))
    with pytest.raises(InputError, match='the frame that ends here has no values of rfingers|'
                                         'has no values of'):
        read_amc(path, read_asf(trials / '98/98.asf'))


@pytest.mark.parametrize('old, new, problem', [
    ('angle deg', 'angle rad', r'line 6: angle: angle rad: only degrees'),
    ('order TX TY TZ RX', 'order TX TY TZ RZ', r'line 10: order: root order'),
    ('XYZ\n    dof', 'ZYX\n    dof', r'line \d+: axis: order ZYX'),
    ('dof rx ry rz', 'dof rx ry tz', r'line \d+: dof: rx ry tz'),
    ('name rthumb', 'name sthumb', r'line \d+: name: sthumb: is no bone of a skeleton of the CMU database'),
    ('length 0.45', 'length', r'line 5: length: 0 values, expected 1'),
])
def test_damaged_asf_is_one_line(trials, old, new, problem):
    path = trials / '98/98.asf'
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=problem):
        read_asf(path)


def some_trial(name, frames, start=(1.0, 2.0, 3.0)):
    return TrialFile(name, Path(f'{name}.amc'), Path('x.asf'), frames, start)


def test_sources_by_content_and_by_order():
    files = [BenchmarkFile('train/walking/walking_1.txt', 11, (1.0, 2.0, 3.0), ''),
             BenchmarkFile('train/directing_traffic/directing_traffic_1.txt', 21, (0.0, 0.0, 1.0), '13_26'),
             BenchmarkFile('train/directing_traffic/directing_traffic_2.txt', None, (), '13_27')]
    trials = [some_trial('07_01', 10, (1.00004, 2.0, 3.0)), some_trial('07_02', 10, (1.1, 2.0, 3.0)),
              some_trial('13_27', 5)]
    found = find_sources(files, trials)
    assert {name.split('/')[-1]: (source.trial.trial, source.known_by) for name, source in found.items()} == {
        'walking_1.txt': ('07_01', 'content'), 'directing_traffic_2.txt': ('13_27', 'order in the list')}
    # As soon as a known file shows another order, the order says nothing.
    trials.append(some_trial('13_28', 20, (0.0, 0.0, 1.0)))
    found = find_sources(files, trials)
    assert 'train/directing_traffic/directing_traffic_2.txt' not in found
    assert found['train/directing_traffic/directing_traffic_1.txt'].trial.trial == '13_28'


def test_tool_writes_checks_and_never_overwrites(prepare, trials, tmp_path):
    out = tmp_path / 'data/cmu_mocap'
    done = prepare(trials, out, '--trial', f'98_3={FILE}')
    assert done.returncode == 0, done.err
    assert f'{FILE}  from 98_03, 12 frames' in done.out and '47 cannot' in done.out
    assert [path.relative_to(out).as_posix() for path in out.rglob('*') if path.is_file()] == [FILE]
    rows = np.loadtxt(out / FILE, delimiter=',')
    trial = read_amc(trials / '98/98_03.amc', read_asf(trials / '98/98.asf'))
    assert np.abs(rows - benchmark_rows(trial)).max() < 1e-7
    before = (out / FILE).read_bytes()
    again = prepare(trials, out, '--trial', f'98_03={FILE}')
    assert again.returncode == 0 and 'left as it is' in again.out and (out / FILE).read_bytes() == before
    # A file in the benchmark's layout tells its own trial.
    checked = prepare(trials, '--check', out.parent)
    assert checked.returncode == 0 and f'{FILE}: agrees with 98_03' in checked.out
    assert '47 cannot and are not there' in checked.out
    rows[7, 50] += 1e-3
    np.savetxt(out / FILE, rows, delimiter=',')
    before = (out / FILE).read_bytes()
    assert f'{FILE}: DIFFERS from 98_03' in prepare(trials, '--check', out.parent).out
    refused = prepare(trials, out)
    # Nothing says that 98_03 is this file.
    assert refused.returncode == 0 and (out / FILE).read_bytes() == before
    refused = prepare(trials, out, '--trial', f'98_03={FILE}')
    assert refused.returncode == 2 and 'differs from trial 98_03' in refused.err
    assert (out / FILE).read_bytes() == before


@pytest.mark.parametrize('spoil, arguments, problem', [
    (None, ['--trial', '98_03=walking_1.txt'], 'say NN_MM=FILE'),
    (None, ['--trial', f'98_04={FILE}'], 'no such trial'),
    (lambda folder: (folder / '98/98.asf').unlink(), [], 'its skeleton 98.asf is neither'),
    (lambda folder: shutil.rmtree(folder / '98'), [], 'no file named'),
    (lambda folder: (folder / '98/98_03.amc').write_text(':DEGREES\n1\n'), [], 'no frame with a position'),
])
def test_tool_refuses_in_one_line(prepare, trials, tmp_path, spoil, arguments, problem):
    if spoil:
        spoil(trials)
    done = prepare(trials, tmp_path / 'out', *arguments)
    assert done.returncode == 2 and problem in done.err.splitlines()[-1]
    assert not (tmp_path / 'out').exists()


def test_one_bad_trial_does_not_silence_the_others(prepare, trials, tmp_path):
    write_asf(trials / '98/97.asf')
    (trials / '98/97_01.amc').write_text(':DEGREES\n1\n')
    write_amc(trials / '98/97_02.amc', frames=3)
    other_bone = (trials / '98/97_02.amc').read_text().replace('lowerback ', 'lowerbach ', 1)
    (trials / '98/97_02.amc').write_text(other_bone)
    (trials / '98/._98_03.amc').write_bytes(b'\0\5\x16\7')
    other = FILE.replace('test', 'train')
    done = prepare(trials, tmp_path / 'out', '--trial', f'98_03={FILE}', '--trial', f'97_02={other}')
    assert done.returncode == 2 and (tmp_path / 'out' / FILE).is_file()
    assert not (tmp_path / 'out' / other).exists()
    assert f'{FILE}  from 98_03' in done.out and '97_01.amc: no frame with a position' in done.err
    assert 'lowerbach: the skeleton has no such bone' in done.err.splitlines()[-1]


def test_command(trials):
    done = subprocess.run([sys.executable, 'tools/prepare_cmu.py', trials], cwd=PROJECT, capture_output=True,
                          text=True)
    assert done.returncode == 0 and '48 cannot' in done.stdout
    done = subprocess.run([sys.executable, 'tools/prepare_cmu.py', '--oops'], cwd=PROJECT,
                          capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
