"""Thresholds of the rules of quality: one YAML file, such as ``config/quality/default.yaml``."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from organome.domain.errors import SetupError
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.quality import LOW_IS_BAD, MEASURED, Quality, Rule, Threshold, Thresholds
from organome.io.files.strict_yaml import StrictLoader


def read_thresholds(path: Path, organs: Collection[str]) -> Thresholds:
    """Read thresholds.

    Args:
        path: The file.
        organs: Names of the organs that there are.

    Raises:
        SetupError: Naming what is wrong.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise SetupError(f"{path}: cannot be read as YAML ({type(error).__name__})") from None
    try:
        if not isinstance(content, dict):
            raise TypeError
        unknown = {*content} - {"rules", "organs", "bounds_ml", "min_group"}
        if unknown:
            raise SetupError(f"unknown key {min(unknown)}")
        of_organs = content.get("organs") or {}
        bounds_ml = content.get("bounds_ml") or {}
        for name in (*of_organs, *bounds_ml):
            if name not in organs and name not in ORGAN_BY_NAME:
                raise SetupError(f"organ {name!r} is not one of this run")
        return Thresholds(
            rules=_rules(content["rules"]),
            organs={name: _rules(rules) for name, rules in of_organs.items()},
            bounds_ml={
                name: (float(least), float(greatest))
                for name, (least, greatest) in bounds_ml.items()
            },
            min_group=int(content.get("min_group", 20)),
        )
    except SetupError as error:
        raise SetupError(f"{path}: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise SetupError(
            f"{path}: not thresholds; config/quality/default.yaml shows the form"
        ) from None


def _rules(content: Mapping[str, Any]) -> dict[Rule, Threshold]:
    rules = {}
    for name, value in content.items():
        if name not in tuple(Rule) or name == Rule.EXCLUDED:
            raise SetupError(f"unknown rule {name!r}")
        rules[Rule(name)] = _measured(Rule(name), value) if name in MEASURED else _held(name, value)
    return rules


def _measured(rule: Rule, value: Any) -> Threshold:
    if not isinstance(value, dict) or {*value} - {"warn", "fail"}:
        raise SetupError(f"{rule}: must be such as {{warn: 3.5, fail: 5}}")
    found = Threshold(**{level: float(number) for level, number in value.items()})
    if found.warn is not None and found.fail is not None:
        is_stricter = found.fail < found.warn if rule in LOW_IS_BAD else found.fail > found.warn
        if not is_stricter:
            raise SetupError(f"{rule}: fails before it warns")
    return found


def _held(rule: str, value: Any) -> Threshold:
    if value not in (Quality.WARN, Quality.FAIL):
        raise SetupError(f"{rule}: must be warn or fail; leave it out to not check it")
    return Threshold(**{value: 1.0})
