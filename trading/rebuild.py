"""The journal's state out of its events alone: every row of every table as it was after the last of them.

The events are those of the journal, or the verified lines of its audit log (`audit.event_of_line`): a copy
of the log gives back what a lost journal held. Here is the second telling of what each event means, on
purpose apart from the store, which is the first; a test holds the two equal row for row. Not here: whether
the log can be believed (audit.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from trading.advice_ladder import KINDS as LADDER_KINDS
from trading.alert_log import KINDS as ALERT_KINDS
from trading.approvals import StageVerdict
from trading.audit import instant_text
from trading.errors import BadInput
from trading.evidence_ledger import rows_of_filing
from trading.incident_log import WORDS as INCIDENT_WORDS
from trading.journal import PREPARED, STAGE_RAN, JournalEvent
from trading.lifecycle import Event, IntentState, Place, Refusal, Step, transition
from trading.orders import OrderStatus
from trading.signal_continuity import WINDOW as SIGNAL_WINDOW
from trading.values import canonical_json

Value = str | int | None
"""What one column of one row holds in the journal's database."""

Row = dict[str, Value]
"""One row by column name."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "approval_stages": ("intent_id", "place"),
    "approvals": ("nonce",),
    "book_sessions": ("book", "lane", "session"),
    "breakers": ("name",),
    "busts": ("execution_id",),
    "cooldowns": ("account", "lane"),
    "deliveries": ("outbox_id", "attempt"),
    "endorsements": ("nonce",),
    "evidence": ("seq",),
    "executors": ("account", "lane"),
    "fills": ("execution_id",),
    "flatten_commands": ("command_id",),
    "halts": ("account", "symbol"),
    "incidents": ("incident_id",),
    "intents": ("intent_id",),
    "modes": ("name",),
    "orders": ("client_order_id",),
    "outbox": ("outbox_id",),
    "quote_releases": ("row_id",),
    "reservations": ("client_order_id",),
    "run_control": ("scope",),
    "verdicts": ("intent_id", "place"),
    "watch_list": ("client_order_id",),
}
"""The tables of the journal that its events tell of, each with its primary key.

`outbound_calls` and `advisor_calls` are not among them: a row there is a measurement, from which no order is
decided.
"""

_VERDICT_COLUMNS = (
    "guard", "passed", "reason", "observed", "limit_value", "largest_quantity", "limits_sha",
)  # fmt: skip

_BREAKER_COLUMNS = ("name", "state", "failures", "trials", "until", "holder", "word", "version")

_UNROUTED: Mapping[str, Value] = {
    "expected_adapter": "",
    "actual_adapter": "",
    "fallback_count": 0,
    "fallback_reason": "",
}
"""What stands of an order that was prepared before its route was told."""

_STEPS = {step.value: step for step in Step}

_STAGE_COLUMNS = (
    "stage", "verdict", "policy", "detail", "actor", "approvers", "expires_at", "at",
)  # fmt: skip

_ANSWERED_AS = {
    Step.ENDORSED: StageVerdict.ENDORSED,
    Step.APPROVED: StageVerdict.PASSED,
    Step.REJECTED: StageVerdict.FAILED,
}

_WITHOUT_ROWS = frozenset(
    {
        *("answer_refused", "conflict", "retried", SIGNAL_WINDOW, STAGE_RAN),
        *(*INCIDENT_WORDS, *ALERT_KINDS, *LADDER_KINDS),
    }
)
"""Events that are history and nothing else."""


def rebuild(events: Iterable[JournalEvent]) -> dict[str, list[Row]]:
    """Return the rows of each table of the journal but `events`, in the order of their primary keys.

    Raises as `rebuilt` does.
    """
    tables: dict[str, list[Row]] = {table: [] for table in KEYS}
    for table, row in rebuilt(events):
        tables[table].append(row)
    return {table: sorted(rows, key=itemgetter(*KEYS[table])) for table, rows in tables.items()}


def rebuilt(events: Iterable[JournalEvent]) -> Iterator[tuple[str, Row]]:
    """Yield each row with its table once no later event can change it, the others after the last event.

    The events are all there are, from the first. Holds what is open only, so that a journal of any length
    can be gone through. Raises `BadInput` where one does not follow from those before, lacks something that
    its rows need, or is of a kind that this version does not know.
    """
    state = _State()
    for event in events:
        try:
            state.take(event)
        except KeyError as error:
            raise BadInput(f"event {event.seq} ({event.kind}): {error} is not there") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"event {event.seq} ({event.kind}): {error}") from error
        yield from state.done
        state.done.clear()
    yield from state.left()


class _State:
    """Hold rows by primary key while events are told; `done` are those that no later event changes."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Row]] = []
        self.counted: Counter[str] = Counter()
        self.places: dict[str, Place] = {}
        self.intents: dict[str, Row] = {}
        self.orders: dict[str, Row] = {}
        self.order_ids: dict[tuple[str, int], str] = {}
        self.reservations: dict[str, Row] = {}
        self.book_sessions: dict[tuple[str, str, str], Row] = {}
        self.executors: dict[tuple[str, str], Row] = {}
        self.halts: dict[tuple[str, str], Row] = {}
        self.run_control: dict[str, Row] = {}
        self.modes: dict[str, Row] = {}
        self.breakers: dict[str, Row] = {}
        self.cooldowns: dict[tuple[str, str], Row] = {}
        self.flatten_commands: dict[str, Row] = {}
        self.stages: Counter[str] = Counter()
        self.outbox: dict[int, Row] = {}

    def left(self) -> Iterator[tuple[str, Row]]:
        """Yield the rows that a later event could have changed."""
        held: dict[str, Mapping[Any, Row]] = {
            "book_sessions": self.book_sessions,
            "breakers": self.breakers,
            "cooldowns": self.cooldowns,
            "executors": self.executors,
            "flatten_commands": self.flatten_commands,
            "halts": self.halts,
            "intents": self.intents,
            "modes": self.modes,
            "orders": self.orders,
            "outbox": self.outbox,
            "reservations": self.reservations,
            "run_control": self.run_control,
        }
        for table, rows in held.items():
            for row in rows.values():
                yield table, row

    def add(self, table: str, row: Row) -> None:
        """Put in a row that nothing changes any more."""
        self.counted[table] += 1
        self.done.append((table, row))

    def take(self, event: JournalEvent) -> None:
        """Do to the rows what one event tells."""
        at = instant_text(event.at)
        if event.kind in _STEPS:
            self._take_step(event, at)
            return
        match event.kind:
            case "book_opened" | "stage_refused" | "stage_passed" | "decided" | "settled":
                self._take_session(event, at)
            case "absent_at_broker":
                order = self.orders[event.body["client_order_id"]]
                order["absences"] = event.body["absences"]
                order["first_absent_at"] = min(order["first_absent_at"] or at, at)
            case "present_at_broker":
                order = self.orders[event.body["client_order_id"]]
                order |= {
                    "broker_order_id": event.body["broker_order_id"],
                    "absences": 0,
                    "first_absent_at": None,
                }
            case "bust":
                bust: Row = {
                    "execution_id": event.body["execution_id"],
                    "takes_back": event.body["takes_back"],
                    "intent_id": event.intent_id,
                    "at": at,
                }
                self.add("busts", bust)
                if "reserved_micros" in event.body:
                    self.reservations[event.body["client_order_id"]] |= {
                        "quantity_left": event.body["reserved_quantity"],
                        "micros_left": event.body["reserved_micros"],
                    }
            case "executor_began":
                account = event.body["account"]
                self.executors[account, event.lane] = {
                    "account": account,
                    "lane": event.lane,
                    "term": event.body["term"],
                    "holder": event.actor,
                    "began_at": at,
                    "reconciled_at": None,
                }
            case "reconciled":
                self.executors[event.body["account"], event.lane]["reconciled_at"] = at
            case "halted" | "halt_lifted":
                account, symbol = event.body["account"], event.body["symbol"]
                self.halts[account, symbol] = {
                    "account": account,
                    "symbol": symbol,
                    "is_on": int(event.kind == "halted"),
                    "actor": event.actor,
                    "reason": event.reason,
                    "changed_at": at,
                }
            case "incident":
                incident: Row = {
                    "incident_id": self.counted["incidents"] + 1,
                    "kind": event.body["incident"],
                    "account": event.body["account"],
                    "intent_id": event.intent_id,
                    "detail": event.reason,
                    "at": at,
                }
                self.add("incidents", incident)
            case "run_control":
                self.run_control["all"] = {
                    "scope": "all",
                    "kill_switch_on": int(event.body["after"]["kill_switch_on"]),
                    "paused": int(event.body["after"]["paused"]),
                    "actor": event.actor,
                    "reason": event.reason,
                    "changed_at": at,
                }
            case "mode_set":
                self.modes[event.body["mode"]] = {
                    "name": event.body["mode"],
                    "value": event.body["after"],
                    "actor": event.actor,
                    "reason": event.reason,
                    "changed_at": at,
                }
            case "cooldown_began" | "cooldown_ended":
                self.cooldowns[event.body["account"], event.lane] = {
                    "lane": event.lane,
                    **{name: event.body[name] for name in ("account", "failures", "began_at", "until")},
                    "actor": event.actor,
                    "reason": event.reason,
                    "changed_seq": event.seq,
                }
            case "breaker_changed":
                self.breakers[event.body["name"]] = {
                    **{name: event.body[name] for name in _BREAKER_COLUMNS},
                    "actor": event.actor,
                    "reason": event.reason,
                    "changed_at": at,
                }
            case "flatten_previewed":
                self.flatten_commands[event.body["command_id"]] = {
                    **{name: event.body[name] for name in ("command_id", "account", "plan")},
                    "book": event.book,
                    "lane": event.lane,
                    "session": event.session,
                    "previewed_by": event.actor,
                    "previewed_at": at,
                    "ordered_by": "",
                    "reason": "",
                    "ordered_at": None,
                }
            case "flatten_ordered":
                self.flatten_commands[event.body["command_id"]] |= {
                    "ordered_by": event.actor,
                    "reason": event.reason,
                    "ordered_at": at,
                }
            case "quote_released":
                release: Row = {
                    "row_id": event.body["row_id"],
                    "seq": self.counted["quote_releases"] + 1,
                    "actor": event.actor,
                    "reason": event.reason,
                    "released_at": at,
                }
                self.add("quote_releases", release)
            case "evidence_filed":
                for filed in rows_of_filing(
                    event.body["rows"], prev_hash=event.body["after"], actor=event.actor, at=at
                ):
                    self.add("evidence", dict(filed._asdict()))
            case "message_queued" | "messages_leased" | "message_tried":
                self._take_message(event, at)
            case _:
                if event.kind not in _WITHOUT_ROWS:
                    raise ValueError("a kind that this version does not know")

    # ---------------------------------------------------------------------------- sessions, messages

    def _take_session(self, event: JournalEvent, at: str) -> None:
        of = (event.book, event.lane, event.session)
        row = self.book_sessions.setdefault(
            of,
            {
                "book": event.book,
                "lane": event.lane,
                "session": event.session,
                "opening": None,
                "opening_sha": "",
                "decided_at": None,
                "decisions_sha": "",
                "settled_at": None,
                "carried_by": "",
                "closing": None,
                "closing_sha": "",
                "refused_stage": "",
                "refused_reason": "",
            },
        )
        body = event.body
        match event.kind:
            case "book_opened":
                row["opening"], row["opening_sha"] = canonical_json(body["opening"]), body["opening_sha"]
            case "stage_refused":
                row["refused_stage"], row["refused_reason"] = body["stage"], event.reason
            case "decided":
                row["decided_at"], row["decisions_sha"] = at, body["decisions_sha"]
            case "settled":
                row["settled_at"], row["carried_by"] = at, event.actor
                row["closing"], row["closing_sha"] = canonical_json(body["closing"]), body["closing_sha"]
            case _:
                # Passed: it takes back what was refused, as below.
                pass
        if event.kind in {"stage_passed", "decided", "settled"}:
            row["refused_stage"] = row["refused_reason"] = ""

    def _take_message(self, event: JournalEvent, at: str) -> None:
        body = event.body
        match event.kind:
            case "message_queued":
                self.outbox[body["outbox_id"]] = {
                    **{name: body[name] for name in ("outbox_id", "dedup_key", "channel", "severity")},
                    **{name: body[name] for name in ("subject", "body")},
                    "status": "waiting",
                    "attempts": 0,
                    "created_at": at,
                    "due_at": at,
                }
            case "messages_leased":
                for outbox_id in body["outbox_ids"]:
                    row = self.outbox[outbox_id]
                    row |= {"attempts": int(row["attempts"] or 0) + 1, "due_at": body["due_at"]}
            case _:
                self.outbox[body["outbox_id"]] |= {"status": body["status"], "due_at": body["due_at"]}
                delivery: Row = {
                    "outbox_id": body["outbox_id"],
                    "attempt": body["attempt"],
                    "is_delivered": int(body["status"] == "delivered"),
                    "reason": event.reason,
                    "at": at,
                }
                self.add("deliveries", delivery)

    # ---------------------------------------------------------------------------- an intent and its order

    def _take_step(self, event: JournalEvent, at: str) -> None:
        step, body = Step(event.kind), event.body
        place = transition(
            self.places.get(event.intent_id),
            Event(step, IntentState(body["to"]), body["version"], body["epoch"], body["quantity"]),
        )
        if isinstance(place, Refusal):
            raise ValueError(place.message)  # noqa: TRY004 - the event is wrong, not a type
        self.places[event.intent_id] = place
        if step is Step.REGISTERED:
            self._register(event, at)
        row = self.intents[event.intent_id]
        row |= {
            "state": place.state.value,
            "stage": place.stage.value,
            "version": place.version,
            "epoch": place.epoch,
            "generation": place.generation,
            "filled_quantity": place.filled_quantity,
            "reason": event.reason or row["reason"],
            "actor": event.actor or row["actor"],
            "changed_at": at,
        }
        match step:
            case Step.ENDORSED | Step.APPROVED | Step.REJECTED:
                self._answer(step, event, at)
            case Step.PREPARED:
                self._prepare(event, place, at)
            case Step.REPLACED:
                self._end_replaced(event)
                self._prepare(event, place, at)
            case Step.FILLED:
                self._fill(event)
            case _ if (order_id := self.order_ids.get((event.intent_id, place.generation))) is not None:
                self._tell_order(step, event, self.orders[order_id], at)
            case _:
                # Never prepared: the intent is all there is.
                pass
        if not place.state.is_open:
            self._end(event.intent_id, place)

    def _end(self, intent_id: str, place: Place) -> None:
        """Let go of an intent's rows: nothing changes them once it has ended."""
        self.stages.pop(intent_id, None)
        self.add("intents", self.intents.pop(intent_id))
        for generation in range(place.generation + 1):
            order_id = self.order_ids.pop((intent_id, generation), None)
            if order_id is not None:
                self.add("orders", self.orders.pop(order_id))
                self.add("reservations", self.reservations.pop(order_id))

    def _register(self, event: JournalEvent, at: str) -> None:
        body, payload = event.body, event.body["payload"]
        self.intents[event.intent_id] = {
            "intent_id": event.intent_id,
            "lane": event.lane,
            "book": event.book,
            "session": event.session,
            **{name: payload[name] for name in ("symbol", "side", "slot")},
            "payload": canonical_json(payload),
            **{name: body[name] for name in ("account", "payload_hash", "quantity", "unadvised_quantity")},
            **{name: body[name] for name in ("not_after", "verdicts_sha", "limits_sha", "inputs_sha")},
            "reason": "",
            "actor": event.actor,
            "changed_at": at,
        }
        for number, verdict in enumerate(body["verdicts"]):
            told = dict(zip(_VERDICT_COLUMNS, verdict, strict=True))
            self.add("verdicts", {"intent_id": event.intent_id, "place": number, **told})
        for told_stage in body.get("chain", ()):
            self._add_stage(event.intent_id, told_stage)

    def _answer(self, step: Step, event: JournalEvent, at: str) -> None:
        answer: Row = {
            "nonce": event.body["nonce"],
            "intent_id": event.intent_id,
            "actor": event.actor,
            "reason": event.reason,
            "payload_hash": event.body["payload_hash"],
            "version": event.body["version"],
            "at": at,
        }
        if step is Step.ENDORSED:
            self.add("endorsements", answer)
        else:
            self.add("approvals", {**answer, "answer": event.kind})
        if "stage_place" not in event.body:
            # Answered before an intent had a chain of stages.
            return
        not_after = self.intents[event.intent_id]["not_after"]
        self._add_stage(
            event.intent_id,
            ("person", _ANSWERED_AS[step].value, event.actor, event.reason, event.actor, 0, not_after, at),
        )

    def _add_stage(self, intent_id: str, told: Iterable[Value]) -> None:
        row: Row = {"intent_id": intent_id, "place": self.stages[intent_id]}
        self.add("approval_stages", row | dict(zip(_STAGE_COLUMNS, told, strict=True)))
        self.stages[intent_id] += 1

    def _prepare(self, event: JournalEvent, place: Place, at: str) -> None:
        body, request = event.body, event.body["request"]
        order_id = request["client_order_id"]
        of = {"intent_id": event.intent_id, "book": event.book, "lane": event.lane}
        self.order_ids[event.intent_id, place.generation] = order_id
        self.orders[order_id] = {
            "client_order_id": order_id,
            **of,
            "generation": place.generation,
            "account": request["account"],
            "session": event.session,
            "is_live": int(body["is_live"]),
            "request": canonical_json(request),
            "request_sha": body["request_sha"],
            "quantity": request["quantity"],
            "filled_quantity": 0,
            "status": PREPARED,
            "broker_order_id": "",
            "attempts": body["attempt"],
            "absences": 0,
            "first_absent_at": None,
            "cancel_asked_at": None,
            "cancel_kind": "",
            "prepared_at": at,
            "send_by": body["send_by"],
            "reason": "",
            **{name: body.get("route", _UNROUTED)[name] for name in _UNROUTED},
        }
        self.reservations[order_id] = {
            "client_order_id": order_id,
            **of,
            "symbol": request["symbol"],
            "side": request["side"],
            "quantity_left": request["quantity"],
            "micros_left": body["reserved_micros"],
        }

    def _end_replaced(self, event: JournalEvent) -> None:
        """End the order of the generation before: the broker had cancelled it."""
        body = event.body
        self.orders[body["replaces"]] |= {
            "status": body["status"],
            "broker_order_id": body["broker_order_id"],
            "reason": body["ending"],
        }
        self.reservations[body["replaces"]] |= {"quantity_left": 0, "micros_left": 0}

    def _fill(self, event: JournalEvent) -> None:
        body = event.body
        order_id = body["client_order_id"]
        order, reservation = self.orders[order_id], self.reservations[order_id]
        fill: Row = {
            "execution_id": body["execution_id"],
            "seq": self.counted["fills"] + 1,
            "client_order_id": order_id,
            "intent_id": event.intent_id,
            "book": event.book,
            "lane": event.lane,
            "session": event.session,
            "symbol": reservation["symbol"],
            "side": reservation["side"],
            "quantity": body["quantity"],
            "price_micros": body["price_micros"],
            "commission_micros": body["commission_micros"],
            "filled_at": body["filled_at"],
        }
        self.add("fills", fill)
        filled = int(order["filled_quantity"] or 0) + body["quantity"]
        status = OrderStatus.FILLED if filled == order["quantity"] else OrderStatus.PARTIAL_FILL
        order |= {"filled_quantity": filled, "status": status.value}
        # The money promised shrinks with the shares still open, rounded up.
        shares, micros = int(reservation["quantity_left"] or 0), int(reservation["micros_left"] or 0)
        left = shares - int(body["quantity"])
        reservation |= {"quantity_left": left, "micros_left": -(-micros * left // shares) if shares else 0}

    def _tell_order(self, step: Step, event: JournalEvent, order: Row, at: str) -> None:
        """Do to an order what a step of its intent says; one that is filled stays filled."""
        body = event.body
        is_filled = order["status"] == OrderStatus.FILLED
        match step:
            case Step.ACKNOWLEDGED | Step.FOUND if not is_filled:
                status = OrderStatus.PARTIAL_FILL if order["filled_quantity"] else OrderStatus.WORKING
                order |= {"status": status.value, "broker_order_id": body["broker_order_id"], "reason": ""}
            case Step.OUTCOME_UNKNOWN | Step.TAKEN_OVER if not is_filled:
                order |= {"status": OrderStatus.UNKNOWN.value, "reason": event.reason}
            case Step.PREPARED_AGAIN:
                order |= {"status": PREPARED, "attempts": body["attempt"], "send_by": body["send_by"]}
                order |= {"absences": 0, "first_absent_at": None}
                if "reserved_micros" in body:
                    reservation = self.reservations[str(order["client_order_id"])]
                    reservation["micros_left"] = body["reserved_micros"]
            case Step.CANCEL_ASKED:
                order |= {"cancel_asked_at": at, "cancel_kind": body["kind"]}
            case Step.REFUSED_BY_BROKER:
                order |= {"status": OrderStatus.REJECTED.value, "reason": event.reason}
            case Step.PROVEN_ABSENT:
                if not is_filled:
                    order |= {"status": OrderStatus.REJECTED.value, "reason": "proven_absent"}
                watched: Row = {
                    "client_order_id": body["client_order_id"],
                    "account": order["account"],
                    "session": event.session,
                    "reason": event.reason,
                    "at": at,
                }
                self.add("watch_list", watched)
            case Step.CLOSED | Step.FOUND_CLOSED if not is_filled:
                order |= {"status": body["status"], "reason": event.reason}
                order["broker_order_id"] = body["broker_order_id"]
            case _:
                # Parked, or filled before: nothing of the order changes.
                pass
        if step in {Step.REFUSED_BY_BROKER, Step.PROVEN_ABSENT, Step.CLOSED, Step.FOUND_CLOSED}:
            self.reservations[str(order["client_order_id"])] |= {"quantity_left": 0, "micros_left": 0}
