"""The listing of keys."""

from auricle.config.describe import key_listing
from auricle.config.schema import all_keys


def test_every_key_is_listed_with_type_default_and_meaning() -> None:
    lines = key_listing().splitlines()
    listed = {line.split()[0] for line in lines if line.startswith("  ")}
    assert listed == {f"{group}.{key.name}" for group, _, key in all_keys() if key.name != "_name"}
    assert "  dataset.max_tokens  (int or null; default null)  Samples in a batch, padding included." in lines
    assert any("task.seed  (int; default: common.seed)" in line for line in lines)
    assert any("task.data  (text; must be given)" in line for line in lines)


def test_every_key_has_a_meaning_that_is_a_sentence() -> None:
    for group, variant, key in all_keys():
        assert key.about.endswith((".", ")")), f"{group} {variant} {key.name}"


def test_a_variant_that_is_another_with_other_defaults_lists_only_these() -> None:
    sections = {text.splitlines()[0]: text.splitlines()[1:] for text in key_listing().split("\n\n")}
    (large,) = (lines for heading, lines in sections.items() if "_name=roberta_large" in heading)
    assert [line.split()[0] for line in large] == [
        "model.encoder_layers",
        "model.encoder_embed_dim",
        "model.encoder_ffn_embed_dim",
        "model.encoder_attention_heads",
    ]
    (base,) = (lines for heading, lines in sections.items() if "_name=roberta_base" in heading)
    assert base == []
