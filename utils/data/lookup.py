"""Finds a dataset by its name."""
from utils.common.errors import InputError
from utils.data import cmu, h36m, threedpw
from utils.data.dataset import Dataset

DATASETS = {dataset.name: dataset for dataset in (h36m.DATASET, cmu.DATASET, threedpw.DATASET)}


def dataset_named(name: str) -> Dataset:
    """Returns the dataset 'h36m', 'cmu' or '3dpw'. Raises InputError for another name."""
    if name not in DATASETS:
        raise InputError(f'dataset {name!r} is not known here; there are {", ".join(DATASETS)}')
    return DATASETS[name]
