"""A recipe from YAML, overrides and flags: found, merged onto the schema, resolved and checked."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from auricle.config.bounds import check_bounds
from auricle.config.fields import MISSING, coerce, keys_of, variants
from auricle.config.overrides import Change, Flag, flag_change, is_selector, read_override, sort_words
from auricle.config.recipe_files import find_recipe, folder_of, one_line, parts_of
from auricle.config.schema import FOREIGN_GROUPS, GROUPS, RENAMED, Recipe, known_keys, nearest
from auricle.errors import UserError

_log = logging.getLogger(__name__)

_COMPANIONS = {
    "wav2vec2": ("audio_pretraining", ("wav2vec",)),
    "wav2vec": ("audio_pretraining", ("wav2vec",)),
    "wav2vec_ctc": ("audio_finetuning", ("ctc",)),
    "wav2vec_seq2seq": ("audio_finetuning", ("label_smoothed_cross_entropy",)),
    "roberta": ("masked_lm", ("masked_lm",)),
    "transformer_lm": ("language_modeling", ("cross_entropy", "adaptive_loss")),
}
"""The task that each model is trained with, and the criteria it may be; those of a model whose name begins so
are the same."""

_TUNED = [model for model, (task, _) in _COMPANIONS.items() if task == "audio_finetuning"]


def load_recipe(
    name: str | None,
    *,
    config_dir: Path | None = None,
    overrides: Sequence[str] = (),
    flags: Sequence[str | Flag] = (),
) -> Recipe:
    """Loads a recipe and applies what the command line changes in it.

    Args:
        name: A recipe's name, with or without ".yaml"; None where flags say everything, as in fairseq's
            flat command lines.
        config_dir: Folder of recipes; None searches those shipped with the package.
        overrides: In hydra's grammar: "a.b=v", "+a.b=v", "~a.b".
        flags: "--some-key", "value", ..., as on a command line, or as `sort_words` gives them.

    Raises:
        UserError: no such recipe, key or variant; a value of a wrong type; a key left open.
    """
    given = _Given()
    folder = folder_of(config_dir)
    if name is not None:
        given.merge_file(find_recipe(name, config_dir), folder, quiet=config_dir is None)
    parsed = sort_words([f for f in flags if isinstance(f, str)]).flags
    parsed += tuple(f for f in flags if isinstance(f, Flag))
    changes = [read_override(text) for text in overrides]
    selecting = [flag_change(flag, {}) for flag in parsed if is_selector(flag)]
    for change in (*selecting, *changes):
        if file := _chosen_file(change, folder):
            given.merge_file(file, folder, quiet=False)
        else:
            given.apply(change)
    if parsed:
        chosen = given.chosen()
        for flag in parsed:
            if not is_selector(flag):
                given.apply(flag_change(flag, chosen))
    label = Path(name).name.removesuffix(".yaml") if name else given.variant("model")
    given.values.setdefault("checkpoint", {}).setdefault("save_dir", f"runs/{label}")
    return given.resolve()


def _chosen_file(change: Change, folder: Path) -> Path | None:
    """The file that an override such as `+run_config=slurm_1` names: `run_config/slurm_1.yaml`."""
    if change.key in GROUPS or "." in change.key or not isinstance(change.value, str):
        return None
    path = folder / change.key / f"{change.value.removesuffix('.yaml')}.yaml"
    return path if path.is_file() else None


@dataclass(slots=True)
class _Given:
    """What has been said of a recipe so far, and by whom."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    quiet: set[str] = field(default_factory=set)

    def merge_file(self, path: Path, folder: Path, *, quiet: bool) -> None:
        """Takes over a recipe file and the files that it begins with."""
        for part, content in parts_of(path, folder):
            self.merge(content, f"recipe {part.name}", quiet=quiet)

    def merge(self, content: Mapping[str, Any], origin: str, *, quiet: bool) -> None:
        """Takes over a recipe file; `quiet` for one of ours, whose keys without effect need no notice."""
        for group, keys in content.items():
            if group in FOREIGN_GROUPS:
                _log.info("%s: the group %s is not used", origin, group)
            elif group not in GROUPS:
                raise UserError(f"{origin}: unknown group '{group}'{nearest(group, list(GROUPS))}")
            elif isinstance(keys, str):
                self.apply(Change(group, keys, origin))
            elif not isinstance(keys, Mapping | None):
                raise UserError(f"{origin}: '{group}' must hold keys, not {keys!r}")
            else:
                for name, value in (keys or {}).items():
                    self.apply(Change(f"{group}.{name}", value, origin))
                    if quiet:
                        self.quiet.add(f"{group}.{name}")

    def apply(self, change: Change) -> None:
        """Sets or unsets a key; `group=variant` chooses a group's variant."""
        path = RENAMED.get(change.key, change.key)
        group, _, rest = path.partition(".")
        if group not in GROUPS:
            raise UserError(f"{change.origin}: unknown key{nearest(path, self._all_known())}")
        if not rest:
            if change.deleted or not isinstance(change.value, str):
                raise UserError(f"{change.origin}: name a key of the group, such as {group}._name=...")
            rest = "_name"
        *parents, leaf = rest.split(".")
        holder: dict[str, Any] = self.values.setdefault(group, {})
        for parent in parents:
            inner = holder.get(parent)
            holder[parent] = holder = dict(inner) if isinstance(inner, Mapping) else {}
        if change.deleted:
            holder.pop(leaf, None)
            return
        if rest == "_name" and "_name" in holder and holder["_name"] != change.value:
            self._switch(group, holder, change)
        holder[leaf] = change.value
        self.origins[f"{group}.{rest}"] = change.origin
        self.quiet.discard(f"{group}.{rest}")

    def _switch(self, group: str, holder: dict[str, Any], change: Change) -> None:
        """Drops what was said of a group's former variant and means nothing to the new one."""
        kind = GROUPS[group].get(str(change.value))
        dropped = [key for key in holder if kind is not None and key not in keys_of(kind)]
        for key in dropped:
            del holder[key]
        if dropped:
            _log.info("%s leaves out %s", change.origin, ", ".join(f"{group}.{key}" for key in dropped))

    def variant(self, group: str) -> str:
        """The variant of a group; "" where it has no variants."""
        kinds = GROUPS[group]
        only = next(iter(kinds)) if len(kinds) == 1 else None
        name = self.values.get(group, {}).get("_name", only)
        if name is None:
            name = only
        if name is None:
            raise UserError(
                f"nothing says which {group}: add {group}._name={' or '.join(kinds)}, "
                "or take a recipe that does (--config-name NAME)"
            )
        if name not in kinds:
            origin = self.origin(f"{group}._name")
            raise UserError(
                f"{origin}: there is no {group} '{name}'{nearest(str(name), list(kinds))}; "
                f"there are {', '.join(kinds)}"
            )
        return str(name)

    def chosen(self) -> dict[str, type]:
        """The dataclass of every group."""
        return {group: kinds[self.variant(group)] for group, kinds in GROUPS.items()}

    def origin(self, path: str) -> str:
        """Who set a key, or the nearest one above it."""
        while path:
            if path in self.origins:
                return self.origins[path]
            path = path.rpartition(".")[0]
        return "recipe"

    def resolve(self) -> Recipe:
        """Fills in defaults, follows links, checks types and says what is still open."""
        self._modernise_task()
        chosen = self.chosen()
        complete = {
            group: self._fill(kind, self.values.get(group, {}), group) for group, kind in chosen.items()
        }
        _complain_of_open_keys(complete)
        resolved = _follow_links(complete)
        recipe = Recipe(**{group: self._make(kind, resolved[group], group) for group, kind in chosen.items()})
        _check(recipe)
        self._mention_inert(chosen)
        return recipe

    def _modernise_task(self) -> None:
        """Before 2021 fairseq had one task for both: with labels, `audio_pretraining` is fine-tuning."""
        model, task = self.values.get("model", {}), self.values.get("task", {})
        if task.get("_name") != "audio_pretraining" or model.get("_name") not in _TUNED:
            return
        _log.info(
            "%s: task audio_pretraining with a fine-tuned model, as fairseq once had it, is audio_finetuning",
            self.origin("task._name"),
        )
        task["_name"] = "audio_finetuning"

    def _fill(self, kind: type, values: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Every key of a group: as given, else its default or link."""
        keys = keys_of(kind)
        for name in values:
            if name not in keys and name != "_name":
                known = [f"{path}.{key}" for key in keys] + self._all_known()
                where = f"{path}.{name}"
                raise UserError(f"{self.origin(where)}: unknown key {where}{nearest(where, known)}")
        filled = {}
        for name, key in keys.items():
            value = values.get(name, key.default)
            kinds = variants(key.annotation)
            if kinds and isinstance(value, Mapping):
                inner = kinds.get(str(value.get("_name", next(iter(kinds)))))
                if inner is None:
                    raise UserError(f"{path}.{name}._name: there are {', '.join(kinds)}")
                value = self._fill(inner, value, f"{path}.{name}")
            filled[name] = value
        return filled

    def _make(self, kind: type, values: Mapping[str, Any], path: str) -> Any:
        """The group's dataclass, its values of the declared types."""
        made = {}
        for name, key in keys_of(kind).items():
            value, where = values[name], f"{path}.{name}"
            kinds = variants(key.annotation)
            if kinds and isinstance(value, Mapping):
                made[name] = self._make(kinds[str(value.get("_name", next(iter(kinds))))], value, where)
            else:
                made[name] = coerce(value, key.annotation, f"{self.origin(where)}: {where}")
        return kind(**made)

    def _all_known(self) -> list[str]:
        known = {group: next(iter(kinds.values())) for group, kinds in GROUPS.items()}
        for group in GROUPS:
            if self.values.get(group, {}).get("_name") in GROUPS[group]:
                known[group] = GROUPS[group][self.values[group]["_name"]]
        return known_keys(known)

    def _mention_inert(self, chosen: dict[str, type]) -> None:
        """One notice of the keys that somebody set and that change nothing here."""
        idle = [
            path
            for path in self.origins
            if path not in self.quiet and path.count(".") == 1 and _is_inert(chosen, path)
        ]
        if idle:
            _log.info("accepted, without effect here: %s", ", ".join(idle))


def _is_inert(chosen: dict[str, type], path: str) -> bool:
    group, _, name = path.partition(".")
    key = keys_of(chosen[group]).get(name)
    return key is not None and key.inert


def _complain_of_open_keys(complete: Mapping[str, Any]) -> None:
    missing = [path for path, value in _leaves(complete, "") if value == MISSING]
    if missing:
        needed = " ".join(f"{path}=..." for path in missing)
        raise UserError(f"the recipe leaves {', '.join(missing)} open: add {needed}")


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _follow_links(complete: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces `${other.key}` and `${env:X}` by what they stand for."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        resolved = OmegaConf.to_container(OmegaConf.create(_modern(complete)), resolve=True)
    except (OmegaConfBaseException, RecursionError) as error:
        raise UserError(f"an interpolation of the recipe cannot be resolved: {one_line(error)}") from error
    assert isinstance(resolved, dict)
    return {str(group): values for group, values in resolved.items()}


def _modern(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _modern(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_modern(inner) for inner in value]
    return re.sub(r"\$\{env:", "${oc.env:", value) if isinstance(value, str) else value


def _check(recipe: Recipe) -> None:
    """What no single key shows: groups that do not belong together, an encoder that is not given."""
    from auricle.config.schema_model import FineTuningKeys

    model = recipe.model
    family = max((name for name in _COMPANIONS if model._name.startswith(name)), key=len)
    task, criteria = _COMPANIONS[family]
    if recipe.task._name != task or recipe.criterion._name not in criteria:
        raise UserError(
            f"the model {model._name} is trained with task {task} and criterion {' or '.join(criteria)}, "
            f"not with {recipe.task._name} and {recipe.criterion._name}"
        )
    if isinstance(model, FineTuningKeys) and model.w2v_path is None and model.w2v_args is None:
        raise UserError(
            "model.w2v_path is null: give a checkpoint, or an architecture in model.w2v_args.model"
        )
    check_bounds(recipe)


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe in full, as YAML that `load_recipe` reads back to an equal one."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(as_mapping(recipe)))


def as_mapping(group: object) -> dict[str, Any]:
    """A group, or a whole recipe, as plain nested mappings with `_name` first."""
    assert is_dataclass(group) and not isinstance(group, type)
    names = sorted((f.name for f in fields(group)), key=lambda name: name != "_name")
    return {name: _plain(getattr(group, name)) for name in names}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return as_mapping(value)
    return list(value) if isinstance(value, tuple) else value
