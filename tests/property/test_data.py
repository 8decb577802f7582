"""What holds for every dictionary, manifest and batching."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from auricle.data.batching import batch_by_size, deal, ordered_indices
from auricle.data.dataset import _fewest_samples
from auricle.dictionary import SPECIALS, Dictionary, letters_to_words, words_to_letters
from auricle.manifest import Entry, read_manifest, split, write_manifest

# any text without white space, the word end and half characters
WORDS = st.lists(
    st.text(st.characters(exclude_categories=["Z", "C"], exclude_characters="|"), min_size=1, max_size=8)
)
SIZES = st.lists(st.integers(1, 300), max_size=60)
SYMBOLS = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=3)


@given(WORDS)
def test_words_to_letters_and_back(words: list[str]) -> None:
    assert letters_to_words(words_to_letters(" ".join(words))).split() == words


@given(st.lists(WORDS.map(" ".join).map(words_to_letters), max_size=8))
def test_a_dictionary_from_labels_encodes_them(labels: list[str]) -> None:
    dictionary = Dictionary.from_labels(labels)
    for label in labels:
        assert dictionary.decode(dictionary.encode(label)) == label
    assert sorted(dictionary.counts[4:], reverse=True) == dictionary.counts[4:]
    assert sum(dictionary.counts[4:]) == sum(len(label.split()) for label in labels)


@given(st.lists(SYMBOLS.filter(lambda symbol: symbol not in SPECIALS), unique=True), st.data())
def test_dictionary_files_give_back_what_was_saved(symbols: list[str], data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(0, 10**12), min_size=len(symbols), max_size=len(symbols)))
    dictionary = Dictionary(symbols, counts)
    with tempfile.TemporaryDirectory() as folder:
        dictionary.save(Path(folder) / "dict.txt")
        again = Dictionary.load(Path(folder) / "dict.txt")
    assert (again.symbols, again.counts) == (dictionary.symbols, dictionary.counts)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), min_size=1),
            st.integers(0, 10**12),
        )
    )
)
def test_manifests_give_back_what_was_written(rows: list[tuple[str, int]]) -> None:
    entries = tuple(Entry(path, size, line) for line, (path, size) in enumerate(rows, start=2))
    with tempfile.TemporaryDirectory() as folder:
        write_manifest(Path(folder) / "train.tsv", "/root", entries)
        assert read_manifest(Path(folder) / "train.tsv").entries == entries


@given(st.integers(0, 50), st.floats(0, 1), st.integers())
def test_splitting_loses_nothing(count: int, share: float, seed: int) -> None:
    entries = [Entry(str(number), 1, number) for number in range(count)]
    train, valid = split(entries, share, seed)
    assert sorted(train + valid, key=lambda entry: entry.line) == entries


LIMITS = st.fixed_dictionaries(
    {
        "max_tokens": st.none() | st.integers(300, 3000),
        "batch_size": st.none() | st.integers(1, 20),
        "multiple": st.integers(1, 9),
    }
)


@given(SIZES, LIMITS, st.randoms())
def test_batches_keep_order_and_limits_and_lose_nothing(
    sizes: list[int], limits: dict[str, int], random
) -> None:
    order = random.sample(range(len(sizes)), len(sizes))
    batches = batch_by_size(order, sizes, **limits)
    assert [index for batch in batches for index in batch] == order
    for batch in batches:
        assert batch
        assert len(batch) <= (limits["batch_size"] or len(batch))
        assert len(batch) * max(sizes[i] for i in batch) <= (limits["max_tokens"] or 10**9)
        assert len(batch) < limits["multiple"] or len(batch) % limits["multiple"] == 0


@given(SIZES, LIMITS)
def test_dropping_the_remainder_changes_the_last_batch_only(sizes: list[int], limits: dict[str, int]) -> None:
    kept = batch_by_size(range(len(sizes)), sizes, **limits)
    dropped = batch_by_size(range(len(sizes)), sizes, **limits, drop_remainder=True)
    is_multiple = not kept or len(kept[-1]) % limits["multiple"] == 0
    assert dropped == (kept if is_multiple else kept[:-1])


@given(SIZES, st.none() | st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_orders_are_sorted_permutations(sizes: list[int], longest: int | None, seed: int) -> None:
    array = np.array(sizes, dtype=np.int64)
    order = ordered_indices(array, max_sample_size=longest, rng=np.random.RandomState(seed))
    assert sorted(order.tolist()) == list(range(len(sizes)))
    assert (np.diff(np.minimum(array, longest or 300)[order]) <= 0).all()


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 9), st.integers(1, 7))
def test_workers_get_every_batch_once_and_equally_many(
    start: int, stop: int, per_update: int, num_workers: int
) -> None:
    hands = [deal(start, stop, per_update, num_workers, worker) for worker in range(num_workers)]
    for number, update in enumerate(zip(*hands, strict=True)):
        assert len({len(hand) for hand in update}) == 1
        begin = start + number * per_update
        # Step after step, worker after worker: the order of one process.
        dealt = [batch for step in zip(*update, strict=True) for batch in step]
        count = min(per_update, stop - begin)
        assert dealt[:count] == list(range(begin, begin + count)) and set(dealt[count:]) <= {None}
    assert len(hands[0]) == -(-max(0, stop - start) // per_update)


@given(st.integers(1, 2000), st.integers(1, 500), st.integers(1, 100))
def test_the_fewest_samples_of_so_many_frames(frames: int, field: int, step: int) -> None:
    def num_frames(samples: int) -> int:
        return max(0, (samples - field) // step + 1)

    assert _fewest_samples(num_frames, frames) == field + (frames - 1) * step
