"""Make the text files of the CMU benchmark from the database's own ASF/AMC files.

With --check, compare files that are there with the trials they were made of.
"""
import argparse
import dataclasses
import io
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from utils.common.cli import run_tool, tool_parser
from utils.common.errors import InputError
from utils.common.files import write_text
from utils.common.progress import Progress
from utils.data.marker import MARKER
from utils.data.text import read_numbers
from utils.mocap.asf_amc import benchmark_rows, read_amc, read_asf
from utils.mocap.cmu_trials import (
    BenchmarkFile,
    Source,
    TrialFile,
    benchmark_files,
    find_sources,
    open_trial,
    trial_name,
    trial_paths,
)

COLUMNS = 117
# Radians and ASF units by which a file may differ from its trial: the published files are rounded.
ROTATION_TOLERANCE, POSITION_TOLERANCE = 5e-6, 1.5e-4


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('amc_dir', metavar='AMC_DIR', type=Path,
                        help='folder of {subject}.asf and {subject}_{trial}.amc, flat or with a folder for '
                             'each subject')
    parser.add_argument('out_dir', metavar='OUT_DIR', type=Path, nargs='?',
                        help='write {train,test}/{action}/{action}_{k}.txt here; without it, only say what '
                             'could be written')
    parser.add_argument('--check', metavar='DATA', type=Path,
                        help='a folder in the benchmark\'s layout: compare each of its files with its trial, '
                             'and say what the trials can add')
    parser.add_argument('--trial', metavar='NN_MM=FILE', action='append', default=[],
                        help='make FILE (such as test/basketball_signal/basketball_signal_1.txt) of trial '
                             'NN_MM; repeatable')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None) -> None:
    arguments = parse_arguments(argv)
    folder, out, check = arguments.amc_dir, arguments.out_dir, arguments.check
    for name in (folder, check):
        if name is not None and not name.is_dir():
            raise InputError(f'{name}: no such folder')
    if out is not None and (out / MARKER).exists():
        raise InputError(f'{out}: holds synthetic data; recordings must not be mixed with it: '
                         'choose another folder')
    data = check / 'cmu_mocap' if check is not None and (check / 'cmu_mocap').is_dir() else check
    files = [with_copy(file, data) for file in benchmark_files()] if data is not None else benchmark_files()
    paths = trial_paths(folder)
    if not paths:
        raise InputError(f'{folder}: no file named {{subject}}_{{trial}}.amc below it')
    bad: list[str] = []  # what is wrong with trials that cannot be read: the others are gone on with
    trials = {}
    with Progress(paths.items(), desc='looking at trials', unit=' files') as bar:
        for name, path in bar:
            try:
                trials[name] = open_trial(name, path)
            except InputError as error:
                bad.append(str(error))
    sources = find_sources(files, trials.values()) | named_sources(arguments.trial, files, trials)
    if data is not None or out is not None:
        rows = convert_all(sources, bad)
        sources = {name: source for name, source in sources.items() if name in rows}
        if data is not None:
            compare(files, sources, rows, data)
        if out is not None:
            write(files, sources, rows, out)
    report(files, sources, data, len(trials))
    if bad:
        for reason in bad[:-1]:
            print(f'error: {reason}', file=sys.stderr)
        raise InputError(bad[-1])


def with_copy(file: BenchmarkFile, data: Path) -> BenchmarkFile:
    """Returns a file with the number of rows and the first position that the folder's own copy has.

    They identify its trial. Where the folder has no copy, the file is returned as it is.
    """
    if not (data / file.name).is_file():
        return file
    rows = read_numbers(data / file.name, COLUMNS)
    return dataclasses.replace(file, rows=len(rows), start=tuple(rows[0, :3].tolist()))


def named_sources(pairs: list[str], files: list[BenchmarkFile],
                  trials: dict[str, TrialFile]) -> dict[str, Source]:
    """Returns the trials that --trial names, by file.

    pairs: words NN_MM=FILE.

    Raises InputError if one of them names no trial in the folder or no file of the benchmark.
    """
    named = {}
    for pair in pairs:
        name, _, file = pair.partition('=')
        subject, _, number = name.partition('_')
        if not (subject.isdigit() and number.isdigit()) or file not in {known.name for known in files}:
            raise InputError(f'--trial {pair}: say NN_MM=FILE, FILE being one of the benchmark\'s 48 '
                             f'such as {files[0].name}')
        if trial_name(subject, number) not in trials:
            raise InputError(f'--trial {pair}: no such trial in the folder')
        named[file] = Source(trials[trial_name(subject, number)], '--trial')
    return named


def convert_all(sources: dict[str, Source], bad: list[str]) -> dict[str, np.ndarray]:
    """Converts trials to the rows of benchmark files.

    Those that are damaged are left out; the reasons go into `bad`.
    """
    rows = {}
    with Progress(sources.items(), desc='converting', unit=' files') as bar:
        for name, source in bar:
            try:
                rows[name] = benchmark_rows(read_amc(source.trial.amc, read_asf(source.trial.asf)))
            except InputError as error:
                bad.append(str(error))
    return rows


def differences(rows: np.ndarray, path: Path) -> tuple[float, float]:
    """Returns the largest differences between rows and a file; inf if their lengths differ.

    The first is that of the rotations in radians, the second that of the positions in ASF units.
    """
    theirs = read_numbers(path, COLUMNS)
    if len(theirs) != len(rows):
        return np.inf, np.inf
    gap = np.abs(theirs - rows)
    return float(gap[:, 3:].max()), float(gap[:, :3].max())


def agrees(gaps: tuple[float, float]) -> bool:
    """Says whether differences are small enough to come from rounding."""
    return gaps[0] <= ROTATION_TOLERANCE and gaps[1] <= POSITION_TOLERANCE


def compare(files: list[BenchmarkFile], sources: dict[str, Source], rows: dict[str, np.ndarray],
            data: Path) -> None:
    """Prints how far each file that is there differs from its trial."""
    there = [file.name for file in files if file.name in sources and (data / file.name).is_file()]
    for name in there:
        gaps = differences(rows[name], data / name)
        print(f'{name}: {"agrees with" if agrees(gaps) else "DIFFERS from"} {sources[name].trial.trial}, '
              f'by up to {gaps[0]:.1e} rad and {gaps[1]:.1e} units')


def write(files: list[BenchmarkFile], sources: dict[str, Source], rows: dict[str, np.ndarray],
          out: Path) -> None:
    """Writes every file that has a source.

    A file that is there already is left as it is.
    Raises InputError if it does not agree with its trial.
    """
    names = [file.name for file in files if file.name in sources]
    for name in sorted(names, key=lambda name: not (out / name).exists()):  # what may stop us first
        if (out / name).exists():
            if not agrees(differences(rows[name], out / name)):
                raise InputError(f'{out / name}: is there and differs from trial '
                                 f'{sources[name].trial.trial}; move it away to have it written again')
            print(f'{out / name}: is there and agrees with {sources[name].trial.trial}: left as it is')
            continue
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        np.savetxt(text, rows[name], fmt='%.9g', delimiter=',')
        write_text(out / name, text.getvalue())
        print(f'{out / name}: written from {sources[name].trial.trial}, {len(rows[name])} rows')


def report(files: list[BenchmarkFile], sources: dict[str, Source], data: Path | None, trials: int) -> None:
    """Prints which of the benchmark's files the trials supply and which stay missing."""
    print(f'{len(sources)} of the benchmark\'s {len(files)} files can be made of the {trials} trials '
          'in the folder')
    for file in files:
        if file.name in sources:
            source = sources[file.name]
            print(f'  {file.name}  from {source.trial.trial}, {source.trial.frames} frames, '
                  f'known by {source.known_by}')
    missing = [file for file in files
               if file.name not in sources and not (data and (data / file.name).is_file())]
    if missing:
        print(f'{len(missing)} cannot{" and are not there" if data else ""}:')
    for file in missing:
        wanted = (f'its trial has {file.rows - 1} frames' if file.rows else
                  f'its trial is probably {file.trial}' if file.trial else 'its trial is not known')
        print(f'  {file.name}  {wanted}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
