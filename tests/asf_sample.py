"""A small ASF/AMC pair of invented motion in the style of the CMU database."""
import numpy as np

from utils.data.skeleton import CMU
from utils.mocap.asf_amc import JOINT_OF_BONE, benchmark_rows, read_amc, read_asf

DOF = {'rx ry rz': 'lfemur rfemur lowerback upperback thorax lowerneck upperneck head lhumerus rhumerus',
       'ry': 'lwrist rwrist', 'rx': 'ltibia rtibia ltoes rtoes lradius rradius lfingers rfingers',
       'rx rz': 'lfoot rfoot lhand rhand lthumb rthumb', 'ry rz': 'lclavicle rclavicle',
       '': 'lhipjoint rhipjoint'}
TURNS = {bone: turns.split() for turns, bones in DOF.items() for bone in bones.split()}
HIERARCHY = """root lhipjoint rhipjoint lowerback
lhipjoint lfemur
lfemur ltibia
ltibia lfoot
lfoot ltoes
rhipjoint rfemur
rfemur rtibia
rtibia rfoot
rfoot rtoes
lowerback upperback
upperback thorax
thorax lowerneck lclavicle rclavicle
lowerneck upperneck
upperneck head
lclavicle lhumerus
lhumerus lradius
lradius lwrist
lwrist lhand lthumb
lhand lfingers
rclavicle rhumerus
rhumerus rradius
rradius rwrist
rwrist rhand rthumb
rhand rfingers"""


def bone_vectors() -> dict[str, np.ndarray]:
    """Returns each bone's rest vector in ASF units.

    It is the benchmark's offset of the joint at its end, invented where that is zero.
    """
    vectors = {}
    for k, (bone, joint) in enumerate(JOINT_OF_BONE.items()):
        ends = [CMU.offsets[j] for j, parent in enumerate(CMU.parents) if parent == CMU.joints.index(joint)]
        ends = [offset / 70 for offset in ends if np.any(offset)]
        vectors[bone] = ends[0] if ends else np.array([0.2, 1.0, 0.1 * np.sin(k)])
    return vectors


def write_asf(path, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    lines = [':version 1.10', ':name VICON', ':units', '  mass 1.0', '  length 0.45', '  angle deg',
             ':documentation', '   invented', ':root', '   order TX TY TZ RX RY RZ', '   axis XYZ',
             '   position 0 0 0  ', '   orientation 0 0 0 ', ':bonedata']
    for k, (bone, vector) in enumerate(bone_vectors().items(), start=1):
        length = np.linalg.norm(vector)
        direction = ' '.join(f'{v:.15g}' for v in vector / length)
        axis = ' '.join(f'{a:.2f}' for a in rng.uniform(-180, 180, 3))
        lines += ['  begin', f'     id {k} ', f'     name {bone}', f'     direction {direction}',
                  f'     length {length:.15g}', f'     axis {axis}  XYZ']
        if TURNS[bone]:
            lines += ['    dof ' + ' '.join(TURNS[bone])]
            lines += [f'    {"limits" if n == 0 else "      "} (-180.0 180.0)'
                      for n in range(len(TURNS[bone]))]
        lines += ['  end']
    lines += [':hierarchy', '  begin', *(f'    {line}' for line in HIERARCHY.splitlines()), '  end', '']
    path.write_text('\n'.join(lines))


def write_amc(path, frames: int, seed: int = 0) -> None:
    """Smooth turns of up to some 40 degrees and a root that walks and turns."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / 120
    lines = ['#!OML:ASF C:\\invented.ASF', ':FULLY-SPECIFIED', ':DEGREES']
    waves = {bone: [(rng.uniform(10, 40), rng.uniform(1, 6), rng.uniform(0, 6)) for _ in turns]
             for bone, turns in TURNS.items()}
    for frame, t in enumerate(time, start=1):
        lines += [str(frame), f'root {0.5 + t:.6g} {17 + 0.1 * np.sin(9 * t):.6g} {-3 * t:.6g} '
                              f'{8 * np.sin(3 * t):.6g} {60 * t:.6g} {5 * np.cos(2 * t):.6g}']
        lines += [' '.join([bone, *(f'{size * np.sin(speed * t + start):.6g}' for size, speed, start in own)])
                  for bone, own in waves.items() if own]
    path.write_text('\n'.join(lines) + '\n')


def write_trial(folder, frames: int, asf: str = '98.asf', amc: str = '98_01.amc') -> np.ndarray:
    """Writes a trial, and motion.txt with the benchmark's rows of it, and returns these."""
    write_asf(folder / asf)
    write_amc(folder / amc, frames)
    rows = benchmark_rows(read_amc(folder / amc, read_asf(folder / asf)))
    np.savetxt(folder / 'motion.txt', rows, fmt='%.9g', delimiter=',')
    return rows
