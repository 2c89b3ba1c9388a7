"""The peer's side of `loader_vs_open_clip.py`. It runs in the peer's environment and reports the end of each turn.

python peer_loader.py {batches,read} SHARDS BATCH_SIZE NUM_WORKERS SAMPLES_A_TURN
"""

import sys
from types import SimpleNamespace

import open_clip
import torch
import webdataset as wds
from open_clip_train import data

NUM_SAMPLES = 100_000_000  # of an epoch that does not end while it is measured


def batches(shards, batch_size, num_workers):
    """Yield the number of samples of each batch of `--dataset-type webdataset`."""
    asked = SimpleNamespace(
        train_data=shards,
        train_num_samples=NUM_SAMPLES,
        train_data_upsampling_factors=None,
        dataset_resampled=False,
        batch_size=batch_size,
        workers=num_workers,
        world_size=1,
        seed=0,
    )
    transform = open_clip.image_transform(
        224, is_train=True, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD
    )
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    found = data.get_wds_dataset(asked, transform, is_train=True, tokenizer=tokenizer)
    for images, texts in found.dataloader:
        assert images.dtype == torch.float32
        yield len(texts)


def samples(shards):
    """Read and shuffle samples as in `batches` without decoding, and yield 1 for each."""
    stages = [
        wds.SimpleShardList(shards),
        data.tarfile_to_samples_nothrow,
        wds.shuffle(bufsize=data._SAMPLE_SHUFFLE_SIZE, initial=data._SAMPLE_SHUFFLE_INITIAL),
    ]
    for sample in wds.DataPipeline(*stages).with_epoch(NUM_SAMPLES):
        assert sample["jpg"]
        assert sample["txt"]
        yield 1


def main():
    what, shards, batch_size, num_workers, turn = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    torch.set_num_threads(1)
    count = 0
    for number in samples(shards) if what == "read" else batches(shards, batch_size, num_workers):
        count += number
        if count >= turn:
            count = 0
            print("turn is done", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
