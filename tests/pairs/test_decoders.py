"""Decoder processes give the batches of threads, report errors by pair, and end with their parent."""

import multiprocessing
import os
import pickle
import select
import signal
import threading
from functools import partial

import pytest
import torch
from helpers.photos import Photos, assert_same, loader

from perceptinit.backbones.clip_tokenizer import clip_tokenizer
from perceptinit.backbones.text import Tokenization
from perceptinit.errors import PerceptInitError
from perceptinit.pairs.augment import Augment
from perceptinit.pairs.decoders import DecoderProcesses, _pickle
from perceptinit.pairs.parquet_pairs import ParquetPairs
from perceptinit.pairs.webdataset_pairs import WebdatasetPairs
from perceptinit.types import RunContext

ALL = Augment(
    scale=(0.3, 1.0), flip=True, jitter=(0.4, 0.4, 0.4, 0.1), grey_share=0.5, blur_share=0.5, crop="padded"
)


def test_decoder_processes_give_the_batches_of_threads_from_any_step():
    photos, options = (
        Photos(num_pairs=200, broken=[3, 50]),
        {"batch_size": 80, "num_views": 2, "augment": ALL},
    )
    whole = list(loader(photos, **options).batches(0, 5))
    ours = loader(photos, num_workers=2, decode_in="processes", **options)
    batches = list(ours.batches(1, 5))  # all batches are kept, so no memory is reused
    assert_same(batches, whole[1:])
    assert batches[0].images.is_contiguous(memory_format=torch.channels_last)


def test_a_decoder_process_reuses_memory_and_reports_errors_by_pair(monkeypatch):
    whole = list(loader(Photos()).batches(0, 5))
    last = int(whole[4].keys[0][-3:])
    slots, add = [], DecoderProcesses._add_slot
    monkeypatch.setattr(DecoderProcesses, "_add_slot", lambda pool: [add(pool), slots.append(1)][0])
    photos = Photos(raises={last: KeyError("oops")})
    batches = loader(photos, num_workers=1, decode_in="processes").batches(0, 5)
    for expected in whole[:4]:
        assert_same([next(batches)], [expected])
    assert len(slots) <= 4  # one in use, two ahead, and one just released
    with pytest.raises(PerceptInitError) as error:
        next(batches)
    assert str(error.value) == f"pair {last}: KeyError: 'oops'"


def test_a_killed_decoder_process_stops_the_run_with_its_signal(monkeypatch):
    started, start = [], DecoderProcesses._start
    monkeypatch.setattr(
        DecoderProcesses, "_start", lambda *args: [found := start(*args), started.append(found[0])][0]
    )
    batches = loader(Photos(num_pairs=400), num_workers=1, decode_in="processes").batches(0, 50)
    next(batches)
    os.kill(started[0].pid, signal.SIGKILL)
    with pytest.raises(
        PerceptInitError, match=r"image-decoding process terminated with signal SIGKILL.*rerun the command"
    ):
        list(batches)


def work_until_killed(ready, writing):
    os.dup2(writing, 2)  # standard error, which the processes inherit
    os.close(writing)
    batches = loader(Photos(), num_workers=1, decode_in="processes").batches(0, 1000)
    next(batches)
    ready.set()
    threading.Event().wait()


def test_decoder_processes_end_when_their_parent_is_killed():
    fork = multiprocessing.get_context("fork")
    reading, writing = os.pipe()  # closed when the last process that inherited it ends
    ready = fork.Event()
    parent = fork.Process(target=work_until_killed, args=(ready, writing))
    parent.start()
    os.close(writing)
    assert ready.wait(120)
    assert not select.select([reading], [], [], 0)[0]
    parent.kill()
    parent.join()
    is_closed, _, _ = select.select([reading], [], [], 60)
    os.close(reading)
    assert is_closed


class Unsendable(Photos):
    """Pairs with a lock."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Modelled(Photos):
    """Pairs with a model."""

    def __init__(self):
        super().__init__()
        self.model = torch.nn.Linear(1, 1)


def remote_shards():
    return WebdatasetPairs(WebdatasetPairs.Config(shards="https://host/{0..1}.tar"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Unsendable, "cannot pickle '_thread.lock' object"),
        (Modelled, "a model cannot be sent to another process"),
        (remote_shards, "remote shards are fetched by one process"),
        (
            lambda: ParquetPairs(ParquetPairs.Config(files="a.parquet")),
            "processes cannot share the cache of Parquet row groups",
        ),
    ],
)
def test_pairs_that_cannot_be_pickled_are_refused_with_the_reason(make, reason):
    fill = partial(make().pair)
    with pytest.raises(TypeError, match=reason):
        DecoderProcesses(fill, 1, (8, 1, 16, 16, 3), is_pinned=False)


def test_pairs_that_cannot_be_pickled_are_decoded_in_threads_with_a_warning():
    said = []
    ctx = RunContext(stage="pretrain", send=lambda event: said.append(event.message))
    assert_same(
        loader(Unsendable(), num_workers=2, decode_in="processes", ctx=ctx).batches(0, 3),
        loader(Photos()).batches(0, 3),
    )
    assert said == [
        "images are decoded in threads, because the pairs cannot be sent to processes: cannot pickle "
        "'_thread.lock' object"
    ]


@pytest.mark.parametrize(
    ("num_workers", "samples", "expected"), [(8, 10**6, 8), (7, 10**6, 0), (8, 10**6 - 8, 0)]
)
def test_long_runs_with_many_workers_decode_in_processes(monkeypatch, num_workers, samples, expected):
    started = []
    monkeypatch.setattr(
        "perceptinit.pairs.loader.DecoderProcesses", lambda fill, number, *_: started.append(number)
    )
    loader(Photos(), num_workers=num_workers)._open_pool(samples)
    assert started == [expected] * bool(expected)


def test_a_tokenizer_is_pickled_without_the_model():
    tokenization = Tokenization(clip_tokenizer(), 77, can_be_trimmed=True)
    _, again = pickle.loads(_pickle(((1, 1, 1, 1, 1), tokenization)))
    assert torch.equal(again(["a photo", "two"]), tokenization(["a photo", "two"]))
