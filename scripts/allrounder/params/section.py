"""The base of all sections of params.yaml, and the type of wnids."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from allrounder.catalogue.synsets import did_you_mean_wnid, find_synset

WNID = r"^n[0-9]{8}$"


class Section(BaseModel):
    """A section of params.yaml: unknown keys are refused, values are immutable.

    The docstrings of its keys are in the JSON schema: see `json_schema` of loading.py.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def check_wnid(text: str) -> str:
    """Check a wnid against the catalogue."""
    if not find_synset(text):
        raise ValueError(f"ImageNet has no such synset.{did_you_mean_wnid(text)}")
    return text


Wnid = Annotated[str, Field(pattern=WNID), AfterValidator(check_wnid)]
