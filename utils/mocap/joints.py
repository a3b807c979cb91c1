"""Joint names: which of a recording's joints is which joint of a body. The tables are data, in joints.csv."""
import csv
import functools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.common.errors import InputError, reading
from utils.common.files import read_regular

TABLES = Path(__file__).with_name('joints.csv')
# The joints of each dataset's skeleton, in its order.
MODEL_TABLE = {'cmu': 'cmu', 'h36m': 'h36m', '3dpw': 'smpl24'}
NAMED_TABLES = ('cmu', 'cmu_bones', 'mixamo', 'humanik', 'rokoko', 'lafan1', 'bandai', 'smpl24', 'h36m')
ORDERED_TABLES = {38: ('cmu',), 32: ('h36m',), 24: ('smpl24',), 22: ('smpl22',),
                  17: ('h36m17', 'coco17')}  # by joints
LEFT_SIDE = ('hip', 'knee', 'ankle', 'shoulder', 'elbow', 'wrist')
# Without these joints nobody's pose is known. Every other joint can be placed.
REQUIRED = ('pelvis', 'neck', *(f'{side}_{joint}' for joint in LEFT_SIDE for side in ('left', 'right')))

Table = dict[str, str]  # name in the recording -> joint of the body; 'a+b' names the midpoint of two
Found = dict[str, tuple[int, ...]]  # joint of the body -> indices in the recording, whose mean it is


@functools.cache
def tables() -> dict[str, Table]:
    """Reads the built-in tables by name. A joint without a use has an empty entry."""
    read: dict[str, Table] = {}
    with TABLES.open(newline='') as file:
        for row in csv.DictReader(file):
            read.setdefault(row['table'], {})[row['name']] = row['joint']
    return read


def body_joints() -> set[str]:
    """Lists every joint of a body that a table names."""
    return {joint for table in tables().values() for joint in table.values() if joint}


def model_joints(dataset: str) -> tuple[str, ...]:
    """Returns the body's joint for each joint of a dataset's skeleton, in file order."""
    table = tables()[MODEL_TABLE[dataset]]
    return tuple(table[name] for name in list(table)[:{'cmu': 38, 'h36m': 32, '3dpw': 24}[dataset]])


def read_table(path: Path) -> Table:
    """Reads a person's own table: a CSV file with the columns name and joint.

    InputError where it is damaged.
    """
    with reading(path):
        text = read_regular(path).decode('utf-8-sig', errors='replace')
    try:
        rows = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise InputError(f'{path}: is no CSV file ({error})') from None
    if not rows or [word.strip() for word in rows[0]] != ['name', 'joint']:
        raise InputError(f'{path}: line 1: expected the header name,joint')
    own: Table = {}
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        name, joint = (word.strip() for word in row) if len(row) == 2 else ('', '')
        if not name or joint not in body_joints():
            raise InputError(f'{path}: line {number}: expected NAME,JOINT; joints are '
                             f'{", ".join(sorted(body_joints()))}')
        if name in own:
            raise InputError(f'{path}: line {number}: {name[:40]} a second time')
        own[name] = joint
    return own


def simple(name: str) -> str:
    """Returns a name in lower case, without a prefix such as mixamorig:, spaces and punctuation."""
    return re.sub(r'[^a-z0-9+]', '', re.sub(r'.*[:|]', '', name).lower())


def without_prefix(names: Sequence[str]) -> list[str]:
    """Cuts off what all names begin with, where it is a prefix such as mixamorig or Model_."""
    plain = [simple(name) for name in names]
    first, last = min(plain), max(plain)
    length = next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
                  min(len(first), len(last)))
    return [name[length:] if 3 <= length < len(name) else name for name in plain]


def match(table: Table, names: Sequence[str]) -> Found:
    """Finds the joints of a body among a recording's names.

    Each has one index, or two for a midpoint.
    A joint that two names of the table mean is taken from the first that is there.
    """
    best: Found = {}
    for spelling in ([simple(name) for name in names], without_prefix(names)):
        index = {name: number for number, name in reversed(list(enumerate(spelling)))}
        found: Found = {}
        for name, joint in table.items():
            parts = [simple(part) for part in name.split('+')]
            if joint and joint not in found and all(part in index for part in parts):
                found[joint] = tuple(index[part] for part in parts)
        best = max(best, found, key=len)
    if 'pelvis' not in best and {'left_hip', 'right_hip'} <= set(best):
        best['pelvis'] = best['left_hip'] + best['right_hip']
    if 'neck' not in best and {'left_shoulder', 'right_shoulder'} <= set(best):
        best['neck'] = best['left_shoulder'] + best['right_shoulder']
    return best


def missing(found: Found) -> list[str]:
    """Lists the required joints that were not found."""
    return [joint for joint in REQUIRED if joint not in found]


def find_joints(names: Sequence[str], given: str | Path | None = None) -> tuple[str, Found]:
    """Finds the table that fits a recording's joint names, or applies the given one.

    given: the name of a built-in table, or the path of a CSV file.
    Returns the table's name and what `match` returns.
    InputError where a required joint is not found.
    """
    if given is not None:
        name = str(given)
        found = match(tables()[name] if name in tables() else read_table(Path(name)), names)
    else:
        matches = {name: match(tables()[name], names) for name in NAMED_TABLES}
        name = max(matches, key=lambda table: (-len(missing(matches[table])), len(matches[table])))
        found = matches[name]
    if absent := missing(found):
        tried = name if given is not None else 'CMU, Mixamo, HumanIK, Rokoko, LAFAN1, Bandai-Namco or SMPL'
        more = f' and {len(absent) - 4} more' if len(absent) > 4 else ''
        raise InputError(f'joints named {", ".join(names[:4])[:60]}, ... : {", ".join(absent[:4])}{more} '
                         f'not found with the names of {tried}: name them with '
                         '--joints map.csv (docs/predict.md)')
    return name, found


def find_ordered(positions: np.ndarray, dataset: str,
                 given: str | Path | None = None) -> tuple[str, Found]:
    """Finds the table that fits positions (F, J, 3) by their number of joints, or applies the given one.

    Of the two orders of 17 joints, Human3.6M's is known by its joint 0, which lies midway between joints 1
    and 4.
    InputError where no table fits.
    """
    count = positions.shape[1]
    if given is not None and str(given) not in tables():
        return find_joints([str(number) for number in range(count)], given)
    fitting = ORDERED_TABLES.get(count, ())
    if given is not None:
        fitting = tuple(table for table in fitting if table == str(given))
    if not fitting:
        own = len(model_joints(dataset))
        what = f'{count} joints' if given is None else f'{count} joints, not those of {given}'
        raise InputError(f'{what}: a {dataset} model takes its own {own}, SMPL\'s 24 or 22, 17 of Human3.6M '
                         'or COCO, 32 or 38 joints; any other with --joints map.csv (docs/predict.md)')
    table = fitting[0]
    if len(fitting) > 1:
        off_midpoint = np.linalg.norm(positions[:, 0] - positions[:, [1, 4]].mean(1), axis=-1)
        hips_apart = np.linalg.norm(positions[:, 1] - positions[:, 4], axis=-1)
        table = fitting[0] if np.median(off_midpoint) < 0.2 * np.median(hips_apart) else fitting[1]
    names = [name for name in tables()[table] if '+' not in name][:count]
    return table, match(tables()[table], names)
