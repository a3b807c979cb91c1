"""The three command lines in the README of the paper's repository, as printed there but for the place of the data."""

MAINS = {'h36m': 'main_h36m.py', 'cmu': 'main_cmu_3d.py', '3dpw': 'main_3dpw.py'}
SETTINGS = {
    'h36m': '--num_gcn 4 --dct_n 15 --input_n 10 --output_n 10 --skip_rate 1 --batch_size 32 --test_batch_size 64 --node_n 66 '
            '--cuda_idx cuda:0 --d_model 16 --lr_now 0.0005 --epoch 100 --test_sample_num -1',
    'cmu': '--num_gcn 4 --dct_n 15 --input_n 10 --output_n 25 --skip_rate 1 --batch_size 16 --test_batch_size 32 --node_n 75 '
           '--cuda_idx cuda:0 --d_model 16 --lr_now 0.005 --epoch 100 --test_sample_num -1',
    '3dpw': '--num_gcn 4 --dct_n 15 --input_n 10 --output_n 30 --skip_rate 1 --batch_size 32 --test_batch_size 64 --node_n 69 '
            '--cuda_idx cuda:0 --d_model 16 --lr_now 0.001 --epoch 100 --test_sample_num -1',
}


def command(dataset: str, data_dir: str) -> list[str]:
    """The words of a dataset's command line, the main's file name first."""
    return [MAINS[dataset], '--data_dir', data_dir, *SETTINGS[dataset].split()]
