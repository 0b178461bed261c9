"""Settings of ``[identity]``: which customers are merged without asking a person."""

from typing import Literal, get_args

import phonenumbers
from pydantic import BaseModel, ConfigDict, field_validator

Part = Literal["name", "email", "phone", "address"]
PARTS: tuple[Part, ...] = get_args(Part)


class Identity(BaseModel):
    """Which rules merge customers, and where telephone numbers without a country code belong.

    Nothing is merged by a rule unless one is written here. A rule joins parts with ``+`` and always asks for the
    name, because a household shares the rest.

    Parameters
    ----------
    merge_rules
        Such as ``"email+name"``: customers whose parts are all known and equal once normalised are merged.
    default_region
        Two letters (ISO 3166) for numbers of customers without a readable country; null leaves them unread unless
        they begin with ``+``.

    Examples
    --------
    >>> Identity(merge_rules=("email+name",)).rules()
    [('name', 'email')]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    merge_rules: tuple[str, ...] = ()
    default_region: str | None = None

    @field_validator("merge_rules")
    @classmethod
    def _are_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for rule in value:
            parts = rule.split("+")
            if unknown := [part for part in parts if part not in PARTS]:
                msg = f"no such part {unknown[0]!r} in {rule!r}; use {', '.join(PARTS)} joined by +"
                raise ValueError(msg)
            if "name" not in parts or len(set(parts)) < 2:
                msg = f"{rule!r} would merge strangers or families: a rule is the name and at least one other part"
                raise ValueError(msg)
        return value

    @field_validator("default_region")
    @classmethod
    def _is_a_region(cls, value: str | None) -> str | None:
        if value is not None and value not in phonenumbers.SUPPORTED_REGIONS:
            msg = f"no such region {value!r}; use two capital letters such as DE"
            raise ValueError(msg)
        return value

    def rules(self) -> list[tuple[Part, ...]]:
        """Return the parts that each rule compares, in the order written."""
        return [tuple(part for part in PARTS if part in rule.split("+")) for rule in self.merge_rules]
