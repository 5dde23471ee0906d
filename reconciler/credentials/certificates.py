"""The CA in an archive: what its certificate says, and whether its key and the agents' certificates fit it.

The only module that knows ``cryptography``, which is imported when it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.model.errors import ReconcilerError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@dataclass(frozen=True, slots=True)
class CaCertificate:
    """What the certificate says; names as in RFC 4514, times in UTC. ``pem`` is the certificate itself."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    is_ca: bool
    pem: bytes


def read_ca(pem: bytes) -> CaCertificate:
    """The certificate in a PEM text. Raises ReconcilerError, beginning with a verb, when it is none."""
    from cryptography import x509

    certificate = _certificate(pem)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_ca = constraints.ca
    except (x509.ExtensionNotFound, ValueError):
        is_ca = False
    return CaCertificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=is_ca,
        pem=pem,
    )


def key_fits(ca: CaCertificate, key: bytes) -> bool:
    """Whether ``key`` (PEM, without a password) is that of the certificate. Raises ReconcilerError, beginning with a verb, when it is no key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        public = load_pem_private_key(key, password=None).public_key()
    # Of the message nothing is passed on: it is about a key.
    except Exception:  # noqa: BLE001  # the library raises half a dozen types, one of its own for kinds of keys it does not know
        raise ReconcilerError("is no private key in PEM without a password") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(*form) == _certificate(ca.pem).public_key().public_bytes(*form)


def was_issued_by(ca: CaCertificate, der: bytes) -> bool:
    """Whether the CA has signed this certificate (DER)."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        x509.load_der_x509_certificate(der).verify_directly_issued_by(_certificate(ca.pem))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _certificate(pem: bytes) -> Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise ReconcilerError("is no certificate in PEM") from None
