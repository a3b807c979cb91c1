"""Checks a pickle or a checkpoint's archive from a stranger before it is loaded, and bounds its size."""
import pickletools
import zipfile
from collections.abc import Container
from dataclasses import dataclass, field

MAX_OPCODES = 300_000  # a run's checkpoint has 25,000, a sequence of 3DPW some hundreds
MAX_PICKLE = 128 * 2**20  # bytes
MAX_MEMBERS = 20_000  # files in an archive
MAX_KEY = 2**31  # of whole numbers as keys: larger ones can be chosen so that all have one hash
# Global names that a checkpoint of this project has.
CHECKPOINT_NAMES = {
    'collections OrderedDict', 'torch._utils _rebuild_tensor_v2', 'torch._utils _rebuild_parameter',
    *(f'torch {kind}Storage'
      for kind in ('Float', 'Double', 'Half', 'BFloat16', 'Long', 'Int', 'Short', 'Char', 'Byte', 'Bool'))}


@dataclass
class _Item:
    """An entry of a pickle's stack.

    size: its bytes or members.
    leaf: whether it is a number, no large whole one, or a text.
    flat: whether it is a leaf, a list or tuple of leaves, or an object.
    parts: the members of a tuple.
    """

    size: int = 1
    leaf: bool = False
    flat: bool = True
    parts: list['_Item'] = field(default_factory=list)


_MARK = _Item()


def check_pickle(raw: bytes, names: Container[str] | None = None) -> None:
    """Follows a pickle's stack without making its objects.

    Raises ValueError where the pickle is damaged, or breaks one of these rules:
    - It has at most MAX_OPCODES opcodes and MAX_PICKLE bytes.
    - Keys are numbers up to MAX_KEY, texts or flat tuples, and arguments of calls are no deeper.
      Hashing a nested tuple may take for ever, and so may keys of one hash.
    - All arguments and keys together are not much longer than the pickle.
      So one list cannot be copied again and again.
    - It names no global ('module name') outside `names`, where those are given.
    """
    if len(raw) > MAX_PICKLE:
        raise ValueError(f'a pickle of more than {MAX_PICKLE // 2**20} MiB')
    stack: list[_Item] = []
    memo: dict[int, _Item] = {}
    used = 0
    for number, (code, argument, _) in enumerate(pickletools.genops(raw)):
        name = code.name
        if number >= MAX_OPCODES:
            raise ValueError(f'a pickle of more than {MAX_OPCODES} opcodes')
        if names is not None and ('GLOBAL' in name and argument not in names):
            raise ValueError(f'it names {str(argument)[:80]!r}: another project\'s, not '
                             'opened, as it could run any code')
        if name in {'NEWOBJ', 'NEWOBJ_EX', 'INST', 'OBJ'} or name.startswith('EXT'):
            raise ValueError(f'it makes an object by {name}')
        try:
            if name == 'MARK':
                stack.append(_MARK)
            elif 'PUT' in name or name == 'MEMOIZE':
                place = len(memo) if argument is None else int(str(argument))
                # Unpickling makes room for as many remembered objects as a pickle claims to have.
                if place > len(raw):
                    raise ValueError('more objects than bytes')
                memo[place] = stack[-1]
            elif 'GET' in name:
                stack.append(memo[int(str(argument))])
            elif name == 'DUP':
                stack.append(stack[-1])
            else:
                used += _apply(code, argument, stack)
        except (IndexError, KeyError):
            raise ValueError('a damaged pickle') from None
        if used > 8 * len(raw) + 4096:
            raise ValueError('its calls and keys take more than the file holds')


def _apply(code: pickletools.OpcodeInfo, argument: object, stack: list[_Item]) -> int:
    """Does to the stack what one opcode does. Returns the size of its arguments and keys."""
    taken = _take(code, stack)
    if code.name == 'REDUCE':
        parts = taken[1].parts
        if not all(part.flat for part in parts):
            raise ValueError('a call is given a nested list')
        given = sum(1 + part.size for part in parts)
        stack.append(_Item(given))
        return given
    if code.name == 'BUILD':
        stack.append(taken[0])
        return 0
    owner = taken[0] if code.name in {'APPEND', 'APPENDS', 'SETITEM', 'SETITEMS', 'ADDITEMS'} else None
    members = taken[1:] if owner else taken
    keys = {'SETITEM': members, 'SETITEMS': members[::2], 'DICT': members[::2], 'ADDITEMS': members,
            'FROZENSET': members}.get(code.name, [])
    if code.name == 'SETITEM':
        keys = members[:1]
    if not all(key.leaf or (key.parts and key.flat) for key in keys):
        raise ValueError('a key that is no small number, text or flat tuple')
    size = sum(1 + member.size * member.leaf for member in members)
    flat = all(member.leaf for member in members)
    if owner:
        owner.size, owner.flat = owner.size + size, owner.flat and flat
        stack.append(owner)
    elif any(kind in code.name for kind in ('LIST', 'TUPLE', 'DICT', 'SET')):
        stack.append(_Item(size, flat=flat, parts=members if 'TUPLE' in code.name else []))
    elif code.stack_after:
        text = len(argument) if isinstance(argument, str | bytes | bytearray) else 1
        number = argument.bit_length() // 8 if isinstance(argument, int) else 0
        leaf = not any(kind in code.name for kind in ('GLOBAL', 'PERSID'))
        is_large = isinstance(argument, int) and abs(argument) > MAX_KEY
        stack.append(_Item(max(text, number), leaf=leaf and not is_large))
    return sum(key.size for key in keys)


def _take(code: pickletools.OpcodeInfo, stack: list[_Item]) -> list[_Item]:
    """Removes from the stack what an opcode uses. Returns it without the mark."""
    kinds, taken = list(code.stack_before), []
    if pickletools.markobject in kinds:
        while (top := stack.pop()) is not _MARK:
            taken.append(top)
        kinds = kinds[: kinds.index(pickletools.markobject)]
    for _ in kinds:
        taken.append(stack.pop())
    if any(item is _MARK for item in taken) and code.name != 'POP':
        raise ValueError('a damaged pickle')
    return taken[::-1]


def check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Checks a checkpoint's archive and its pickle.

    Members must be uncompressed, each with a name of its own and bytes of its own.

    size: bytes of the file.
    Raises ValueError where the archive should not be loaded.
    """
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise ValueError(f'more than {MAX_MEMBERS} files in one')
    if len({member.filename for member in members}) < len(members):
        raise ValueError('two files of one name')
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError('compressed, which no checkpoint is')  # a small file could unpack to any size
    if sum(member.file_size for member in members) > size:
        raise ValueError('files that lie over each other')
    if damaged := archive.testzip():
        raise ValueError(f'{damaged} is damaged')
    for member in members:
        if member.filename.endswith('data.pkl'):
            if member.file_size > MAX_PICKLE:
                raise ValueError(f'a pickle of more than {MAX_PICKLE // 2**20} MiB')
            check_pickle(archive.read(member), CHECKPOINT_NAMES)
