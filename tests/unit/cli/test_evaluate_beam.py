"""`auricle evaluate` with beam search, language models, emissions that are kept; `auricle tune`."""

import json
from dataclasses import replace

import pytest
import torch

from auricle.cli import evaluation
from auricle.cli.decoding import Listener
from auricle.cli.main import main
from auricle.convert.loaded import Loaded
from auricle.decode.transcribe import transcribe
from auricle.dictionary import Dictionary, words_to_letters
from auricle.manifest import read_manifest
from auricle.models.build import build_model
from language_models import write_lexicon
from recognisers import LETTERS, tiny_config, tiny_recogniser, write_speech
from text_models import SEQ2SEQ, language_model_checkpoint

RECOGNISER = tiny_recogniser(normalize=True, conv_norm="layer", seed=1)
SECONDS = (0.2, 0.3, 0.25)


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    monkeypatch.setattr(evaluation, "open_model", lambda *options: RECOGNISER)


@pytest.fixture
def data(tmp_path):
    """Three clips labelled with what the model says of them, a lexicon of these words and a model of them."""
    (tmp_path / "ann").mkdir()
    names = ["ann/0.wav", "ann/1.wav", "2.wav"]
    clips = [
        write_speech(tmp_path / name, s, seed=n)
        for n, (name, s) in enumerate(zip(names, SECONDS, strict=True))
    ]
    texts = [transcript.text for transcript in transcribe(clips, RECOGNISER)]
    lines = [str(tmp_path), *(f"{name}\t{round(s * 16000)}" for name, s in zip(names, SECONDS, strict=True))]
    (tmp_path / "test.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "test.ltr").write_text("".join(f"{words_to_letters(text)}\n" for text in texts))
    (tmp_path / "text.txt").write_text("\n".join(texts))
    Dictionary(LETTERS).save(tmp_path / "dict.ltr.txt")
    write_lexicon(tmp_path / "lexicon.txt", sorted({word for text in texts for word in text.split()}))
    assert main(["lm", str(tmp_path / "text.txt"), "-o", str(tmp_path / "lm.arpa"), "--order", "2"]) == 0
    return tmp_path


def run(data, *words, model=("--path", "M.pt")):
    options = ("--results-path", str(data / "results"), "--device", "cpu")
    return main(["infer", str(data), *model, *options, *map(str, words)])


def beam(data, *words):
    return run(
        data,
        "--w2l-decoder",
        "kenlm",
        "--lm-model",
        data / "lm.arpa",
        "--lexicon",
        data / "lexicon.txt",
        *words,
    )


def summary(data):
    return json.loads((data / "results" / "summary.json").read_text())


def records(data):
    return [json.loads(line) for line in (data / "results" / "utterances.jsonl").read_text().splitlines()]


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_fairseqs_line_with_a_language_model(data):
    assert (
        beam(data, "--lm-weight", 0.5, "--word-score", 0, "--sil-weight", 0, "--nbest", 3, "--beam", 30) == 0
    )
    found = summary(data)
    assert found["decoder"] == "kenlm lm.arpa (beam 30, lm_weight 0.5, word_score 0)"
    words = {line.split("\t")[0] for line in (data / "lexicon.txt").read_text().splitlines()}
    for record in records(data):
        assert set(record["hypothesis"].split()) <= words
        assert 1 <= len(record["nbest"]) <= 3
        scores = [one["score"] for one in record["nbest"]]
        assert scores == sorted(scores, reverse=True) and record["score"] == scores[0]
        first = record["nbest"][0]
        assert first["score"] == pytest.approx(first["acoustic_score"] + 0.5 * first["lm_score"], abs=1e-4)


def test_the_hydra_form_is_the_same(data):
    assert beam(data, "--lm-weight", 0.5, "--word-score", 1) == 0
    wanted = records(data)
    keys = [f"decoding.lmpath={data / 'lm.arpa'}", f"decoding.lexicon={data / 'lexicon.txt'}"]
    keys += ["decoding.type=kenlm", "decoding.lmweight=0.5", "decoding.wordscore=1", "decoding.beam=50"]
    assert run(data, *keys) == 0
    assert records(data) == wanted


def test_emissions_are_kept_and_used_again(data, monkeypatch):
    assert beam(data, "--save-emissions", data / "kept") == 0
    wanted, before = records(data), summary(data)
    monkeypatch.setattr(evaluation, "open_model", None)
    again = ("--w2l-decoder", "kenlm", "--lm-model", data / "lm.arpa", "--lexicon", data / "lexicon.txt")
    assert run(data, "--emissions", data / "kept", *again, model=()) == 0
    assert records(data) == wanted
    after = summary(data)
    for key in ("wer", "audio_seconds", "model", "subset", "set_aside", "wer_low"):
        assert after[key] == before[key]


def test_emissions_of_something_else_are_refused(data, capsys):
    assert run(data, "--emissions", data / "nowhere", model=()) == 2
    assert "nowhere holds no emissions: make them with auricle evaluate --save-emissions" in one_line(capsys)
    assert run(data, "--save-emissions", data / "kept") == 0
    capsys.readouterr()
    (data / "kept" / "emissions.safetensors").write_bytes(b"damaged")
    assert run(data, "--emissions", data / "kept", model=()) == 2
    assert "damaged" in one_line(capsys)
    assert run(data, "--save-emissions", data / "kept") == 0
    text = (data / "test.tsv").read_text()
    (data / "test.tsv").write_text(text.replace("ann/0.wav", "ann/9.wav"))
    capsys.readouterr()
    assert run(data, "--emissions", data / "kept", model=()) == 2
    assert "utterance 0 is" in one_line(capsys)


def test_rates_of_speakers_and_an_interval(data):
    (data / "test.spk").write_text("ann\nann\nbob\n")
    (data / "test.ltr").write_text((data / "test.ltr").read_text().replace("|", "| T E N |", 1))
    assert run(data) == 0
    found = summary(data)
    assert set(found["speakers"]) == {"ann", "bob"} and found["speakers"]["bob"]["wer"] == 0
    assert found["wer_low"] <= found["wer"] <= found["wer_high"]
    assert (found["substitutions"], found["deletions"], found["insertions"]) == (0, 1, 0)
    assert found["confusions"] == [["TEN", "", 1]]
    ids = [
        line.rpartition(" ")[2]
        for line in (data / "results" / "ref.word-M.pt-test.txt").read_text().splitlines()
    ]
    assert ids == ["(ann-0)", "(ann-1)", "(bob-2)"]


def test_speakers_that_cannot_be_known(data, capsys):
    assert run(data, "--speakers", "folder") == 2
    assert "2.wav is in no folder" in one_line(capsys)
    (data / "test.spk").write_text("ann\n")
    assert run(data) == 2
    assert "1 speakers for the 3 utterances" in one_line(capsys)


def test_a_sequence_to_sequence_model_writes(data, monkeypatch, capsys):
    config = replace(SEQ2SEQ, encoder=tiny_config().encoder, num_labels=4 + len(LETTERS))
    torch.manual_seed(2)
    model = build_model(config).eval()
    loaded = Loaded(model, Dictionary(LETTERS), config, 0, data)
    monkeypatch.setattr(evaluation, "open_model", lambda *options: loaded)
    assert run(data, "--beam", 2, "--max-len-b", 6, "--nbest", 2) == 0
    assert summary(data)["decoder"] == "seq2seq (beam 2, lenpen 1)"
    assert all(len(record["nbest"]) == 2 for record in records(data))
    capsys.readouterr()
    assert run(data, "--beam", 2, "--lexicon", data / "lexicon.txt", "--lm-weight", 1) == 2
    assert "its search has no use for --lm-weight, --lexicon: leave that out" in one_line(capsys)
    assert run(data, "--max-len-a", "nan") == 2
    assert "max_len_a is nan: give a number" in one_line(capsys)


def test_options_that_frames_have_no_use_for_are_named(data, capsys):
    assert run(data, "--lenpen", 0.5, "--nbest", 2) == 0
    said = capsys.readouterr().err
    assert "only sequence-to-sequence models use --lenpen" in said and "--nbest ignored" in said


@pytest.mark.parametrize(("packs", "batches"), [(False, [[1, 3], [2, 4], [0]]), (True, [[1, 3, 2, 4, 0]])])
def test_clips_share_a_batch_on_a_cpu_where_padding_costs_little(data, packs, batches, monkeypatch):
    monkeypatch.setattr(type(RECOGNISER.model), "packs_frames", packs)
    for name, seconds in (("3.wav", 0.29), ("4.wav", 0.24)):
        write_speech(data / name, seconds)
        with (data / "test.tsv").open("a") as file:
            file.write(f"{name}\t{round(seconds * 16000)}\n")
    listener = Listener(RECOGNISER.model, read_manifest(data / "test.tsv"), 10**6)
    assert [[clip.index for clip in clips] for clips, _ in listener.batches()] == batches


def test_tuning_finds_weights_no_worse_than_the_first(data, capsys):
    assert run(data, "--save-emissions", data / "kept") == 0
    files = ("--lm-model", data / "lm.arpa", "--lexicon", data / "lexicon.txt", "--gen-subset", "test")
    start = ("--lm-weight", 4, "--word-score", -4, "--rounds", 3, "--output", data / "tuned.json")
    tune = ("tune", data, "--emissions", data / "kept", *files, *start)
    assert main([*map(str, tune), "--post-process", "bpe"]) == 2
    assert "letter, wordpiece, sentencepiece, none" in capsys.readouterr().err
    assert main([*map(str, tune), "--post-process", "letter"]) == 0
    tuned = json.loads((data / "tuned.json").read_text())
    rounds = tuned["rounds"]
    assert rounds[0]["weights"] == {"lm_weight": 4, "word_score": -4} and 2 <= len(rounds) <= 3
    assert tuned["wer"] == min(one["wer"] for one in rounds)
    best = f"best: --lm-weight {tuned['lm_weight']:g} --word-score {tuned['word_score']:g}"
    assert best in capsys.readouterr().out
    weights = ("--lm-weight", tuned["lm_weight"], "--word-score", tuned["word_score"])
    assert beam(data, *weights) == 0
    assert summary(data)["wer"] == pytest.approx(tuned["wer"])


def test_tuning_finds_the_weights_of_ranking_anew(data, capsys):
    assert run(data, "--save-emissions", data / "kept") == 0
    words = sorted(line.split("\t")[0] for line in (data / "lexicon.txt").read_text().splitlines())
    (data / "neural").mkdir()
    first = ("--lm-model", data / "lm.arpa", "--lexicon", data / "lexicon.txt", "--gen-subset", "test")
    again = ("--rescore-lm", fairseq_lm(data / "neural", words), "--rescore-weight", 3, "--rescore-nbest", 20)
    files = ("--emissions", data / "kept", *first, "--lm-weight", 0.5, *again)
    capsys.readouterr()
    assert main(["tune", *map(str, (data, *files, "--output", data / "tuned.json"))]) == 0
    said = capsys.readouterr().out
    tuned = json.loads((data / "tuned.json").read_text())
    assert tuned["rounds"][0]["weights"] == {"rescore_weight": 3, "rescore_word_score": 0}
    assert "rescore_weight 3, rescore_word_score 0: WER" in said and "lm_weight" not in said
    assert tuned["wer"] == min(one["wer"] for one in tuned["rounds"])
    found = (
        "--rescore-weight",
        f"{tuned['rescore_weight']:g}",
        "--rescore-word-score",
        f"{tuned['rescore_word_score']:g}",
    )
    assert f"best: {' '.join(found)} " in said
    assert beam(data, "--lm-weight", 0.5, "--rescore-nbest", 20, *again[:2], *found) == 0
    assert summary(data)["wer"] == pytest.approx(tuned["wer"])


def test_tuning_needs_a_model_and_lists(data, capsys):
    assert main(["tune", str(data), "--emissions", "kept"]) == 2
    assert "no language model to weigh: give it with --lm-model" in one_line(capsys)
    assert main(["tune", str(data), "--lm-model", str(data / "lm.arpa"), "--nbest", "1"]) == 2
    assert "--nbest 1: give 2 or more" in one_line(capsys)


@pytest.mark.parametrize("ends", [("5", "0"), ("0", "inf"), ("nan", "1")])
@pytest.mark.parametrize("option", ["--lm-weights", "--word-scores"])
def test_ranges_to_tune_in_have_a_lower_end_first(data, capsys, option, ends):
    files = ("--emissions", "kept", "--lm-model", data / "lm.arpa")
    assert main(["tune", *map(str, (data, *files, option, *ends))]) == 2
    assert f"{option} {ends[0]} {ends[1]}: give the ends of a range, the lower one first" in one_line(capsys)


def test_a_range_of_one_weight_keeps_it(data, capsys):
    assert run(data, "--save-emissions", data / "kept") == 0
    files = ("--emissions", data / "kept", "--lm-model", data / "lm.arpa", "--lexicon", data / "lexicon.txt")
    where = ("--gen-subset", "test", "--lm-weight", 1, "--lm-weights", 1, 1, "--rounds", 2)
    capsys.readouterr()
    assert main(["tune", *map(str, (data, *files, *where, "--output", data / "tuned.json"))]) == 0
    rounds = json.loads((data / "tuned.json").read_text())["rounds"]
    assert {one["weights"]["lm_weight"] for one in rounds} == {1}
    assert "an end of --lm-weights" not in capsys.readouterr().out


def fairseq_lm(folder, words):
    """A checkpoint of a word model as fairseq writes it, its dictionary beside it."""
    torch.save(language_model_checkpoint(), folder / "lm.pt")
    Dictionary(words[:4]).padded(8).save(folder / "dict.txt")
    return folder / "lm.pt"


def test_a_transformer_searches_and_ranks_anew(data):
    words = sorted(line.split("\t")[0] for line in (data / "lexicon.txt").read_text().splitlines())
    (data / "neural").mkdir()
    lm = fairseq_lm(data / "neural", words)
    lexicon = ("--lexicon", data / "lexicon.txt", "--beam", 10)
    assert run(data, "--w2l-decoder", "fairseqlm", "--lm-model", lm, *lexicon) == 0
    assert summary(data)["decoder"].startswith("fairseqlm lm.pt (beam 10")
    assert beam(data, "--rescore-lm", lm, "--rescore-weight", 0.3, "--nbest", 2, "--beam", 10) == 0
    assert "rescored by lm.pt 0.3" in summary(data)["decoder"]


def causal_lm(folder, words):
    """A folder of a random GPT-2 whose pieces are words."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    pieces = {piece: number for number, piece in enumerate(["<s>", "</s>", "<unk>", *words])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(pieces, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=len(pieces), n_positions=64, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=1
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_causal_model_of_transformers_searches(data, capsys):
    words = sorted(line.split("\t")[0] for line in (data / "lexicon.txt").read_text().splitlines())
    lm = causal_lm(data / "gpt2", words)
    fused = ("--w2l-decoder", "fairseqlm", "--lm-model", lm, "--beam", 10)
    assert run(data, *fused, "--lexicon", data / "lexicon.txt", "--nbest", 2) == 0
    assert summary(data)["decoder"].startswith("fairseqlm gpt2 (beam 10")
    assert all(one["lm_score"] < 0 for record in records(data) for one in record["nbest"])
    assert beam(data, "--rescore-lm", lm, "--rescore-weight", 0.3, "--beam", 10) == 0
    assert "rescored by gpt2 0.3" in summary(data)["decoder"]
    capsys.readouterr()
    assert run(data, *fused) == 2
    assert "the language model knows none of the recogniser's units" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--lexicon", "lower.txt"],
            "lower.txt:1: 't' in the spelling of 'ten' is not in the model's dictionary",
        ),
        (["--lexicon", "alone.txt"], "alone.txt:1: the word 'TEN' has no spelling"),
        (["--lexicon", "empty.txt"], "empty.txt: no words"),
        (["--lexicon", "nowhere.txt"], "nowhere.txt: cannot be read"),
        (["--lm-model", "other.arpa"], "other.arpa: the language model knows none of"),
        (["--lm-model", "wrong.arpa"], "wrong.arpa:2: expected 'ngram 1=COUNT'"),
        (["--lm-model", "nowhere.arpa"], "nowhere.arpa: cannot be read"),
        (["--beam", "0"], "beam is 0: give 1 or more"),
        (["--engine", "quick"], "there is no engine 'quick': choose one of own, flashlight"),
        (["--preset", "large"], "there is no preset 'large': choose one of base-10min, base-960h"),
        (
            ["--w2l-decoder", "fairseqlm", "--engine", "flashlight"],
            "flashlight is used with n-gram models only",
        ),
    ],
)
def test_wrong_input_is_one_line(data, monkeypatch, capsys, words, message):
    monkeypatch.chdir(data)
    (data / "lower.txt").write_text("ten\tt e n |\n")
    (data / "alone.txt").write_text("TEN\n")
    (data / "empty.txt").write_text("\n")
    (data / "wrong.arpa").write_text("\\data\\\nngram one=3\n")
    (data / "other.txt").write_text("quite other words\n")
    assert main(["lm", "other.txt", "-o", "other.arpa"]) == 0
    capsys.readouterr()
    assert beam(data, *words) == 2
    assert message in one_line(capsys)


def test_words_that_the_language_model_lacks_are_named(data, capsys):
    with open(data / "lexicon.txt", "a") as file:
        file.write("TEETOTAE\tT E E T O T A E |\n")
    assert beam(data) == 0
    assert "such as 'TEETOTAE': these count as <unk>" in capsys.readouterr().err


def test_presets_give_what_is_not_given(data):
    assert beam(data, "--preset", "base-960h", "--beam", 20) == 0
    assert "(beam 20, lm_weight 1.74, word_score 0.52)" in summary(data)["decoder"]


def test_without_a_lexicon_a_model_of_words_is_a_mistake(data, capsys):
    assert run(data, "--w2l-decoder", "kenlm", "--lm-model", data / "lm.arpa") == 2
    assert "the recogniser's units (give --lexicon for a model of words)" in one_line(capsys)
