"""The life of an intent against its table, written here a second time, and by random walks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.lifecycle import (
    EDGES,
    HIDDEN_EXPOSURE,
    ILLEGAL_TRANSITION,
    OVERFILLED,
    STALE_EPOCH,
    STALE_VERSION,
    Event,
    IntentState,
    Place,
    Refusal,
    Stage,
    Step,
    fold,
    transition,
)

S = IntentState
TERMINAL = [S.REJECTED, S.EXECUTED, S.FAILED, S.EXPIRED, S.CANCELLED]
PLACES = [
    None,
    (S.PENDING_APPROVAL, Stage.NONE),
    (S.APPROVED, Stage.NONE),
    (S.EXECUTING, Stage.CLAIMED),
    (S.EXECUTING, Stage.PREPARED),
    (S.EXECUTING, Stage.WORKING),
    (S.UNKNOWN, Stage.NONE),
    (S.UNKNOWN, Stage.PARKED),
    *((state, Stage.NONE) for state in TERMINAL),
]

# from, what happens, to: as the protocol's table has it, row by row.
TABLE = """
1  new registered pending_approval approved rejected
2  pending_approval endorsed pending_approval
2  pending_approval approved approved
2  pending_approval rejected rejected
2  pending_approval expired expired
3  pending_approval cancelled cancelled
3  approved cancelled cancelled
3  approved expired expired
4  approved claimed claimed
5  claimed released approved
6  claimed refused_at_claim rejected expired
7  claimed prepared prepared
8  prepared acknowledged working
9  prepared refused_by_broker failed executed
10 prepared outcome_unknown unknown
10 working outcome_unknown unknown
10 prepared taken_over unknown
10 working taken_over unknown
11 unknown found working
11 parked found working
12 unknown prepared_again prepared
13 unknown parked parked
14 unknown proven_absent failed expired executed
14 parked proven_absent failed expired executed
15 working closed executed cancelled expired failed
16 working filled working
17 working cancel_asked working
18 working replaced prepared
19 unknown found_closed executed cancelled expired failed
19 parked found_closed executed cancelled expired failed
"""


def name_of(state: IntentState, stage: Stage) -> str:
    return stage.value or state.value


def allowed() -> dict[tuple[str, str, str], int]:
    edges = {}
    for line in TABLE.strip().splitlines():
        row, start, step, *targets = line.split()
        for target in targets:
            edges[start, step, target] = int(row)
    return edges


def at(place: tuple[IntentState, Stage], *, filled: int = 0, version: int = 3, epoch: int = 2) -> Place:
    return Place(
        state=place[0],
        stage=place[1],
        version=version,
        epoch=epoch,
        generation=0,
        quantity=10,
        filled_quantity=filled,
    )


def test_the_edges_are_those_of_the_protocols_table_and_no_others():
    edges = {
        (
            "new" if edge.from_state is None else name_of(edge.from_state, edge.from_stage),
            edge.step.value,
            name_of(edge.to_state, edge.to_stage),
        ): edge.row
        for edge in EDGES
    }

    assert edges == allowed()
    assert len(EDGES) == len(edges)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_each_place_lets_happen_what_the_table_says_and_refuses_the_rest(place):
    table = allowed()
    start = "new" if place is None else name_of(*place)
    for step, to in itertools.product(Step, IntentState):
        # Ends that need something filled are asked with something filled, the others with nothing.
        filled = 4 if to is S.EXECUTED else 0
        event = Event(step, to, version=3, epoch=2, quantity=1)
        after = transition(None if place is None else at(place, filled=filled), event)
        targets = [target for begin, deed, target in table if (begin, deed) == (start, step.value)]
        fitting = [
            target
            for target in targets
            if target == to.value
            or (to is S.EXECUTING and target in {"claimed", "prepared", "working"})
            or (to is S.UNKNOWN and target == "parked")
        ]
        if fitting:
            assert isinstance(after, Place), (step, to, after)
            assert name_of(after.state, after.stage) == fitting[0]
        else:
            assert isinstance(after, Refusal)
            assert after.code == ILLEGAL_TRANSITION


def test_a_registered_intent_begins_at_version_one_with_its_quantity():
    after = transition(None, Event(Step.REGISTERED, S.APPROVED, version=0, epoch=0, quantity=7))

    assert after == Place(S.APPROVED, Stage.NONE, 1, 0, 0, 7, 0)


def test_every_event_moves_the_version_by_one():
    for place in PLACES[1:]:
        for step, to in itertools.product(Step, IntentState):
            after = transition(at(place), Event(step, to, version=3, epoch=2, quantity=1))
            assert isinstance(after, Refusal) or after.version == 4


@pytest.mark.parametrize("version", [0, 2, 4])
def test_an_event_on_another_version_is_stale(version):
    after = transition(at((S.APPROVED, Stage.NONE)), Event(Step.CLAIMED, S.EXECUTING, version, 2))

    assert isinstance(after, Refusal)
    assert after.code == STALE_VERSION


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_holder_that_was_taken_over_writes_nothing(epoch):
    after = transition(at((S.EXECUTING, Stage.PREPARED)), Event(Step.ACKNOWLEDGED, S.EXECUTING, 3, epoch))

    assert isinstance(after, Refusal)
    assert after.code == STALE_EPOCH


def test_edges_before_a_claim_do_not_ask_for_an_epoch():
    after = transition(at((S.APPROVED, Stage.NONE)), Event(Step.CANCELLED, S.CANCELLED, 3, 99))

    assert isinstance(after, Place)


@pytest.mark.parametrize(("step", "raised"), [(Step.CLAIMED, 1), (Step.TAKEN_OVER, 1), (Step.FOUND, 0)])
def test_only_a_claim_and_a_takeover_raise_the_epoch(step, raised):
    start = {
        Step.CLAIMED: (S.APPROVED, Stage.NONE),
        Step.TAKEN_OVER: (S.EXECUTING, Stage.PREPARED),
        Step.FOUND: (S.UNKNOWN, Stage.NONE),
    }[step]
    to = S.UNKNOWN if step is Step.TAKEN_OVER else S.EXECUTING
    after = transition(at(start), Event(step, to, 3, 2))

    assert isinstance(after, Place)
    assert after.epoch == 2 + raised


def test_only_a_replacement_raises_the_generation():
    working = at((S.EXECUTING, Stage.WORKING))

    replaced = transition(working, Event(Step.REPLACED, S.EXECUTING, 3, 2))
    asked = transition(working, Event(Step.CANCEL_ASKED, S.EXECUTING, 3, 2))

    assert isinstance(replaced, Place)
    assert isinstance(asked, Place)
    assert (replaced.generation, asked.generation) == (1, 0)


@pytest.mark.parametrize("quantity", [-1, 0, 7])
def test_a_fill_of_nothing_or_of_more_than_is_left_is_refused(quantity):
    after = transition(
        at((S.EXECUTING, Stage.WORKING), filled=4), Event(Step.FILLED, S.EXECUTING, 3, 2, quantity)
    )

    assert isinstance(after, Refusal)
    assert after.code == OVERFILLED


@pytest.mark.parametrize("quantity", [1, 6])
def test_a_fill_adds_up_to_the_quantity(quantity):
    after = transition(
        at((S.EXECUTING, Stage.WORKING), filled=4), Event(Step.FILLED, S.EXECUTING, 3, 2, quantity)
    )

    assert isinstance(after, Place)
    assert after.filled_quantity == 4 + quantity


@pytest.mark.parametrize("to", [S.CANCELLED, S.EXPIRED, S.FAILED])
def test_what_was_filled_never_hides_in_an_end_that_says_nothing_happened(to):
    working = (S.EXECUTING, Stage.WORKING)
    filled = transition(at(working, filled=1), Event(Step.CLOSED, to, 3, 2))
    unfilled = transition(at(working), Event(Step.CLOSED, S.EXECUTED, 3, 2))

    assert isinstance(filled, Refusal)
    assert isinstance(unfilled, Refusal)
    assert filled.code == unfilled.code == HIDDEN_EXPOSURE


def test_a_refusal_says_what_was_expected_and_found():
    refused = transition(at((S.REJECTED, Stage.NONE)), Event(Step.CLAIMED, S.EXECUTING, 3, 2))
    stale = transition(at((S.APPROVED, Stage.NONE)), Event(Step.CLAIMED, S.EXECUTING, 1, 2))

    assert refused == Refusal(ILLEGAL_TRANSITION, "rejected has no edge claimed to executing")
    assert stale == Refusal(STALE_VERSION, "claimed: expected version 1, found 3 (approved)")


def test_stored_events_that_do_not_follow_are_an_error():
    with pytest.raises(ValueError, match="filled does not follow"):
        fold([Event(Step.REGISTERED, S.APPROVED, 0, 0, 5), Event(Step.FILLED, S.EXECUTING, 1, 0, 5)])


def test_no_events_are_no_place():
    assert fold([]) is None


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(Step), st.sampled_from(IntentState), st.integers(1, 9)), max_size=60
    )
)
def test_a_random_walk_only_goes_forward_and_folds_to_where_it_is(steps):
    first = Event(Step.REGISTERED, S.APPROVED, 0, 0, 10)
    place = transition(None, first)
    assert isinstance(place, Place)
    taken = [first]
    for step, to, quantity in steps:
        event = Event(step, to, place.version, place.epoch, quantity if step is Step.FILLED else 0)
        after = transition(place, event)
        if isinstance(after, Refusal):
            continue
        taken.append(event)
        assert place.state.is_open
        assert after.version == place.version + 1
        assert after.epoch >= place.epoch
        assert after.generation >= place.generation
        assert place.filled_quantity <= after.filled_quantity <= after.quantity == place.quantity
        assert (after.state is S.EXECUTED) == (not after.state.is_open and after.filled_quantity > 0)
        place = after

    assert fold(taken) == place


@given(data=st.data())
def test_a_walk_along_the_edges_ends_in_a_terminal_state_and_stays_there(data):
    place = transition(None, Event(Step.REGISTERED, S.PENDING_APPROVAL, 0, 0, 3))
    taken = [Event(Step.REGISTERED, S.PENDING_APPROVAL, 0, 0, 3)]
    assert isinstance(place, Place)
    for _ in range(40):
        here = place
        ways = [
            event
            for edge in EDGES
            for event in [Event(edge.step, edge.to_state, here.version, here.epoch, 1)]
            if (edge.from_state, edge.from_stage) == (here.state, here.stage)
            and isinstance(transition(here, event), Place)
        ]
        assert bool(ways) == here.state.is_open
        if not ways:
            break
        chosen = data.draw(st.sampled_from(ways))
        after = transition(here, chosen)
        assert isinstance(after, Place)
        taken.append(chosen)
        place = after

    assert fold(taken) == place


@pytest.mark.parametrize(
    ("place", "event", "message"),
    [
        (None, Event(Step.CLAIMED, S.EXECUTING, 0, 0), "a new intent has no edge claimed to executing"),
        (
            at((S.EXECUTING, Stage.PREPARED)),
            Event(Step.CLAIMED, S.EXECUTING, 3, 2),
            "executing/prepared has no edge claimed to executing",
        ),
        (
            at((S.EXECUTED, Stage.NONE)),
            Event(Step.CLAIMED, S.EXECUTING, 3, 2),
            "executed has no edge claimed to executing",
        ),
        (
            at((S.APPROVED, Stage.NONE)),
            Event(Step.CLAIMED, S.EXECUTING, 2, 2),
            "claimed: expected version 2, found 3 (approved)",
        ),
        (
            at((S.EXECUTING, Stage.PREPARED)),
            Event(Step.ACKNOWLEDGED, S.EXECUTING, 3, 1),
            "acknowledged: expected epoch 1, found 2: taken over since",
        ),
        (
            at((S.EXECUTING, Stage.WORKING)),
            Event(Step.FILLED, S.EXECUTING, 3, 2, 11),
            "fill of 11: 0 of 10 are filled already",
        ),
        (
            at((S.EXECUTING, Stage.WORKING)),
            Event(Step.CLOSED, S.EXECUTED, 3, 2),
            "closed to executed with 0 filled: what was filled must show as executed",
        ),
    ],
)
def test_each_refusal_names_the_place_the_event_and_what_was_found(place, event, message):
    after = transition(place, event)

    assert isinstance(after, Refusal)
    assert after.message == message
