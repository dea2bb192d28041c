"""Certificates for one recording: an authority of its own, and one certificate a pod with its SPIFFE name.

They live for a day in the recorder's temporary folder: nothing secret is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=1)


@dataclass(frozen=True)
class Files:
    """Where one proxy finds its certificate, its key and the root it trusts."""

    certificate: Path
    key: Path
    root: Path


class Authority:
    """The mesh's certificate authority, as istiod is one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        root = self._unsigned(self._name, self._key).add_extension(constraints, critical=True)
        self._root = folder / "root.pem"
        self._root.write_bytes(root.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, identity: str) -> Files:
        """Write a key and a certificate for a workload's SPIFFE identity."""
        key = ec.generate_private_key(ec.SECP256R1())
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
        leaf = self._unsigned(x509.Name([]), key).add_extension(names, critical=True)
        leaf = leaf.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        files = Files(self._folder / f"{name}.pem", self._folder / f"{name}.key", self._root)
        files.certificate.write_bytes(leaf.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, plain))
        return files

    def _unsigned(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        began = datetime.now(UTC) - timedelta(hours=1)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=began,
            not_valid_after=began + _LIFE,
        )
