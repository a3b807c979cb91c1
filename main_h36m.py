"""KSOF on Human3.6M: python main_h36m.py --data_dir DATA [options]; see --help and README.md."""
import sys

from utils.data.h36m import DATASET
from utils.start import main

DEFAULTS = {'output_n': 10, 'node_n': 66, 'batch_size': 32, 'test_batch_size': 64, 'lr_now': 0.0005}

if __name__ == '__main__':
    sys.exit(main(DATASET, DEFAULTS))
