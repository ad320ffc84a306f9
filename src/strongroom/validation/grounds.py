"""What long work rests on: while it ran outside, others had the room, so its grounds are looked at again."""

from __future__ import annotations

from strongroom.errors import ConflictError
from strongroom.registry.versions import Version


def demand_same_step(verb: str, before: Version, now: Version) -> None:
    """The version stands where it stood: nobody took it on, took it out or brought other evidence meanwhile.

    Its package never changes, nor does its sample once there is one.

    Args:
        verb: of the work, for the message.
        before: as it was when the work was taken up.
        now: as the books have it.

    Raises:
        ConflictError: it does not.
    """
    if before.state != now.state:
        raise ConflictError(
            f"version {now.ref} was {before.state} when `{verb}` was taken up and is {now.state} by now, so nothing "
            f"came of it; look at it with `strongroom show {now.ref}`",
            rule="changed",
        )
    if before.evidence != now.evidence:
        raise ConflictError(
            f"version {now.ref} has other evidence than when `{verb}` was taken up, so nothing came of it; look at it "
            f"with `strongroom show {now.ref}`, and ask for `{verb}` again if it is still wanted",
            rule="changed",
        )


def demand_same_policy(verb: str, version: Version, before: bytes, now: bytes) -> None:
    """The validation policy in force is the one that the work was judged by.

    Raises:
        ConflictError: there is a newer one.
    """
    if before != now:
        raise ConflictError(
            f"another validation policy came into force while `{verb}` ran on version {version.ref}, so nothing came "
            f"of it; ask for `{verb}` again, and the policy in force judges it",
            rule="changed",
        )
