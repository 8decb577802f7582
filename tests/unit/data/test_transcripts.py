"""Tables of transcripts, and which utterance each row means."""

from pathlib import Path

import pytest

from auricle.data.transcripts import match, read_libri, read_table, write_labels
from auricle.errors import UserError
from auricle.manifest import Entry, Manifest


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def listed(root: Path, *paths: str) -> Manifest:
    return Manifest(root, tuple(Entry(path, 1, i + 2) for i, path in enumerate(paths)), root / "train.tsv")


TABLES = {
    "t.tsv": 'path\tn\ttranscript\na.wav\t1\tHE "SAID"\nb.wav\t2\tIT\n',
    "t.csv": 'file,sentence\na.wav,"HE ""SAID"""\nb.wav,IT\n\n',
    "t.jsonl": '{"audio": "a.wav", "text": "HE \\"SAID\\"", "n": 1}\n\n{"audio": "b.wav", "text": "IT"}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_three_kinds_of_table(tmp_path: Path, name: str) -> None:
    assert read_table(written(tmp_path / name, TABLES[name])) == {"a.wav": 'HE "SAID"', "b.wav": "IT"}


def test_columns_can_be_named(tmp_path: Path) -> None:
    table = written(tmp_path / "t.tsv", "path\twhere\ttext\tnote\na\tb.wav\tNO\tYES\n")
    assert read_table(table, "where", "note") == {"b.wav": "YES"}


def test_text_has_single_spaces_and_composed_letters(tmp_path: Path) -> None:
    table = written(tmp_path / "t.tsv", "path\ttext\na\t  ACTIVE\u0301   NOW \n")
    assert read_table(table) == {"a": "ACTIVÉ NOW"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.tsv", "path\tn\na\t1\n", r"t.tsv:2: none of the columns transcript, text.*; there are path, n"),
        ("t.tsv", "path\ttext\na\tx\ty\n", r"t.tsv:2: 3 columns, but the header has 2"),
        ("t.csv", "path,text\na,x\nb\n", r"t.csv:3: 1 columns"),
        ("t.tsv", "path\ttext\na\tx\na\ty\n", r"t.tsv:3: a has two different transcripts"),
        ("t.tsv", "path\ttext\na\tX | Y\n", r"t.tsv:2: the transcript holds '\|'"),
        ("t.jsonl", '{"path": "a"\n', r"t.jsonl:1: not a JSON object"),
        ("t.jsonl", '["a"]\n', r"t.jsonl:1: not a JSON object"),
        ("t.jsonl", '{"path": "a", "text": null}\n', r"t.jsonl:1: none of the columns"),
        ("t.txt", "a x\n", r"t.txt: a table of transcripts ends in .tsv, .csv or .jsonl"),
        ("t.csv", f'path,text\na,"{"x" * 200_000}"\n', r"t.csv:2: field larger than field limit"),
    ],
)
def test_faults_are_named_by_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_table(written(tmp_path / name, text))


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    table = written(tmp_path / "t.tsv", "path\ttext\na\tx\n")
    with pytest.raises(
        UserError, match="no column 'words'; there are path, text: choose one with --text-column"
    ):
        read_table(table, None, "words")


def test_every_way_of_naming_an_utterance(tmp_path: Path) -> None:
    manifest = listed(tmp_path / "root", "a/x.wav", "a/y.wav")
    table = tmp_path / "root" / "a" / "t.tsv"
    for names in (
        ("a/x.wav", "a/y.wav"),
        ("./a/x.wav", "a/y"),
        ("x.wav", "y.wav"),
        ("x", "y"),
        (str(tmp_path / "root/a/x.wav"), str(tmp_path / "root/a/y")),
    ):
        for place in (table, tmp_path / "elsewhere.tsv"):
            assert match(manifest, dict(zip(names, ("X", "Y"), strict=True)), place) == ["X", "Y"]


def test_the_order_is_the_manifests(tmp_path: Path) -> None:
    assert match(listed(tmp_path, "b", "a"), {"a": "A", "b": "B", "c": "C"}, "t.tsv") == ["B", "A"]


def test_a_bare_name_that_two_utterances_share_means_neither(tmp_path: Path) -> None:
    manifest = listed(tmp_path, "a/1.wav", "b/1.wav")
    with pytest.raises(
        UserError, match=r"no transcript for 2 of 2 utterances, such as a/1.wav \(.*train.tsv:2\)"
    ):
        match(manifest, {"1": "ONE"}, "t.tsv")
    # the row is of another folder: it may not label the only file of that name
    with pytest.raises(UserError, match="no transcript for 1 of 1"):
        match(listed(tmp_path, "a/1.wav"), {"b/1.wav": "ONE"}, "t.tsv")


def test_rows_that_only_an_extension_tells_apart(tmp_path: Path) -> None:
    rows = {"x.wav": "ONE", "x.flac": "TWO"}
    assert match(listed(tmp_path, "x.wav", "x.flac"), rows, "t.tsv") == ["ONE", "TWO"]
    with pytest.raises(UserError, match="no transcript for 1 of 1"):
        match(listed(tmp_path, "x.opus"), rows, "t.tsv")


def test_an_empty_transcript_is_a_transcript(tmp_path: Path) -> None:
    texts = match(listed(tmp_path, "a", "b"), {"a": "", "b": "B"}, "t.tsv")
    write_labels(tmp_path, "train", texts)
    assert (tmp_path / "train.wrd").read_text() == "\nB\n"
    assert (tmp_path / "train.ltr").read_text() == "\nB |\n"


def test_librispeech_folders(tmp_path: Path) -> None:
    written(tmp_path / "19/198/19-198.trans.txt", "19-198-0001 SOME  WORDS\n\n19-198-0000 MORE\n")
    manifest = listed(tmp_path, "19/198/19-198-0000.flac", "19/198/19-198-0001.flac")
    assert read_libri(manifest) == ["MORE", "SOME WORDS"]
    with pytest.raises(UserError, match=r"19/198 has no transcript of 19-198-0009 \(.*train.tsv:2\)"):
        read_libri(listed(tmp_path, "19/198/19-198-0009.flac"))
    with pytest.raises(UserError, match=r"20-1.trans.txt: cannot be read"):
        read_libri(listed(tmp_path, "20/1/20-1-0000.flac"))
