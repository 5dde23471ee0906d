"""What went wrong with a request, in words for the person at the terminal: which error, what Consul said, what to do.

Consul answers nearly everything that goes wrong with status 500 and a sentence, so the sentence decides (docs/facts.md: Consul 11).
"""

from __future__ import annotations

import re
from typing import Final

from urllib3 import exceptions as urllib3_errors

from reconciler.model.errors import AccessDenied, AlreadyExists, OutcomeUnknown, Rejected, SystemFault, Unreachable
from reconciler.systems.consul.connection import ConsulSettings
from reconciler.systems.consul.retries import Trouble
from reconciler.systems.consul.transport import NotSentError

_HOW_TO_IDENTIFY: Final = "set consul.token or CONSUL_HTTP_TOKEN"
_HOW_TO_CERTIFY: Final = "set consul.cert_file and consul.key_file, or CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY"

_DID_NOTHING: Final = re.compile(
    r"No cluster leader|Raft leader not found in server lookup mapping|No known Consul servers|Not ready to serve consistent reads"
    r"|rpc error getting client|failed to get conn|node is not the leader|leadership transfer in progress|timed out enqueuing operation"
    r"|rate limit (?:exceeded|reached)|try again later",
    re.IGNORECASE,
)
_MAY_HAVE_DONE_IT: Final = re.compile(
    r"leadership lost while committing log|snapshot restored while committing log|raft is already shutdown"
    r"|rpc error making call:.*(?:EOF|stream closed|session shutdown|connection reset|broken pipe|i/o (?:timeout|deadline reached))\s*$",
    re.DOTALL,
)
_LACKS: Final = re.compile(r"(anonymous token )?lacks permission '([^']+)'(?: on (\"(?:[^\"\\]|\\.)*\"))?")
# An expired token is gone for all purposes but one: its accessor stays taken until Consul sweeps it up, a second or so later.
_MISSING: Final = re.compile(r"\b(?:(?:token|policy|role) does not exist|token has expired): ACL not found|modify non-existent prepared query")
_UNKNOWN_FIELD: Final = re.compile(r'invalid config key "((?:[^"\\]|\\.)*)"(, [^*]*enterprise[^*]*)?')
_EXISTS: Final = re.compile(r"already exists|already in use|aliases an existing query name")
_TLS_REFUSED_US: Final = re.compile(r"certificate.required|bad.certificate|unknown.ca|certificate.unknown|handshake.failure", re.IGNORECASE)
_LONGEST_TEXT: Final = 2000


class NotThere(SystemFault):
    """404, or what stands for it: the object that was asked for does not exist."""


class Failure(Exception):
    """One try that failed: whether and why another may be made, and what to say when none is."""

    def __init__(self, trouble: Trouble, fault: SystemFault) -> None:
        super().__init__(trouble, fault)
        self.trouble = trouble
        self.fault = fault


class UnknownToken(AccessDenied):
    """Consul does not know the secret that was sent (``ACL not found``)."""

    def __init__(self, settings: ConsulSettings) -> None:
        source = f" (from {settings.token_from})" if settings.token_from else ""
        super().__init__(f"{_who(settings)} does not know this token{source}: {_HOW_TO_IDENTIFY} to one that exists there")


def fault_of_reply(status: int, text: str, request: str, settings: ConsulSettings) -> Failure:
    """The failure that an answer with a status outside 2xx means; ``request`` is its method and path."""
    text = _clean(text, settings)
    said = text or f"status {status}"
    if status == 429 or (status in (500, 503) and _DID_NOTHING.search(text)):
        why = f"{_who(settings)} cannot do {request} now: {said}: try again when it has a leader and less to do"
        return Failure(Trouble.BUSY, Unreachable(why))
    if status in (502, 503, 504) or (status == 500 and _MAY_HAVE_DONE_IT.search(text)):
        return Failure(Trouble.LOST, Unreachable(f"{_who(settings)} did not finish {request}: {said}: try again"))
    return Failure(Trouble.FINAL, _final(status, text, request, settings))


def _final(status: int, text: str, request: str, settings: ConsulSettings) -> SystemFault:
    who = _who(settings)
    if status == 404 or _MISSING.search(text):
        return NotThere(f"{who}: {request}: {text or 'not found'}")
    if "ACL not found" in text:
        return UnknownToken(settings)
    if status == 403 or "Permission denied" in text:
        return denied(text, request, settings)
    if status == 401:
        return Rejected(f"{who} has its ACLs switched off: enable them (acl {{ enabled = true }})")
    if 300 <= status < 400:
        return Rejected(f"{who} takes {request} for another path: with this version of Consul, a name with such slashes or dots cannot be used")
    if status == 400 and "HTTP request to an HTTPS server" in text:
        return _unreachable(settings, "it speaks TLS", f"write https:// in {settings.point}, or set CONSUL_HTTP_SSL=true")
    unknown = _UNKNOWN_FIELD.findall(text)
    if unknown:
        fields = ", ".join(f"{field} (a feature of Consul Enterprise)" if enterprise else field for field, enterprise in unknown)
        return Rejected(f"{who} knows no such field of this kind of config entry: {fields}: remove it, or use a version of Consul that has it")
    if _EXISTS.search(text):
        return AlreadyExists(f"{who} refused {request}: {text}")
    return Rejected(f"{who} refused {request}: {text or f'status {status}'}")


def denied(text: str, request: str, settings: ConsulSettings) -> AccessDenied:
    """What to say when Consul answers ``Permission denied``, naming the permission as Consul does."""
    found = _LACKS.search(text)
    if found is None:
        return AccessDenied(f"{_who(settings)} denied {request}: {text}: grant the token what it needs, or use another")
    permission = f"{found[2]} on {found[3]}" if found[3] else found[2]
    if found[1] and settings.token is None:
        return AccessDenied(f"{_who(settings)} denied {request}: there is no token, and without one {permission} is missing: {_HOW_TO_IDENTIFY}")
    return AccessDenied(f"{_who(settings)} denied {request}: the token lacks {permission}: grant that, or use another token")


def hidden(permission: str, settings: ConsulSettings) -> AccessDenied:
    """What to say when Consul left out of an answer what the token may not see."""
    return AccessDenied(f"{_who(settings)} leaves out what this token may not read; it lacks {permission}: grant that, or use another token")


def stale(request: str, settings: ConsulSettings) -> Unreachable:
    """What to say when an answer came from a server that had not just heard from the leader."""
    return Unreachable(f"{_who(settings)} gave a stale answer to {request}: try again when it has a leader")


def outcome_unknown(request: str, settings: ConsulSettings, fault: SystemFault) -> OutcomeUnknown:
    """What to say when a write was sent and nobody knows whether it was done."""
    reason = str(fault).removeprefix(f"{_who(settings)} ").rpartition(": ")[0]
    return OutcomeUnknown(f"whether {request} was done by {_who(settings)} is not known ({reason}): run again, which looks first")


def fault_of_exception(error: Exception, request: str, settings: ConsulSettings) -> Failure:
    """The failure that an exception of urllib3 means."""
    if isinstance(error, NotSentError):
        return Failure(Trouble.REFUSED, _not_sent(request, settings))
    if isinstance(error, urllib3_errors.SSLError):
        return _tls_failure(str(error), request, settings)
    if isinstance(error, urllib3_errors.NameResolutionError):
        return Failure(Trouble.REFUSED, _unreachable(settings, "its name is not known", f"correct {settings.point}"))
    if isinstance(error, urllib3_errors.NewConnectionError):
        return Failure(Trouble.REFUSED, _not_connected(error, settings))
    if isinstance(error, urllib3_errors.ConnectTimeoutError):
        how = f"check the address and the network, or set {settings.point}"
        return Failure(Trouble.REFUSED, _unreachable(settings, "connecting took too long", how))
    if isinstance(error, urllib3_errors.LocationValueError):
        return Failure(Trouble.FINAL, _unreachable(settings, "that is no address", f"set {settings.point}"))
    if isinstance(error, urllib3_errors.ReadTimeoutError):
        why = f"is silent: no answer to {request} within {settings.timeout_s:g} s"
        how = "see whether it is healthy, or give it more time (consul.timeout, --timeout)"
        return Failure(Trouble.SILENT, Unreachable(f"{_who(settings)} {why}: {how}"))
    return Failure(Trouble.LOST, Unreachable(f"{_who(settings)} closed the connection during {request}: see whether it is running, and try again"))


def _not_sent(request: str, settings: ConsulSettings) -> Unreachable:
    why = f"it broke off while {request} was being sent"
    # In TLS 1.3 an agent that misses a client certificate ends the connection only after it was made.
    if settings.scheme == "https" and not settings.cert_file:
        return _unreachable(settings, f"{why}, and may want a client certificate", _HOW_TO_CERTIFY)
    return _unreachable(settings, why, "see whether it is running, and try again")


def _not_connected(error: urllib3_errors.NewConnectionError, settings: ConsulSettings) -> Unreachable:
    cause = error.__cause__
    reason = (cause.strerror if isinstance(cause, OSError) else None) or "no connection"
    what_to_do = "check the network"
    if isinstance(cause, ConnectionRefusedError | FileNotFoundError):
        what_to_do = "start it"
    elif isinstance(cause, PermissionError):
        what_to_do = "run this as a user who may use the socket"
    return _unreachable(settings, reason.lower(), f"{what_to_do}, or set {settings.point}")


def _tls_failure(text: str, request: str, settings: ConsulSettings) -> Failure:
    if "certificate verify failed" in text:
        if "mismatch" in text or "not valid for" in text:
            why, how = "its certificate is for another name", "set consul.tls_server_name or CONSUL_TLS_SERVER_NAME"
        else:
            reason = re.search(r"certificate verify failed: ([^(\[]*)", text)
            why = f"its certificate is not trusted ({reason[1].strip() if reason else 'verify failed'})"
            how = "set consul.ca_file or CONSUL_CACERT to its CA"
    elif re.search(r"wrong.version.number|record.layer.failure", text, re.IGNORECASE):
        why, how = "it does not speak TLS", f"write http:// in {settings.point}, or unset CONSUL_HTTP_SSL"
    elif _TLS_REFUSED_US.search(text):
        why, how = "it wants a client certificate that it trusts", _HOW_TO_CERTIFY
    else:
        return Failure(Trouble.LOST, Unreachable(f"{_who(settings)} broke off TLS during {request}: see whether it is running, and try again"))
    return Failure(Trouble.FINAL, _unreachable(settings, why, how))


def _unreachable(settings: ConsulSettings, why: str, what_to_do: str) -> Unreachable:
    return Unreachable(f"{_who(settings)} cannot be reached: {why}: {what_to_do}")


def _who(settings: ConsulSettings) -> str:
    return f"Consul at {settings.address}"


def _clean(text: str, settings: ConsulSettings) -> str:
    """Consul's sentence on one line, without the token even if it were in there."""
    for secret in (settings.token, settings.basic_auth):
        if secret is not None:
            text = text.replace(secret.reveal(), "(secret)")
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " …"
