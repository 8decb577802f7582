"""Every key there is, with its type, its default and its meaning, for `auricle train --help`."""

from auricle.config.fields import MISSING, Key, keys_of, type_name
from auricle.config.schema import GROUPS


def key_listing() -> str:
    """All keys as text, one a line, under a heading for each group and variant."""
    sections = []
    for group, kinds in GROUPS.items():
        for variant, kind in kinds.items():
            heading = f"{group}, with _name={variant}" if variant else group
            summary = (kind.__doc__ or "").strip().splitlines()[0]
            shown = sorted(_shown(kind), key=lambda key: key.inert)  # what has an effect comes first
            lines = [f"  {group}.{key.name}  ({_type_and_default(key)})  {key.about}" for key in shown]
            sections.append("\n".join([f"{heading}: {summary}", *lines]))
    return "\n\n".join(sections)


def _shown(kind: type) -> list[Key]:
    return [key for name, key in keys_of(kind).items() if name != "_name"]


def _type_and_default(key: Key) -> str:
    if key.default == MISSING:
        default = "must be given"
    elif key.source is not None:
        default = f"default: {key.source}"
    else:
        default = f"default {_text(key.default)}"
    return f"{type_name(key.annotation)}; {default}" + ("; no effect here" if key.inert else "")


def _text(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return repr(value) if value == "" else str(value)
