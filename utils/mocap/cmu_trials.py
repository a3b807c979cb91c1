"""Which trials of the CMU database the benchmark's files are made of, as far as that is known."""
import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from utils.common.errors import InputError, reading
from utils.common.files import is_hidden, read_regular
from utils.mocap.asf_amc import find_asf

TABLE = Path(__file__).with_name('cmu_trials.csv')
POSITION_TOLERANCE = 1.5e-4  # ASF units: the benchmark's positions are rounded to four decimals


@dataclass(frozen=True)
class BenchmarkFile:
    """One of the benchmark's 48 files.

    rows, start: its number of rows and the root's position in the first one, where a copy is known.
    trial: from the database's list of trials, in order, where that names them; else an empty text.
    """

    name: str
    rows: int | None
    start: tuple[float, ...]
    trial: str

    @property
    def action(self) -> str:
        return self.name.split('/')[1]


class TrialFile(NamedTuple):
    """An AMC file and its skeleton; frames, and the root's position in the first one."""

    trial: str
    amc: Path
    asf: Path
    frames: int
    start: tuple[float, ...]


class Source(NamedTuple):
    """The trial that a benchmark file is made of and how that is known, in words."""

    trial: TrialFile
    known_by: str


def benchmark_files() -> list[BenchmarkFile]:
    """Lists the 48 files in the benchmark's order."""
    with TABLE.open(newline='') as file:
        return [BenchmarkFile(row['file'], int(row['rows']) if row['rows'] else None,
                              tuple(float(row[axis]) for axis in 'xyz') if row['rows'] else (), row['trial'])
                for row in csv.DictReader(file)]


def trial_paths(folder: Path) -> dict[str, Path]:
    """Lists every {subject}_{trial}.amc (or .AMC) below a folder by its trial's name.

    Of several with one name it takes the first.
    """
    paths: dict[str, Path] = {}
    for path in sorted(folder.rglob('*')):
        match = re.fullmatch(r'0*(\d+)_0*(\d+)', path.stem)
        if match and path.suffix.lower() == '.amc' and not is_hidden(path):
            paths.setdefault(trial_name(match[1], match[2]), path)
    return paths


def trial_name(subject: str, trial: str) -> str:
    return f'{int(subject):02}_{int(trial):02}'


def open_trial(name: str, amc: Path) -> TrialFile:
    """Counts a trial's frames and finds its skeleton, without parsing it.

    InputError where either is not to be had.
    """
    asf = find_asf(amc)
    with reading(amc):
        roots = re.findall(rb'^root\s+(.*)', read_regular(amc), re.MULTILINE)
    try:
        start = tuple(float(value) for value in roots[0].split()[:3])
    except (IndexError, ValueError):
        raise InputError(f'{amc}: no frame with a position of the root') from None
    return TrialFile(name, amc, asf, len(roots), start)


def same_content(file: BenchmarkFile, trial: TrialFile) -> bool:
    """Tells whether a trial has a benchmark file's number of frames and its first position.

    Its frames are one less than the file's rows, which begin with the T-pose.
    """
    return (file.rows == trial.frames + 1 and len(trial.start) == 3
            and max(abs(a - b) for a, b in zip(file.start, trial.start, strict=True)) < POSITION_TOLERANCE)


def find_sources(files: list[BenchmarkFile], trials: Iterable[TrialFile]) -> dict[str, Source]:
    """Finds the trial behind each benchmark file: by content, or by the list where no copy is known.

    The list says which trials an action has, not in which order they became files; taking them in order is
    dropped for an action as soon as a file whose content is known shows another order.
    """
    by_name = {trial.trial: trial for trial in trials}
    found: dict[str, Source] = {}
    for file in files:
        for trial in by_name.values():
            if same_content(file, trial):
                found[file.name] = Source(trial, 'content')
                break
    used = {source.trial.trial for source in found.values()}
    disproved = {file.action for file in files
                 if file.name in found and file.trial and found[file.name].trial.trial != file.trial}
    for file in files:
        free = file.trial in by_name and file.trial not in used
        if file.rows is None and free and file.action not in disproved:
            found[file.name] = Source(by_name[file.trial], 'order in the list')
    return found
