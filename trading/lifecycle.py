"""The life of an intent: its states, and the edges between them. Pure; the journal stores what this says.

`transition` is the only judge of what may follow what: the store asks it inside each transaction, and
`fold` over the stored events gives the stored row again. The numbers in `EDGES` are the rows of the table
in `docs/explanation/intent_life.md`. What has to be true outside an intent (kill switch, guards, a broker's
answer) is judged where it is known: journal.py and executions.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class IntentState(StrEnum):
    """Say where an intent is. The first four are open, the others terminal."""

    PENDING_APPROVAL = "pending_approval"
    APPROVED = "approved"
    EXECUTING = "executing"
    UNKNOWN = "unknown"
    REJECTED = "rejected"
    EXECUTED = "executed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Say whether something may still happen to the intent."""
        return self in {
            IntentState.PENDING_APPROVAL,
            IntentState.APPROVED,
            IntentState.EXECUTING,
            IntentState.UNKNOWN,
        }


class Stage(StrEnum):
    """Say how far an executing intent is, or that an unknown one waits for a person (`parked`)."""

    NONE = ""
    CLAIMED = "claimed"
    PREPARED = "prepared"
    WORKING = "working"
    PARKED = "parked"


class Step(StrEnum):
    """Name what happens to an intent: the kind of its event in the journal."""

    REGISTERED = "registered"
    ENDORSED = "endorsed"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CLAIMED = "claimed"
    RELEASED = "released"
    REFUSED_AT_CLAIM = "refused_at_claim"
    PREPARED = "prepared"
    ACKNOWLEDGED = "acknowledged"
    REFUSED_BY_BROKER = "refused_by_broker"
    OUTCOME_UNKNOWN = "outcome_unknown"
    TAKEN_OVER = "taken_over"
    FOUND = "found"
    PREPARED_AGAIN = "prepared_again"
    PARKED = "parked"
    PROVEN_ABSENT = "proven_absent"
    CLOSED = "closed"
    FILLED = "filled"
    CANCEL_ASKED = "cancel_asked"
    REPLACED = "replaced"
    FOUND_CLOSED = "found_closed"


class Place(NamedTuple):
    """Hold where an intent is: what a compare-and-set compares, and what events change (shares)."""

    state: IntentState
    stage: Stage
    version: int
    epoch: int
    generation: int
    quantity: int
    filled_quantity: int


class Event(NamedTuple):
    """Hold what is asked of an intent.

    `version` and `epoch` are those the asker saw; `quantity` is the registered quantity of `registered`
    and the filled shares of `filled`, else 0.
    """

    step: Step
    to: IntentState
    version: int
    epoch: int
    quantity: int = 0


class Edge(NamedTuple):
    """Hold one edge: its row in the table, what happens, from where, to where.

    `is_held` edges belong to one holder: they compare the epoch, so that a holder that was taken over
    can write nothing any more.
    """

    row: int
    step: Step
    from_state: IntentState | None
    from_stage: Stage
    to_state: IntentState
    to_stage: Stage
    is_held: bool


class Refusal(NamedTuple):
    """Say why an event may not happen: a stable code, and a sentence with expected and found."""

    code: str
    message: str


ILLEGAL_TRANSITION = "illegal_transition"
STALE_VERSION = "stale_version"
STALE_EPOCH = "stale_epoch"
OVERFILLED = "overfilled"
HIDDEN_EXPOSURE = "hidden_exposure"

_PENDING = (IntentState.PENDING_APPROVAL, Stage.NONE)
_APPROVED = (IntentState.APPROVED, Stage.NONE)
_CLAIMED = (IntentState.EXECUTING, Stage.CLAIMED)
_PREPARED = (IntentState.EXECUTING, Stage.PREPARED)
_WORKING = (IntentState.EXECUTING, Stage.WORKING)
_UNKNOWN = (IntentState.UNKNOWN, Stage.NONE)
_PARKED = (IntentState.UNKNOWN, Stage.PARKED)
_REJECTED = (IntentState.REJECTED, Stage.NONE)
_EXECUTED = (IntentState.EXECUTED, Stage.NONE)
_FAILED = (IntentState.FAILED, Stage.NONE)
_EXPIRED = (IntentState.EXPIRED, Stage.NONE)
_CANCELLED = (IntentState.CANCELLED, Stage.NONE)
_NEW = (None, Stage.NONE)

EDGES: tuple[Edge, ...] = (
    Edge(1, Step.REGISTERED, *_NEW, *_PENDING, is_held=False),
    Edge(1, Step.REGISTERED, *_NEW, *_APPROVED, is_held=False),
    Edge(1, Step.REGISTERED, *_NEW, *_REJECTED, is_held=False),
    Edge(2, Step.ENDORSED, *_PENDING, *_PENDING, is_held=False),
    Edge(2, Step.APPROVED, *_PENDING, *_APPROVED, is_held=False),
    Edge(2, Step.REJECTED, *_PENDING, *_REJECTED, is_held=False),
    Edge(2, Step.EXPIRED, *_PENDING, *_EXPIRED, is_held=False),
    Edge(3, Step.EXPIRED, *_APPROVED, *_EXPIRED, is_held=False),
    Edge(3, Step.CANCELLED, *_PENDING, *_CANCELLED, is_held=False),
    Edge(3, Step.CANCELLED, *_APPROVED, *_CANCELLED, is_held=False),
    Edge(4, Step.CLAIMED, *_APPROVED, *_CLAIMED, is_held=False),
    Edge(5, Step.RELEASED, *_CLAIMED, *_APPROVED, is_held=True),
    Edge(6, Step.REFUSED_AT_CLAIM, *_CLAIMED, *_REJECTED, is_held=True),
    Edge(6, Step.REFUSED_AT_CLAIM, *_CLAIMED, *_EXPIRED, is_held=True),
    Edge(7, Step.PREPARED, *_CLAIMED, *_PREPARED, is_held=True),
    Edge(8, Step.ACKNOWLEDGED, *_PREPARED, *_WORKING, is_held=True),
    Edge(9, Step.REFUSED_BY_BROKER, *_PREPARED, *_FAILED, is_held=True),
    Edge(9, Step.REFUSED_BY_BROKER, *_PREPARED, *_EXECUTED, is_held=True),
    Edge(10, Step.OUTCOME_UNKNOWN, *_PREPARED, *_UNKNOWN, is_held=True),
    Edge(10, Step.OUTCOME_UNKNOWN, *_WORKING, *_UNKNOWN, is_held=True),
    Edge(10, Step.TAKEN_OVER, *_PREPARED, *_UNKNOWN, is_held=True),
    Edge(10, Step.TAKEN_OVER, *_WORKING, *_UNKNOWN, is_held=True),
    Edge(11, Step.FOUND, *_UNKNOWN, *_WORKING, is_held=True),
    Edge(11, Step.FOUND, *_PARKED, *_WORKING, is_held=True),
    Edge(12, Step.PREPARED_AGAIN, *_UNKNOWN, *_PREPARED, is_held=True),
    Edge(13, Step.PARKED, *_UNKNOWN, *_PARKED, is_held=True),
    Edge(14, Step.PROVEN_ABSENT, *_UNKNOWN, *_FAILED, is_held=True),
    Edge(14, Step.PROVEN_ABSENT, *_UNKNOWN, *_EXPIRED, is_held=True),
    Edge(14, Step.PROVEN_ABSENT, *_UNKNOWN, *_EXECUTED, is_held=True),
    Edge(14, Step.PROVEN_ABSENT, *_PARKED, *_FAILED, is_held=True),
    Edge(14, Step.PROVEN_ABSENT, *_PARKED, *_EXPIRED, is_held=True),
    Edge(14, Step.PROVEN_ABSENT, *_PARKED, *_EXECUTED, is_held=True),
    Edge(15, Step.CLOSED, *_WORKING, *_EXECUTED, is_held=True),
    Edge(15, Step.CLOSED, *_WORKING, *_CANCELLED, is_held=True),
    Edge(15, Step.CLOSED, *_WORKING, *_EXPIRED, is_held=True),
    Edge(15, Step.CLOSED, *_WORKING, *_FAILED, is_held=True),
    Edge(16, Step.FILLED, *_WORKING, *_WORKING, is_held=True),
    Edge(17, Step.CANCEL_ASKED, *_WORKING, *_WORKING, is_held=True),
    Edge(18, Step.REPLACED, *_WORKING, *_PREPARED, is_held=True),
    Edge(19, Step.FOUND_CLOSED, *_UNKNOWN, *_EXECUTED, is_held=True),
    Edge(19, Step.FOUND_CLOSED, *_UNKNOWN, *_CANCELLED, is_held=True),
    Edge(19, Step.FOUND_CLOSED, *_UNKNOWN, *_EXPIRED, is_held=True),
    Edge(19, Step.FOUND_CLOSED, *_UNKNOWN, *_FAILED, is_held=True),
    Edge(19, Step.FOUND_CLOSED, *_PARKED, *_EXECUTED, is_held=True),
    Edge(19, Step.FOUND_CLOSED, *_PARKED, *_CANCELLED, is_held=True),
    Edge(19, Step.FOUND_CLOSED, *_PARKED, *_EXPIRED, is_held=True),
    Edge(19, Step.FOUND_CLOSED, *_PARKED, *_FAILED, is_held=True),
)
"""Every edge there is; what is not here cannot happen."""

NOT_BEGUN = frozenset(edge.from_state for edge in EDGES if edge.step is Step.CANCELLED)
"""The states in which nothing of an intent has begun, so that a word of a person's cancels it (3)."""


def transition(place: Place | None, event: Event) -> Place | Refusal:
    """Return where an intent is after an event, or why the event may not happen; `None` is not yet there."""
    if place is not None and event.version != place.version:
        # Before the edge: who looked at another version is told to look again, not that it cannot be.
        return Refusal(
            STALE_VERSION,
            f"{event.step}: expected version {event.version}, found {place.version} ({_named(place)})",
        )
    edge = edge_for(place, event)
    if edge is None:
        return Refusal(ILLEGAL_TRANSITION, f"{_named(place)} has no edge {event.step} to {event.to}")
    if place is None:
        return Place(
            state=edge.to_state,
            stage=edge.to_stage,
            version=1,
            epoch=0,
            generation=0,
            quantity=event.quantity,
            filled_quantity=0,
        )
    if edge.is_held and event.epoch != place.epoch:
        return Refusal(
            STALE_EPOCH, f"{event.step}: expected epoch {event.epoch}, found {place.epoch}: taken over since"
        )
    filled = place.filled_quantity
    if event.step is Step.FILLED:
        if event.quantity <= 0 or filled + event.quantity > place.quantity:
            return Refusal(
                OVERFILLED, f"fill of {event.quantity}: {filled} of {place.quantity} are filled already"
            )
        filled += event.quantity
    if not edge.to_state.is_open and (filled > 0) != (edge.to_state is IntentState.EXECUTED):
        return Refusal(
            HIDDEN_EXPOSURE,
            f"{event.step} to {event.to} with {filled} filled: what was filled must show as executed",
        )
    return Place(
        state=edge.to_state,
        stage=edge.to_stage,
        version=place.version + 1,
        epoch=place.epoch + (1 if event.step in {Step.CLAIMED, Step.TAKEN_OVER} else 0),
        generation=place.generation + (1 if event.step is Step.REPLACED else 0),
        quantity=place.quantity,
        filled_quantity=filled,
    )


def edge_for(place: Place | None, event: Event) -> Edge | None:
    """Return the edge an event would take from a place, or `None` where there is none."""
    state, stage = (None, Stage.NONE) if place is None else (place.state, place.stage)
    for edge in EDGES:
        if (edge.step, edge.from_state, edge.from_stage, edge.to_state) == (
            event.step,
            state,
            stage,
            event.to,
        ):
            return edge
    return None


def fold(events: Iterable[Event]) -> Place | None:
    """Return where an intent is after its stored events; raises `ValueError` where they do not follow."""
    place: Place | None = None
    for event in events:
        after = transition(place, event)
        if isinstance(after, Refusal):
            raise ValueError(  # noqa: TRY004 - the events are wrong, not a type
                f"stored event {event.step} does not follow: {after.message}"
            )
        place = after
    return place


def _named(place: Place | None) -> str:
    if place is None:
        return "a new intent"
    return f"{place.state}/{place.stage}" if place.stage else place.state.value
