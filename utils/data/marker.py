"""The file that tells a folder of synthetic recordings from a dataset of real ones."""
from pathlib import Path

MARKER = 'SAMPLE_DATA.txt'


def is_sample(folder: Path) -> bool:
    """Says whether a dataset's folder was made by tools/make_sample_data.py; 3DPW's is known by its sequenceFiles too."""
    return any((place / MARKER).is_file() for place in (folder, folder.parent))
