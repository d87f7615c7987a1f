"""Notices on their way: beside the change, with a deadline, never in its way.

Rule 1: whatever becomes of a notice, the change goes on as it would; what went wrong is a warning.
Rule 2: an address is never said: not in a warning, not in a log, not by a library.
Rule 3: nothing of this is loaded before there is something to tell, and then not on opsnb's thread.
"""

from __future__ import annotations

import atexit
import json
import logging
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from opsnb.core import notices
from opsnb.core.events import Ended, Event, Started
from opsnb.core.layout import stamp
from opsnb.core.notices import About, Message
from opsnb.core.settings.notices import Notice

if TYPE_CHECKING:
    from http.client import HTTPMessage

    from opsnb.core.events import Report
    from opsnb.core.rows import Row

DEADLINE = 10.0  # seconds for one notice, and at the end of the program for all of them
PART = 5.0  # seconds for one answer of a socket
THREAD = "opsnb-notice"
UNKNOWN = 'Apprise knows no such address (a webhook of your own takes send = "report")'
BEAT = 0.1
Fault = Callable[[str], None]
Addressed = tuple[int, Notice, str]

_UNDER_WAY: set[threading.Thread] = set()


class Notifier:
    """Tells of one change, from its events.

    Args:
        listed: Who is told, each with its address; empty where that is not known.
        about: Whose change it is, and where.
    """

    def __init__(self, listed: Sequence[tuple[Notice, str]], about: About) -> None:
        self._listed = [(n, notice, url) for n, (notice, url) in enumerate(listed, 1)]
        self._about = about
        self._threads: list[threading.Thread] = []
        self.fault: Fault = lambda _: None

    def __repr__(self) -> str:
        return f"<Notifier of {len(self._listed)}>"

    def hear(self, event: Event) -> None:
        """Tell of an event, if somebody wants to be told; returns at once."""
        at = stamp(datetime.now(UTC))
        if isinstance(event, Started):
            self._tell(notices.started(self._about, event.verb, at))
        elif isinstance(event, Ended):
            self._tell(notices.ended(self._about, event.report, at), event.report)

    def _tell(self, message: Message, report: Report | None = None) -> None:
        told = [one for one in self._listed if notices.wanted(one[1], message, report)]
        if told:
            # What is told second comes second, also where the first one is slow.
            before = self._threads[-1:]
            try:
                self._threads.append(_begin(lambda: self._send(before, told, message)))
            except RuntimeError as error:  # no further thread can be had
                self.fault(f"nobody was told: {error}")

    def _send(
        self, before: Sequence[threading.Thread], told: Sequence[Addressed], message: Message
    ) -> None:
        for thread in before:
            thread.join()
        for fault in filter(None, send(told, message)):
            self.fault(fault)

    def wait(self, seconds: float = DEADLINE + 1) -> None:
        """Wait until everything is told, or has failed.

        Args:
            seconds: How long at most.
        """
        until = time.monotonic() + seconds
        for thread in self._threads:
            _joined(thread, until)


def _begin(work: Callable[[], None]) -> threading.Thread:
    """Run something beside; the program waits for it at its end, but not for long."""
    if not _UNDER_WAY:
        atexit.unregister(_last_words)
        atexit.register(_last_words)

    def run() -> None:
        try:
            work()
        finally:
            _UNDER_WAY.discard(threading.current_thread())

    thread = threading.Thread(target=run, name=THREAD, daemon=True)
    thread.start()
    _UNDER_WAY.add(thread)
    if not thread.is_alive():
        _UNDER_WAY.discard(thread)
    return thread


def _last_words() -> None:
    until = time.monotonic() + DEADLINE
    for thread in list(_UNDER_WAY):
        _joined(thread, until)


def _joined(thread: threading.Thread, until: float) -> None:
    """Wait for a thread in steps, so that an interrupt is noticed."""
    while thread.is_alive() and time.monotonic() < until:
        thread.join(BEAT)


def send(told: Sequence[Addressed], message: Message) -> list[str]:
    """Tell everybody at the same time.

    Args:
        told: Who, with number and address.
        message: What.

    Returns:
        For each what went wrong, in words without the address; empty when nothing did.
    """
    faults = [f"{_called(n, one)}: no answer within {DEADLINE:g} s" for n, one, _ in told]

    def deliver(place: int, one: Addressed) -> None:
        number, notice, url = one
        fault = delivered(notice, url, message)
        faults[place] = f"{_called(number, notice)}: {fault}" if fault else ""

    threads = [
        threading.Thread(target=deliver, args=(place, one), name=THREAD, daemon=True)
        for place, one in enumerate(told)
    ]
    until = time.monotonic() + DEADLINE
    for thread in threads:
        thread.start()
    for thread in threads:
        _joined(thread, until)
    return list(faults)


def _called(number: int, notice: Notice) -> str:
    return f"notice {number} ({notices.origin(notice)}) was not delivered"


def delivered(notice: Notice, url: str, message: Message) -> str:
    """Tell one, and wait; what went wrong, in words without the address.

    Args:
        notice: Who.
        url: Their address; empty where that is not known.
        message: What.
    """
    if not url:
        return f"{notices.origin(notice)} is not set in your environment"
    try:
        return _post(url, message) if notice.send == "report" else _message(url, message)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no failure of the change
        # Its words may hold the address.
        return f"it failed ({type(error).__name__})"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that sends elsewhere is not followed: nobody was told of that place."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """See the base; None means that it is an error."""
        del req, fp, code, msg, headers, newurl


def _post(url: str, message: Message) -> str:
    """Post it as JSON to a webhook."""
    if urlsplit(url).scheme not in ("http", "https"):
        return "a report is posted to an address that begins with http:// or https://"
    body = json.dumps(message.data, ensure_ascii=True).encode()
    kind = {"Content-Type": "application/json", "User-Agent": "opsnb"}
    request = urllib.request.Request(url, body, kind, method="POST")  # noqa: S310 - see above
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=PART):
            return ""
    except HTTPError as error:
        with error:
            return f"the answer was {error.code}"


def _message(url: str, message: Message) -> str:
    """Send it as words, by Apprise."""
    service = _service(url)
    if service is None:
        return UNKNOWN
    told = service.notify(
        title=_plain(message.title, service),
        body=_plain(message.text, service),
        notify_type=_kind(message),
        body_format="text",
    )
    return "" if told else f"{service_name(service)} did not take it"


# What calls somebody by name, or makes a link with other words, where people chat.
_CHATTY = str.maketrans({"@": "@\u200b", "<": "‹", ">": "›", "]": "]\u200b"})


def _plain(text: str, service: Any) -> str:
    """Words in which no service sees a link or a name; what else is markup, Apprise escapes.

    In an e-mail it escapes everything.
    """
    return text if service_name(service) == "E-Mail" else text.translate(_CHATTY)


def _kind(message: Message) -> str:
    kinds = {"failure": "failure", "restore": "warning", "success": "success"}
    return kinds.get(message.occasion, "info")


def service_name(service: Any) -> str:
    """What a service is called."""
    name = str(getattr(service, "service_name", "") or "")
    return "E-Mail" if name.lower().startswith("e-mail") else name


def _service(url: str) -> Any:
    """What sends to an address, or None."""
    # Apprise tries a module that Python has given up: where warnings are errors, its end.
    warnings.filterwarnings("ignore", "'imghdr' is deprecated", DeprecationWarning)
    import apprise  # noqa: PLC0415 - 0.2 s, and only when there is something to tell

    for name in ("apprise", "urllib3.connectionpool"):
        # They log addresses; and an Apprise without a handler would write on standard error.
        logging.getLogger(name).addFilter(_not_ours)
    asset = apprise.AppriseAsset(
        app_id="opsnb",
        app_desc="opsnb",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        http_redirects=False,
        service_timeout=DEADLINE,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _not_ours(record: logging.LogRecord) -> bool:
    return not str(record.threadName).startswith(THREAD)


def described(number: int, notice: Notice, environment: Mapping[str, str]) -> Row:
    """A notice as a row, without its address; see :meth:`opsnb.Server.notices`.

    Args:
        number: Its place, from 1.
        notice: The notice.
        environment: The operator's own.
    """
    url, fault = notices.address(notice, environment), ""
    service = "webhook" if notice.send == "report" else _leads_to(url)
    if not url:
        fault = f"{notices.origin(notice)} is not set in your environment"
    elif not service:
        fault = UNKNOWN
    on = ", ".join(notice.on)
    return {
        "number": number,
        "service": service,
        "from": notices.origin(notice),
        "on": on,
        "fault": fault,
    }


def tested(
    listed: Sequence[Notice], where: tuple[str, str, str], environment: Mapping[str, str]
) -> list[Row]:
    """Tell everybody that this is a test; the rows of :func:`described`.

    Args:
        listed: Who is told.
        where: The server's name, its environment's, and who asks.
        environment: The operator's own.
    """
    rows = [described(n, notice, environment) for n, notice in enumerate(listed, 1)]
    message = notices.test(About(*where), stamp(datetime.now(UTC)))
    told = [(n, one, notices.address(one, environment)) for n, one in enumerate(listed, 1)]
    faults = send(told, message)
    return [{**row, "fault": fault} for row, fault in zip(rows, faults, strict=True)]


def _leads_to(url: str) -> str:
    """What service an address leads to; empty when nothing knows it."""
    found: list[str] = []

    def look() -> None:
        service = _service(url) if url else None
        found.append(service_name(service) if service is not None else "")

    # On a thread of that name, so that nothing is logged of it.
    thread = threading.Thread(target=look, name=THREAD, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    return found[0] if found else ""
