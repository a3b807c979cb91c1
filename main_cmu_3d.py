"""KSOF on CMU mocap: python main_cmu_3d.py --data_dir DATA [options]; see --help and README.md."""
import sys

from utils.data.cmu import DATASET
from utils.start import main

DEFAULTS = {'output_n': 25, 'node_n': 75, 'batch_size': 16, 'test_batch_size': 32, 'lr_now': 0.005}

if __name__ == '__main__':
    sys.exit(main(DATASET, DEFAULTS))
