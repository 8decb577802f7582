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
            parent = next((other for other in kind.__mro__[1:] if other in kinds.values()), None)
            # what has an effect comes first
            shown = sorted(shown_keys(kind, parent), key=lambda key: key.inert)
            if parent:
                summary += " Keys that differ:" if shown else " No key differs."
            lines = [f"  {group}.{key.name}  ({_type_and_default(key)})  {key.about}" for key in shown]
            sections.append("\n".join([f"{heading}: {summary}", *lines]))
    return "\n\n".join(sections)


def shown_keys(kind: type, parent: type | None) -> list[Key]:
    """The keys of a variant; of one that is another with other defaults, those that have them."""
    inherited = {} if parent is None else keys_of(parent)
    return [
        key
        for name, key in keys_of(kind).items()
        if name != "_name" and (name not in inherited or inherited[name].default != key.default)
    ]


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
