"""Certificates that a server on loopback can be given, good and bad ones."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path


_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def certificate(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    begins: float = -1.0,
    ends: float = 90.0,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
    key_usage: bool = True,
) -> Path:
    """A PEM file with a certificate and its key; begin and end in days from now."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test of {host}")])
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.timezone.utc)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=begins))
        .not_valid_after(now + dt.timedelta(days=ends))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key())
        builder = builder.add_extension(signer, critical=False)
    if key_usage:  # Python 3.13 insists on it for an authority
        uses = dict.fromkeys(_USES, False) | {"digital_signature": True, "key_cert_sign": True}
        builder = builder.add_extension(x509.KeyUsage(**uses), critical=True)
    made = builder.sign(key if issuer is None else issuer[1], hashes.SHA256())
    path = directory / f"{made.serial_number:x}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def authority(
    directory: Path, *, key_usage: bool = True
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate that may sign others, and its key."""
    data = certificate(directory, host="authority.test", key_usage=key_usage).read_bytes()
    key = serialization.load_pem_private_key(data, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate(data), key
