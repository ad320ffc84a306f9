"""Refusals do not fill the disk: so many are recorded in a window, the rest is counted in one entry."""

from __future__ import annotations

from strongroom.errors import InvalidInputError, NotPermittedError, TooManyRequestsError, UnavailableError
from strongroom.sealing.records import Labels
from strongroom.serving.asked import Asked, Line, Outcome
from strongroom.serving.refusal_meter import COUNT_RULE, RefusalMeter
from strongroom.vocabulary import Digest

LABELS = Labels(purpose="p", jurisdiction="EU", environment="production")
S = 1_000_000


class Nobody:
    def answered(self, answered): ...

    def refused(self, error, decision_id): ...


def refused(principal: str = "desk", rule: str = "grant") -> Outcome:
    asked = Asked(Nobody(), principal, LABELS, Digest("0" * 64), None, None, NotPermittedError("no", rule=rule))
    return Outcome(asked, [Line(b"", "", b"", b"", "")], None, [], False)


def answered() -> Outcome:
    asked = Asked(Nobody(), "desk", LABELS, Digest("0" * 64), None, None)
    return Outcome(asked, [Line(b"", "", b"", b"", "")], None, ["accept"], True)


def test_some_are_recorded_and_the_rest_is_counted():
    meter = RefusalMeter(3, 10 * S)
    outcomes = [refused() for _ in range(8)] + [answered() for _ in range(5)] + [refused("other")]
    meter.thin(outcomes, 100 * S)
    assert [len(one.lines) for one in outcomes] == [1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert all(isinstance(one.asked.error, TooManyRequestsError) for one in outcomes[3:8])
    assert outcomes[3].asked.error.details["retry_after_s"] == 10
    assert meter.take_finished(105 * S) == {}
    assert meter.take_finished(110 * S) == {"desk": 5}
    assert meter.take_finished(111 * S) == {}
    later = [refused()]
    meter.thin(later, 112 * S)
    assert later[0].lines


def test_the_entry_of_a_window_is_always_recorded():
    meter = RefusalMeter(0, 10 * S, lambda: True)
    entry = refused(rule=COUNT_RULE)
    meter.thin([entry], S)
    assert entry.lines


def test_what_space_is_left_is_for_decisions():
    meter = RefusalMeter(100, 10 * S, lambda: True)
    outcomes = [refused(), answered()]
    meter.thin(outcomes, 100 * S)
    assert [len(one.lines) for one in outcomes] == [0, 1]
    assert isinstance(outcomes[0].asked.error, UnavailableError)
    assert meter.take_finished(100 * S, closing=True) == {"desk": 1}


def test_closing_tells_what_the_present_window_had():
    meter = RefusalMeter(0, 10 * S)
    meter.count("desk", 100 * S)
    outcome = refused()
    outcome.asked.error = InvalidInputError("no")
    meter.thin([outcome], 101 * S)
    assert meter.take_finished(101 * S, closing=True) == {"desk": 2}
