"""The reader of every dataset, by the name that checkpoints and tables give it."""
from utils.common.errors import InputError
from utils.data import cmu, h36m, threedpw
from utils.data.dataset import Reader

READERS = {reader.name: reader for reader in (h36m.READER, cmu.READER, threedpw.READER)}


def reader_named(name: str) -> Reader:
    """The reader of 'h36m', 'cmu' or '3dpw'. InputError for another name."""
    if name not in READERS:
        raise InputError(f'dataset {name!r} is not known here; there are {", ".join(READERS)}')
    return READERS[name]
