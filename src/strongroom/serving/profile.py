"""The numeric profile of a release: refuse what this machine cannot honour, and call the model only as was proven."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strongroom.approval.release import NumericProfile
from strongroom.errors import NumericProfileError
from strongroom.serving.ports import Machine, Session


def demand_profile(profile: NumericProfile, machine: Machine, model: str) -> None:
    """Compare what the sandbox proved with where we are.

    Raises:
        NumericProfileError: something differs, so the approved bits are not guaranteed here.
    """
    wanted = (profile.runtime, profile.version, profile.provider, profile.isa)
    present = (machine.runtime, machine.version, machine.provider, machine.isa)
    for what, want, have in zip(("runtime", "version", "provider", "isa"), wanted, present, strict=True):
        if want != have:
            raise NumericProfileError(
                f"the release of `{model}` was proven with {what} `{want}` and this machine has `{have}`; "
                "validate it for this machine or serve it on one of its profile",
                field=what,
            )
    if profile.threads != 1 or profile.max_batch < 1 or (profile.mode == "padded" and profile.max_batch < 2):
        raise NumericProfileError(
            f"the numeric profile of `{model}` names threads or a batch that cannot be", field="mode"
        )


class Scorer:
    """Calls a session so that each row's bits do not depend on who travels with it."""

    def __init__(self, session: Session, profile: NumericProfile) -> None:
        self._session = session
        self._mode = profile.mode
        self._limit = 1 if profile.mode == "by-row" else profile.max_batch

    def score(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output tensor for all rows; one runtime call unless the profile forbids it."""
        rows, limit = len(matrix), self._limit
        if rows <= limit and (rows > 1 or self._mode != "padded"):
            return self._session.run(matrix)
        parts = []
        start = 0
        while start < rows:
            end = min(start + limit, rows)
            part = matrix[start:end]
            if self._mode == "padded" and end - start == 1:
                # a lone row takes another code path in the runtime: a copy of it travels along and is thrown away
                parts.append(self._session.run(np.repeat(part, 2, axis=0))[:1])
            else:
                parts.append(self._session.run(part))
            start = end
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
