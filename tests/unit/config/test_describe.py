"""The listing of keys."""

from auricle.config.describe import key_listing
from auricle.config.schema import all_keys


def test_every_key_is_listed_with_type_default_and_meaning() -> None:
    lines = key_listing().splitlines()
    assert sum(line.startswith("  ") for line in lines) == sum(
        key.name != "_name" for _, _, key in all_keys()
    )
    assert "  dataset.max_tokens  (int or null; default null)  Samples in a batch, padding included." in lines
    assert any("task.seed  (int; default: common.seed)" in line for line in lines)
    assert any("task.data  (text; must be given)" in line for line in lines)


def test_every_key_has_a_meaning_that_is_a_sentence() -> None:
    for group, variant, key in all_keys():
        assert key.about.endswith((".", ")")), f"{group} {variant} {key.name}"
