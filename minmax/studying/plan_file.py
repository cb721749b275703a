"""A study's plan, read from a file: what is compared, and with which seeds."""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from minmax import admission, documents
from minmax.errors import MissingError, UserError
from minmax.paths import expanded

VARIANT = r"[^/\0]*[^/.\0][^/\0]*"
CHANGED = rf"(?!{admission.OPTION[2:]}$)[A-Za-z_][\w.]*\+?"


@dataclass(frozen=True)
class Plan:
    """What a study's file says.

    Attributes:
        title: a few words.
        claim: the claim under test, and its source.
        config: configuration of all runs, as a path from the project's root.
        seeds: every variant is trained with each of them.
        variants: changed options of each variant, by name; the first variant is the baseline.
        forms: changed options of each form, for all variants: a shorter training, for example.
    """

    title: str
    claim: str
    config: str
    seeds: list[int]
    variants: dict[str, dict[str, Any]]
    forms: dict[str, dict[str, Any]]


def read_plan(file: Path) -> Plan:
    """Read and check a plan.

    Raises:
        UserError: it can't be read, or something is missing or of the wrong kind.
    """
    try:
        content = documents.read(file)
    except FileNotFoundError as error:
        raise MissingError(f"there is no {file}: the plans at hand are in studies/") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file} is no plan of a study ({error}): see studies/") from error
    keys = {field.name for field in fields(Plan)}
    given = content.keys() if isinstance(content, dict) else set[str]()
    if given != keys:
        differences = {"lacks": keys - given, "has besides": given - keys}
        said = [f"{how} {', '.join(sorted(map(str, d)))}" for how, d in differences.items() if d]
        raise UserError(f"{file} is no plan of a study (it {' and '.join(said)}): see studies/")
    plan = Plan(**content)
    kinds = {"title": str, "claim": str, "config": str, "seeds": list}
    wrong = [name for name, kind in kinds.items() if not isinstance(getattr(plan, name), kind)]
    for name in ("variants", "forms"):
        values = getattr(plan, name)
        if not (isinstance(values, dict) and all(isinstance(v, dict) for v in values.values())):
            wrong.append(name)
    wrong += [name for name in ("seeds", "variants", "forms") if not getattr(plan, name)]
    if wrong:
        raise UserError(f"{file}: {wrong[0]} is empty or of the wrong kind: see studies/")
    plan = replace(plan, config=expanded(plan.config))
    if not Path(plan.config).is_file():
        raise UserError(
            f"{file}: there is no config {plan.config}. It is a path from the project's root: "
            "start the study there"
        )
    changed = [*plan.variants.values(), *plan.forms.values()]
    for name in (name for names in (plan.variants, plan.forms, *changed) for name in names):
        if not isinstance(name, str):
            raise UserError(f"{file}: the name {name} is no text: put it between quotes")
    foul = [f"seed {seed}" for seed in plan.seeds if type(seed) is not int]
    foul += [f"variant {name}" for name in plan.variants if not re.fullmatch(VARIANT, name)]
    for changes in changed:
        foul += [f"option {name}" for name in changes if not re.fullmatch(CHANGED, name)]
    if foul or plan.config.startswith("-"):
        raise UserError(
            f"{file}: {foul[0] if foul else plan.config} is not allowed in a plan: see studies/. "
            f"Code is admitted only by {admission.OPTION} on the command line"
        )
    if twice := [seed for seed in plan.seeds if plan.seeds.count(seed) > 1]:
        raise UserError(f"{file}: the seed {twice[0]} stands twice in seeds: leave one out")
    return plan
