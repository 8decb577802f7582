from itertools import groupby

import torch
from hypothesis import given
from hypothesis import strategies as st

from auricle.decode.emissions import length_batches
from auricle.decode.hypothesis import units_to_words
from auricle.decode.report import ErrorCounts, align_words, count_errors
from auricle.decode.viterbi import viterbi
from auricle.dictionary import Dictionary

DICTIONARY = Dictionary(["|", "A", "B"])
PATHS = st.lists(st.integers(0, len(DICTIONARY) - 1), max_size=30)
LABELS = st.lists(st.sampled_from(["|", "A", "B"]), max_size=12).map(" ".join)
PAIRS = st.lists(st.tuples(LABELS, LABELS), max_size=6)


@given(st.lists(PATHS, min_size=1, max_size=4), st.integers(0, 3))
def test_viterbi_collapses_repeats_then_drops_blanks(paths, padding):
    frames = max(map(len, paths)) + padding
    padded = torch.tensor([path + [5] * (frames - len(path)) for path in paths], dtype=torch.int64)
    logits = torch.nn.functional.one_hot(padded, len(DICTIONARY)) * 9.0
    lengths = torch.tensor([len(path) for path in paths])
    for path, found in zip(paths, viterbi(logits, lengths, DICTIONARY), strict=True):
        assert found.tokens == tuple(unit for unit, _ in groupby(path) if unit != 0)
        assert [path[start] for start in found.timesteps] == list(found.tokens)
        assert found.text == units_to_words(DICTIONARY.decode(found.tokens))
        edges = [edge for span in found.spans for edge in (span.start, span.end)]
        assert edges == sorted(edges) and all(0 <= edge <= len(path) for edge in edges)
        assert len(found.spans) == len(found.words)


@given(
    st.lists(st.integers(0, 500), max_size=40), st.integers(1, 900), st.one_of(st.none(), st.integers(1, 5))
)
def test_batches_partition_the_clips_within_their_limits(lengths, max_samples, max_clips):
    batches = length_batches(lengths, max_samples, max_clips)
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    for batch in batches:
        filled = len(batch) * max(lengths[position] for position in batch)
        assert len(batch) == 1 or filled <= max_samples
        assert max_clips is None or len(batch) <= max_clips
    longest = [max(lengths[position] for position in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


@given(PAIRS)
def test_errors_of_a_batch_are_the_sum_of_its_parts(pairs):
    parts = [count_errors([reference], [hypothesis]) for reference, hypothesis in pairs]
    references, hypotheses = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert sum(parts, ErrorCounts()) == count_errors(references, hypotheses)


@given(PAIRS)
def test_alignments_spell_both_sides_and_count_the_errors(pairs):
    said = [units_to_words(reference) for reference, _ in pairs]
    heard = [units_to_words(hypothesis) for _, hypothesis in pairs]
    edits = 0
    for reference, hypothesis, steps in zip(said, heard, align_words(said, heard), strict=True):
        assert " ".join(step.reference for step in steps if step.reference) == reference
        assert " ".join(step.hypothesis for step in steps if step.hypothesis) == hypothesis
        edits += sum(step.kind != "equal" for step in steps)
    references, hypotheses = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert count_errors(references, hypotheses).word_edits == edits
