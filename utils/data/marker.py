"""Names the file that tells a folder of synthetic recordings from a dataset of real ones."""
from pathlib import Path

MARKER = 'SAMPLE_DATA.txt'


def is_sample(folder: Path) -> bool:
    """Returns whether a dataset's folder was made by tools/make_sample_data.py.

    The marker may stand one level above: 3DPW's files lie in a subfolder, sequenceFiles.
    """
    return any((place / MARKER).is_file() for place in (folder, folder.parent))
