"""Small language models in files, and lexicons to go with them."""

from pathlib import Path

TRIGRAM = """\\data\\
ngram 1=6
ngram 2=5
ngram 3=2

\\1-grams:
-2.0\t<unk>
-99\t<s>\t-0.25
-0.7\t</s>
-0.6\ta\t-0.2
-0.9\tb\t-0.35
-0.8\tc\t-0.3

\\2-grams:
-0.5\t<s> a\t-0.15
-0.3\ta b\t-0.4
-0.45\tb b\t-0.1
-0.3\tc </s>
-0.2\tb c\t-0.05

\\3-grams:
-0.1\t<s> a b
-0.15\tb b </s>

\\end\\
"""


def write_trigram(path: Path) -> Path:
    path.write_text(TRIGRAM, encoding="utf-8")
    return path
