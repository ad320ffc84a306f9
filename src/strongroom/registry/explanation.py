"""What a model's reason codes are: the reference, the groups of features behind each code, and how many are told.

The author writes it into `model.toml`, validator and approvers sign it with the release, the gateway computes by it.
No text is made here: a code stands for an approved text of `letters`, or of the bank's own letters.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from strongroom.errors import InvalidInputError
from strongroom.registry.kinds import CONTRACTS, Kind
from strongroom.registry.letters import Letters

ROWS_LIMIT = 64
CODES_LIMIT = 8
GROUPS_LIMIT = 256

KINDS: Final[tuple[Kind, ...]] = ("pd", "lgd", "ead", "fraud")
"""Those whose battery tests reason codes."""

Method = Literal["interventional", "path-dependent"]

FLOAT32_MAX = float.fromhex("0x1.fffffep+127")


class ReasonGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Features whose contributions are summed before they are ranked.

    Attributes:
        code: up to 32 printable characters, such as `R07`.
        features: of the contract.
        missing: the code that stands instead when the group's weightiest feature is missing.
    """

    code: str
    features: tuple[str, ...]
    missing: str | msgspec.UnsetType = msgspec.UNSET


class Explanation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reason codes of one version.

    Attributes:
        v: 1, or 2: the same values by quicker tables, whose last bits differ. A version that was released with 1 stays
            with it, so that its answers replay; a new one takes 2.
        method: `interventional`: exact Shapley values of the forest against the reference rows. `path-dependent`, with
            `v` 2: against the training weights in the model itself, as XGBoost's own contributions are.
        code_map: version of the code map, as the bank numbers it.
        groups: every feature is in exactly one, so that no principal reason is dropped.
        max_codes: told at most. Regulation B's commentary: more than four are not likely to help.
        adverse: whether a high or a low score speaks against the applicant.
        reference: rows in the order of the input, decimal strings, `nan` where missing. For Regulation B: applicants at
            or slightly above the cut-off. None for `path-dependent`.
        tolerance: largest gap between the explained and the served score, a decimal string; above it, no answer.
        always: explained with every answer; else where the caller asks.
        letters: approved texts of the letters that tell the codes; left out, no letter is written.
    """

    v: Literal[1, 2]
    method: Method
    code_map: str
    groups: tuple[ReasonGroup, ...]
    reference: tuple[tuple[str, ...], ...] = ()
    max_codes: int = 4
    adverse: Literal["high", "low"] = "high"
    tolerance: str = "0.00001"
    always: bool = False
    letters: Letters | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.method == "path-dependent":
            if self.v == 1 or self.reference:
                raise _wrong("path-dependent values have `v` 2, and the model's weights for reference rows", "method")
        elif not 0 < len(self.reference) <= ROWS_LIMIT:
            raise _wrong(f"an explanation has 1 to {ROWS_LIMIT} reference rows and 1 to {GROUPS_LIMIT} groups", "count")
        if not 0 < len(self.groups) <= GROUPS_LIMIT:
            raise _wrong(f"an explanation has 1 to {ROWS_LIMIT} reference rows and 1 to {GROUPS_LIMIT} groups", "count")
        if not 0 < self.max_codes <= CODES_LIMIT:
            raise _wrong(f"an explanation tells 1 to {CODES_LIMIT} codes", "count")
        codes = [group.code for group in self.groups]
        missing = [group.missing for group in self.groups if isinstance(group.missing, str)]
        if len(set(codes)) != len(codes) or set(codes) & set(missing):
            raise _wrong("a reason code stands for one group, and the codes of missing values are others", "unique")
        if any(not group.features for group in self.groups):
            raise _wrong("a group of features has at least one", "groups")
        for text in (*codes, *missing, self.code_map):
            if not (0 < len(text) <= 32 and text.isprintable()):
                raise _wrong("a code, and the version of the code map, has 1 to 32 printable characters", "code")
        if not isinstance(self.letters, msgspec.UnsetType):
            self.letters.demand_codes((*codes, *missing))
        if not 0 < number(self.tolerance) <= 0.01:
            raise _wrong("the tolerance of an explanation is above 0 and at most 0.01", "tolerance")

    def demand_kind(self, kind: Kind) -> None:
        """Raises InvalidInputError: nobody would test reason codes of this kind, or it writes no letters."""
        if kind not in KINDS:
            raise _wrong(
                f"reason codes are tested of models of kind {', '.join(KINDS)} only; leave [explanation] out of a "
                f"`{kind}`, since nobody would test it; its report shows what drives it under sensitivity",
                "kind",
            )
        if not CONTRACTS[kind].decides and not isinstance(self.letters, msgspec.UnsetType):
            raise _wrong(
                f"a model of kind `{kind}` decides nothing that a letter could tell; leave [explanation.letters] out",
                "letters",
            )

    def demand_features(self, names: tuple[str, ...]) -> None:
        """Hold it against the contract's features.

        Raises:
            InvalidInputError: a feature in no group or in two, one that is none, or reference rows of another width.
        """
        listed = [feature for group in self.groups for feature in group.features]
        if sorted(listed) != sorted(names):
            raise _wrong("every feature of the contract, and nothing else, is in exactly one group", "groups")
        if any(len(row) != len(names) for row in self.reference):
            raise _wrong("the reference rows are as wide as the input", "reference")
        self.rows()

    def rows(self) -> list[list[float]]:
        """The reference, [rows][features], NaN for missing. Raises InvalidInputError: a value that is no number."""
        return [[number(value, missing=True) for value in row] for row in self.reference]


def number(text: str, missing: bool = False) -> float:
    """A decimal string; `nan` where a missing value may stand. Raises InvalidInputError."""
    if missing and text == "nan":
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or len(text) > 40 or abs(value) > FLOAT32_MAX:
        raise _wrong("a number of the explanation is a finite decimal", "number")
    return value


def _wrong(message: str, rule: str) -> InvalidInputError:
    return InvalidInputError(message, field="explanation", rule=rule)
