import json

import pytest

from auricle.cli.main import main
from auricle.decode.report import count_errors
from auricle.decode.transcribe import transcribe
from auricle.dictionary import Dictionary, words_to_letters
from recognisers import LETTERS, tiny_recogniser, write_speech

RECOGNISER = tiny_recogniser(normalize=True, conv_norm="layer", seed=1)
SECONDS = (0.9, 0.5, 1.4, 0.7)


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    monkeypatch.setattr("auricle.convert.load.load", lambda path, **options: RECOGNISER)


@pytest.fixture
def data(tmp_path):
    """Four clips labelled with what the model says of them, the second with one word more."""
    clips = [write_speech(tmp_path / f"{n}.wav", seconds, seed=n) for n, seconds in enumerate(SECONDS)]
    texts = [transcript.text for transcript in transcribe(clips, RECOGNISER)]
    texts[1] += " TEN"
    write_subset(tmp_path, [(f"{n}.wav", round(s * 16000)) for n, s in enumerate(SECONDS)], texts)
    Dictionary(LETTERS).save(tmp_path / "dict.ltr.txt")
    return tmp_path


def write_subset(folder, clips, texts):
    lines = [str(folder), *(f"{path}\t{size}" for path, size in clips)]
    (folder / "test.tsv").write_text("\n".join(lines) + "\n")
    (folder / "test.ltr").write_text("".join(f"{words_to_letters(text)}\n" for text in texts))


def run(data, *words, path="M.pt"):
    options = ("--path", path, "--results-path", str(data / "results"), "--device", "cpu")
    return main(["infer", str(data), *options, *map(str, words)])


def summary(data):
    return json.loads((data / "results" / "summary.json").read_text())


def without_ids(file):
    return [line.rpartition(" ")[0] for line in file.read_text().splitlines()]


def test_the_documented_line_measures_and_writes(data, capsys):
    line = (
        "--task audio_finetuning --nbest 1 --gen-subset test --w2l-decoder viterbi --lm-weight 2 "
        "--word-score -1 --sil-weight 0 --criterion ctc --labels ltr --max-tokens 4000000 "
        "--post-process letter"
    )
    assert run(data, *line.split()) == 0
    found = summary(data)
    references = (data / "test.ltr").read_text().splitlines()
    words = sum(line.count("|") for line in references)
    assert found["num_words"] == words and found["num_utterances"] == 4
    assert found["wer"] == pytest.approx(100 / words)
    assert 0 < found["cer"] < found["wer"] * 10 and found["uer"] > 0
    assert found["audio_seconds"] == pytest.approx(sum(SECONDS))
    assert found["wall_seconds"] > 0 and found["decoder"] == "viterbi" and found["set_aside"] == []
    assert f"WER {found['wer']:.2f} %" in capsys.readouterr().out


def test_files_stand_in_manifest_order(data):
    assert run(data) == 0
    results = data / "results"
    for kind in ("hypo.word", "ref.word", "hypo.units", "ref.units"):
        lines = (results / f"{kind}-M.pt-test.txt").read_text().splitlines()
        assert [line.rpartition(" ")[2] for line in lines] == [f"(None-{n})" for n in range(4)]
    texts = without_ids(results / "ref.units-M.pt-test.txt")
    assert texts == (data / "test.ltr").read_text().splitlines()
    heard = without_ids(results / "hypo.units-M.pt-test.txt")
    assert count_errors(texts, heard).uer == pytest.approx(summary(data)["uer"])
    records = [json.loads(line) for line in (results / "utterances.jsonl").read_text().splitlines()]
    assert [r["word_errors"] for r in records] == [0, 1, 0, 0]
    assert records[2]["path"] == str(data / "2.wav") and records[2]["seconds"] == pytest.approx(1.4)


@pytest.mark.parametrize("options", [("--max-tokens", 100), ("--batch-size", 3)])
def test_batching_changes_no_answer(data, options):
    assert run(data) == 0
    wanted = (data / "results" / "hypo.units-M.pt-test.txt").read_text()
    assert run(data, *options) == 0
    assert (data / "results" / "hypo.units-M.pt-test.txt").read_text() == wanted


def test_the_hydra_form_does_the_same(data, capsys):
    keys = [f"task.data={data}", "common_eval.path=M.pt", "decoding.type=viterbi", "task.labels=ltr"]
    keys += ["dataset.gen_subset=test", f"decoding.results_path={data / 'results'}", "decoding.beam=50"]
    assert main(["infer", "--config-name", "infer", *keys, "--device", "cpu"]) == 0
    assert summary(data)["num_utterances"] == 4
    assert "--beam ignored" in capsys.readouterr().err


def test_broken_clips_are_named_counted_and_left_out(data, capsys):
    (data / "2.wav").write_bytes(b"RIFF")
    assert run(data) == 0
    found = summary(data)
    assert found["num_utterances"] == 3
    assert [clip["name"] for clip in found["set_aside"]] == ["2.wav"]
    captured = capsys.readouterr()
    assert "set aside 2.wav" in captured.err and "1 clips could not be used" in captured.out
    lines = (data / "results" / "hypo.word-M.pt-test.txt").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["(None-0)", "(None-1)", "(None-3)"]


def test_clips_too_short_for_a_frame_count_as_empty(data, capsys):
    write_speech(data / "3.wav", 0.003)
    assert run(data) == 0
    assert summary(data)["num_utterances"] == 4
    assert "3.wav: too short for a single frame" in capsys.readouterr().err
    assert (data / "results" / "hypo.word-M.pt-test.txt").read_text().splitlines()[3] == " (None-3)"


def test_results_go_to_the_models_run_folder_unless_told(data, capsys):
    checkpoint = data / "run" / "checkpoints" / "best"
    checkpoint.mkdir(parents=True)
    for model in (data / "run", checkpoint):
        assert main(["evaluate", str(data), "--model", str(model), "--device", "cpu"]) == 0
        assert (data / "run" / "evaluations" / "test" / f"ref.word-{model.name}-test.txt").is_file()


def test_without_a_place_for_results_none_are_written(data, capsys, monkeypatch):
    monkeypatch.chdir(data)
    before = set(data.iterdir())
    assert main(["evaluate", str(data), "--model", "elsewhere/M.pt", "--device", "cpu"]) == 0
    assert set(data.iterdir()) == before and "results:" not in capsys.readouterr().out


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_an_unknown_decoder_lists_the_known(data, capsys):
    assert run(data, "--w2l-decoder", "bert") == 2
    assert "there is no decoder 'bert': choose one of viterbi, kenlm, fairseqlm" in one_line(capsys)


def test_a_missing_model_or_folder_is_asked_for(data, capsys):
    assert main(["evaluate", str(data)]) == 2
    assert "--model" in one_line(capsys)
    assert main(["evaluate", "--model", "M.pt"]) == 2
    assert "no data folder" in one_line(capsys)


def test_a_missing_subset_is_named(data, capsys):
    assert run(data, "--gen-subset", "dev_other") == 2
    assert "dev_other.tsv" in one_line(capsys)


def test_labels_that_do_not_match_the_manifest(data, capsys):
    (data / "test.ltr").write_text("T E N |\n")
    assert run(data) == 2
    assert "1 labels" in one_line(capsys)


def test_another_models_dictionary_beside_the_labels(data, capsys):
    Dictionary([*LETTERS[:2], "X", *LETTERS[3:]]).save(data / "dict.ltr.txt")
    assert run(data) == 2
    assert "symbol 6 is X there and T in the model" in one_line(capsys)


def test_a_given_dictionary_has_to_be_the_models(data, capsys):
    Dictionary(LETTERS[:-1]).save(data / "other.txt")
    assert run(data, "--dictionary", data / "other.txt") == 2
    assert "symbol 10 is nothing there and I in the model" in one_line(capsys)


def test_labels_in_letters_the_model_lacks_are_a_mistake(data, capsys):
    (data / "test.ltr").write_text((data / "test.ltr").read_text().lower())
    assert run(data) == 2
    assert "none of these symbols" in one_line(capsys)


def test_a_few_unknown_symbols_count_as_errors_and_are_named(data, capsys):
    text = (data / "test.ltr").read_text()
    (data / "test.ltr").write_text(text.replace("T", "Ž", 1))
    assert run(data) == 0
    assert "cannot write, and that count as errors: Ž" in capsys.readouterr().err


def test_nothing_readable_is_a_mistake(data, capsys):
    for n in range(4):
        (data / f"{n}.wav").write_bytes(b"RIFF")
    assert run(data) == 2
    assert "can be used" in capsys.readouterr().err


def test_an_unknown_post_processing_lists_the_known(data, capsys):
    assert run(data, "--post-process", "bpe") == 2
    assert "letter, wordpiece, sentencepiece, none" in one_line(capsys)


def test_an_unwritable_results_folder_is_said_before_the_work(data, capsys):
    (data / "results").write_text("")
    assert run(data) == 2
    assert "results" in one_line(capsys)
