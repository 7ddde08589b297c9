"""Carry messages from the journal's outbox to people: a stream, a webhook, Slack, e-mail, through Apprise.

A message is leased, sent, then marked: whoever dies in between, it is sent again (at least once) when the
lease ends. Which message is held, retried or given up is decided in trading/alerts.py.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol, TextIO

from resources.logs import log_of
from resources.setting_names import address_variable
from trading.alert_log import text_of_body
from trading.alerts import (
    Attempt,
    DeliveryPolicy,
    Outbox,
    Reason,
    Severity,
    attempted,
    held_until,
    retry_at,
)
from trading.errors import BadSetting, StaleVersion, TradingError
from trading.journal import Delivery, OutboxMessage

APPRISE_TYPES = {Severity.WARNING.value: "warning", Severity.CRITICAL.value: "failure"}
"""What Apprise calls a severity; each service shows it in its own way."""

LEASED_AT_ONCE = 10
"""Few, so that the last one is sent well within its lease."""


class Notified(NamedTuple):
    """Hold what became of one message in this round; `retry_at` is `None` where it is finished."""

    outbox_id: int
    channel: str
    subject: str
    reason: Reason
    retry_at: datetime | None


class Channel(Protocol):
    """Be one way to reach people."""

    def unready_reason(self) -> Reason | None:
        """Return why nothing can be sent here at all, or `None`."""
        ...

    def send(self, message: OutboxMessage) -> Attempt:
        """Send once, without retries of its own."""
        ...


class Notifier:
    """Deliver what waits in an outbox, each message through the channel it was stored for.

    `dry_run` finishes messages as `dry_run` without sending them.
    """

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, Channel],
        *,
        policy: DeliveryPolicy,
        dry_run: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._policy = policy
        self._dry_run = dry_run
        self._sleep = sleep

    def deliver(self, now: datetime) -> list[Notified]:
        """Send what is due, oldest first, until nothing is left that can be sent now.

        After a send without any reply the channel's other messages wait for the end of their lease: a
        silent host must not hold up a run once for each message. A channel that raises has not sent: what it
        says is logged, and neither the other channels nor the run that tells people end with it.
        """
        history = self._outbox.delivered_since(now - timedelta(seconds=self._policy.rate_limit_window_s))
        silent: set[str] = set()
        notified: list[Notified] = []
        while messages := self._leased(now):
            for message in messages:
                if message.channel in silent:
                    continue
                outcome = self._outcome(message, history, now)
                is_ours = self._mark(message, outcome, now)
                _log(message, outcome, is_ours=is_ours)
                if not is_ours:
                    continue
                notified.append(outcome)
                history.append(_as_delivery(message, outcome, now))
                if outcome.reason is Reason.HTTP_ERROR:
                    silent.add(message.channel)
        return notified

    def _leased(self, now: datetime) -> list[OutboxMessage]:
        """Take what is due. A critical without an address is said so once; an address lets it go."""
        ready = [name for name, channel in self._channels.items() if channel.unready_reason() is None]
        return self._outbox.lease(
            now=now,
            lease_s=self._policy.lease_s,
            limit=LEASED_AT_ONCE,
            ready=ready,
            wait_s_max=self._policy.wait_s_max,
        )

    def _outcome(self, message: OutboxMessage, history: list[Delivery], now: datetime) -> Notified:
        """Send one message, or say why not."""
        channel = self._channels.get(message.channel)
        if channel is None:
            return self._after(message, Reason.PROVIDER_NONE, now)
        if (unready := channel.unready_reason()) is not None:
            return self._after(message, unready, now)
        if self._dry_run:
            return _finished(message, Reason.DRY_RUN)
        held = held_until(message, history, policy=self._policy, now=now)
        if held is not None:
            return _finished(message, Reason.RATE_LIMITED)._replace(retry_at=held)
        try:
            reason = attempted(lambda: channel.send(message), policy=self._policy, sleep=self._sleep)
        except Exception as error:  # noqa: BLE001 - a library's channel may raise anything, and orders go on
            log_of("notifier").error("channel_failed", channel=message.channel, error=_said(error))
            reason = Reason.HTTP_ERROR
        return self._after(message, reason, now)

    def _after(self, message: OutboxMessage, reason: Reason, now: datetime) -> Notified:
        """Say when a message is due again that did not arrive; one that did is finished."""
        earlier = self._outbox.deliveries_of(message.outbox_id) if reason.is_failed_send else ()
        again = retry_at(message, reason, earlier, policy=self._policy, now=now)
        return _finished(message, reason)._replace(retry_at=again)

    def _mark(self, message: OutboxMessage, outcome: Notified, now: datetime) -> bool:
        """Store how it went; returns whether the message was still ours to mark.

        Where our lease ended during the send, another sender has the message: it is told twice, and the
        other one's word on it counts.
        """
        try:
            self._outbox.mark(
                message.outbox_id,
                attempt=message.attempts,
                is_delivered=outcome.reason.is_delivered,
                reason=outcome.reason.value,
                retry_at=outcome.retry_at,
                now=now,
            )
        except StaleVersion:
            return False
        return True


class StdoutChannel:
    """Write each message as one line of JSON to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def unready_reason(self) -> Reason | None:
        """Return nothing: a stream is always there."""
        return None

    def send(self, message: OutboxMessage) -> Attempt:
        """Write and flush the line; a stream that breaks has not taken it."""
        line = json.dumps(
            {
                "outbox_id": message.outbox_id,
                "severity": message.severity,
                "subject": message.subject,
                "body": message.body,
            }
        )
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            return Attempt(arrived=False, status=0)
        return Attempt(arrived=True, status=0)


class WebhookChannel:
    """Send messages to one address: a plain http(s) one as JSON, or any that Apprise knows (slack, mailto …).

    The address is a secret; it stands in no message, log or error. `name` is the channel's in the policy.
    """

    name: ClassVar[str] = "webhook"

    def __init__(self, url: str | None) -> None:
        self._url = url

    def refusal(self) -> str:
        """Return why Apprise does not take the address; empty where it does, or there is none.

        Nothing is sent, and the words hold nothing of the address.
        """
        if not self._url:
            return ""
        try:
            self._opened(self._url)
        except BadSetting as error:
            return str(error)
        return ""

    def unready_reason(self) -> Reason | None:
        """Return `missing_webhook_url` where no address is configured."""
        return None if self._url else Reason.MISSING_WEBHOOK_URL

    def send(self, message: OutboxMessage) -> Attempt:
        """Send once; the status is the one of the reply, 0 where none came."""
        return self._sent(message, title=message.subject, body=message.body)

    def _sent(self, message: OutboxMessage, *, title: str, body: str) -> Attempt:
        with _told_by_apprise() as records:
            arrived = self._target.notify(
                title=title,
                body=body,
                notify_type=APPRISE_TYPES.get(message.severity, "info"),
                body_format="text",
            )
        return Attempt(arrived=bool(arrived), status=_status_in(records))

    def _address(self, url: str) -> str:
        """Return the address in Apprise's words."""
        return _apprise_url(url)

    @cached_property
    def _target(self) -> Any:
        return self._opened(self._url or "")

    def _opened(self, url: str) -> Any:
        """Return Apprise with the address; raises `BadSetting`, which holds nothing of it."""
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - slow: only who has something to send loads it

        target = Apprise(asset=AppriseAsset(app_id="trading-assets", async_mode=False, storage_mode="memory"))
        try:
            with _told_by_apprise():
                is_known = target.add(self._address(url))
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, naming the address
            wrong = f"it fails at it ({type(error).__name__})"
        else:
            if is_known:
                return _without_pauses(target)
            wrong = _mistake_in(url)
        raise BadSetting(
            f"{address_variable(self.name)}: not an address that Apprise knows: {wrong} (its value is a "
            "secret and is not shown); docs/reference/settings.md says how it is written"
        )


class SlackChannel(WebhookChannel):
    """Send messages to a Slack channel's incoming webhook, as the one text that it takes."""

    name = "slack"

    def send(self, message: OutboxMessage) -> Attempt:
        """Send once; the subject is the text's first line."""
        text = f"{message.subject}\n{text_of_body(message.body)}".rstrip()
        return self._sent(message, title="", body=_for_slack(text))

    def _address(self, url: str) -> str:
        mapped = "&".join(("%3Amessage=text", *(f"%3A{name}=" for name in _NOT_SLACKS)))
        return f"{_apprise_url(url)}{'&' if '?' in url else '?'}{mapped}"


class EmailChannel(WebhookChannel):
    """Send messages to a mailbox, as text."""

    name = "email"

    def unready_reason(self) -> Reason | None:
        """Return `provider_none` where no mailbox is configured."""
        return None if self._url else Reason.PROVIDER_NONE

    def send(self, message: OutboxMessage) -> Attempt:
        """Send once; a server that refuses or does not answer has no status here."""
        return self._sent(message, title=message.subject, body=text_of_body(message.body) or message.subject)


ADDRESSED: Mapping[str, type[WebhookChannel]] = {
    kind.name: kind for kind in (WebhookChannel, SlackChannel, EmailChannel)
}
"""The channels that need an address, by name."""

_NOT_SLACKS = ("title", "version", "type", "attachments")
"""What Apprise posts beside the text, and an incoming webhook does not know."""


def _for_slack(text: str) -> str:
    """Return a text as Slack shows it: what a broker or a file says calls no channel and links nowhere.

    Source: docs.slack.dev/messaging/formatting-message-text, "Escaping text": these three characters alone.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _apprise_url(url: str) -> str:
    """Return a plain web address in Apprise's words for "post JSON there"; others as they are."""
    return re.sub(r"^http(s?)://", r"json\1://", url, flags=re.IGNORECASE)


def _without_pauses(target: Any) -> Any:
    """Return what Apprise sends with, without the pause that it makes after each message to a service.

    How many at once and how soon again is the policy's word: the pause would hold up the run after each mail
    for five seconds, and longer than the lease of what waits behind it.
    """
    for service in target:
        service.request_rate_per_sec = 0
    return target


def _mistake_in(url: str) -> str:
    """Return what is wrong with an address that Apprise refuses; of it a scheme is told at most, if known."""
    from apprise import NotificationManager  # noqa: PLC0415 - as above

    scheme, separator, _ = url.partition("://")
    if not separator:
        return "it has no scheme"
    services: Any = NotificationManager
    if _apprise_url(url).partition("://")[0].lower() not in services():
        return "it has a scheme of no service"
    return (
        f"{scheme.lower()}:// needs a host, a user, a sender or a token that it lacks, or that cannot be one"
    )


HTTP_STATUSES = range(300, 600)


def _status_in(records: list[logging.LogRecord]) -> int:
    """Return the HTTP status that Apprise reported, 0 where there was no reply.

    Apprise answers yes or no only; the status of a refused send is an argument of its warning.
    """
    for record in reversed(records):
        for argument in reversed(record.args if isinstance(record.args, tuple) else ()):
            if isinstance(argument, int) and argument in HTTP_STATUSES:
                return argument
    return 0


class _Collector(logging.Handler):
    """Keep log records in a list."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.records.append(record)


@contextmanager
def _told_by_apprise() -> Iterator[list[logging.LogRecord]]:
    """Collect Apprise's warnings instead of letting them reach any log: they may name the address."""
    logger = logging.getLogger("apprise")
    collector = _Collector()
    propagated, level = logger.propagate, logger.level
    logger.addHandler(collector)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    try:
        yield collector.records
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagated
        logger.setLevel(level)


def _log(message: OutboxMessage, outcome: Notified, *, is_ours: bool) -> None:
    """Log what came of a message. The address is a secret; what is told to people is in the journal."""
    log = log_of("notifier")
    is_well = is_ours and (outcome.reason.is_delivered or outcome.reason is Reason.DRY_RUN)
    (log.info if is_well else log.warning)(
        "delivery" if is_ours else "delivery_of_another",
        outbox_id=message.outbox_id,
        channel=message.channel,
        severity=message.severity,
        subject=message.subject,
        attempt=message.attempts,
        reason=outcome.reason.value,
        retry_at=outcome.retry_at.isoformat() if outcome.retry_at else None,
    )


def _said(error: Exception) -> str:
    """Return what an error of ours says, of another's only its name: its words may hold the address."""
    return str(error) if isinstance(error, TradingError) else type(error).__name__


def _finished(message: OutboxMessage, reason: Reason) -> Notified:
    return Notified(message.outbox_id, message.channel, message.subject, reason, None)


def _as_delivery(message: OutboxMessage, outcome: Notified, now: datetime) -> Delivery:
    return Delivery(
        outbox_id=message.outbox_id,
        attempt=message.attempts,
        channel=message.channel,
        is_delivered=outcome.reason.is_delivered,
        reason=outcome.reason.value,
        at=now,
    )
