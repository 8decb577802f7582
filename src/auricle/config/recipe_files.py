"""Recipes as files: found by name, read, and put together from the files that they name themselves."""

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from auricle.config.schema import GROUPS, nearest
from auricle.errors import UserError

DEFAULTS = "defaults"
"""Hydra's list of other files that a recipe begins with."""

_SELF = "_self_"


def recipe_names() -> list[str]:
    """The recipes shipped with the package."""
    return sorted(path.stem for path in shipped().glob("*.yaml"))


def shipped() -> Path:
    """The folder of these recipes."""
    return Path(str(resources.files("auricle") / "recipes"))


def find_recipe(name: str, config_dir: Path | None = None) -> Path:
    """The file of a recipe.

    Raises:
        UserError: there is none; the nearest name is given.
    """
    folder = folder_of(config_dir)
    stem = name.removesuffix(".yaml")
    for path in (folder / f"{stem}.yaml", folder / f"{stem}.yml", folder / f"{Path(stem).name}.yaml"):
        if path.is_file():
            return path
    known = sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.yaml"))
    listed = f"; there are {', '.join(known) or 'none'}" if len(known) <= 40 else ""
    where = "among those shipped" if config_dir is None else f"in {folder}"
    raise UserError(f"no recipe '{name}' {where}{nearest(stem, known)}{listed}")


def folder_of(config_dir: Path | None) -> Path:
    """Where recipes are looked for.

    Raises:
        UserError: there is no such folder.
    """
    folder = shipped() if config_dir is None else config_dir.expanduser()
    if not folder.is_dir():
        raise UserError(f"--config-dir {folder}: there is no such folder")
    return folder


def parts_of(path: Path, folder: Path, above: tuple[Path, ...] = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files that make a recipe, each with its groups, later ones over earlier ones.

    A recipe's own `defaults` list is followed as Hydra does: `name` is another recipe of the folder,
    `group: name` the file `group/name.yaml`, whose keys belong to that group unless its first line says
    `# @package _global_`; the recipe itself comes last, or where the list says `_self_`.

    Args:
        path: The recipe.
        folder: What names in `defaults` count from.
        above: The files that led here.

    Raises:
        UserError: a file is missing, not YAML, or leads back to itself.
    """
    if path in above:
        raise UserError(f"recipe {path}: its defaults lead back to itself")
    content = _read_yaml(path)
    listed = content.pop(DEFAULTS, None) or []
    if not isinstance(listed, list):
        raise UserError(f"recipe {path}: 'defaults' must be a list of recipes")
    items = listed if _SELF in listed else [*listed, _SELF]
    for item in items:
        if item == _SELF:
            yield path, _in_package(path, folder, content)
        else:
            for name in _names(path, item):
                yield from parts_of(_named(path, folder, name), folder, (*above, path))


def _names(path: Path, item: object) -> Iterator[str]:
    """The file names that one item of a defaults list stands for."""
    pairs = {"": item} if isinstance(item, str) else item
    if not isinstance(pairs, Mapping):
        raise UserError(f"recipe {path}: 'defaults' holds {item!r}: write a name, or group: name")
    for group, name in pairs.items():
        if name is not None:  # null leaves a group open
            words = str(group).removeprefix("optional ").removeprefix("override ").split("@")[0].strip("/")
            yield f"{words}/{name}" if words else str(name)


def _named(path: Path, folder: Path, name: str) -> Path:
    found = folder / f"{name.removesuffix('.yaml')}.yaml"
    if not found.is_file():
        raise UserError(f"recipe {path}: its defaults name {name}, which is not in {folder}")
    return found


def _in_package(path: Path, folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The groups of a file: of `model/base.yaml`, the group `model`, unless it says that it is global."""
    group = path.relative_to(folder).parts[0] if path.is_relative_to(folder) else ""
    header = path.read_text(encoding="utf-8").split("\n", 1)[0]
    if group not in GROUPS or "_global_" in header or set(content) <= set(GROUPS):
        return content
    return {group: content}


def _read_yaml(path: Path) -> dict[str, Any]:
    """The file's content, interpolations as they stand."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        loaded = OmegaConf.load(path)
        content = OmegaConf.to_container(loaded, resolve=False)
    except OSError as error:
        raise UserError(f"recipe {path}: {error.strerror}") from error
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise UserError(f"recipe {path} is not valid YAML: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"recipe {path} must hold groups of keys, such as 'model:' and 'task:'")
    return {str(group): keys for group, keys in content.items()}


def one_line(error: Exception) -> str:
    """What a library says of an error, short and on one line."""
    return " ".join(str(error).split())[:300]
