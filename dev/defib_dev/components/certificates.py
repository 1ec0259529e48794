"""A small certificate authority for loopback: the control plane's, and the Proxmox simulator's.

Every leaf names localhost and 127.0.0.1 and nothing else. For local stacks and tests only: keys lie
unencrypted in files that the user alone can read.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from defib_dev.components import secrets_files
from defib_dev.components.errors import ComponentError

_AUTHORITY_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=397)
_RENEW_BEFORE = timedelta(days=30)
_CLOCK_SLACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority kept in a folder: `<name>.crt` and `<name>.key`."""

    files: KeyPair
    folder: Path

    @classmethod
    def ensure(cls, folder: Path, name: str = "ca") -> "Authority":
        """The authority in the folder; a new one where there is none or it is near its end."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
        if not _still_good(files):
            _write_authority(files, f"Defib local {name}")
        return cls(files, folder)

    @property
    def pem(self) -> str:
        """The certificate to trust, as PEM text."""
        return self.files.certificate.read_text()

    def server(self, name: str) -> KeyPair:
        """A certificate for a server on this machine; also good as that server's client one."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        subject = _name(name, organization=None)
        return self._leaf(name, subject, usages, names=_loopback_names())

    def client(self, name: str, *, organization: str | None = None) -> KeyPair:
        """A certificate to log in with: to Kubernetes the names are the user's and the group's."""
        subject = _name(name, organization=organization)
        return self._leaf(name, subject, [ExtendedKeyUsageOID.CLIENT_AUTH], names=None)

    def _leaf(
        self,
        name: str,
        subject: x509.Name,
        usages: list[x509.ObjectIdentifier],
        *,
        names: x509.SubjectAlternativeName | None,
    ) -> KeyPair:
        files = KeyPair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        issuer = _load(self.files.certificate)
        if _still_good(files, issuer=issuer):
            return files
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, issuer.subject, key.public_key(), _LEAF_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        issuer_key = _load_key(self.files.key)
        _write(files, _sign(builder, issuer_key.public_key(), issuer_key), key)
        return files


def ensure_signing_key(path: Path) -> Path:
    """A bare private key, for signing service accounts' tokens."""
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        # kube-apiserver derives the public key too, from this older form only.
        secrets_files.write(path, _key_pem(key, serialization.PrivateFormat.TraditionalOpenSSL))
    return path


def _write_authority(files: KeyPair, common_name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # The moment is part of the name, so that a renewed authority is never mistaken for the old one.
    name = _name(f"{common_name} {datetime.now(UTC):%Y%m%d%H%M%S%f}", organization="Defib")
    builder = (
        _builder(name, name, key.public_key(), _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    _write(files, _sign(builder, key.public_key(), key), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _sign(
    builder: x509.CertificateBuilder,
    issuer: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)
    return builder.add_extension(identifier, critical=False).sign(issuer_key, hashes.SHA256())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _loopback_names() -> x509.SubjectAlternativeName:
    address = ipaddress.ip_address("127.0.0.1")
    return x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(address)])


def _name(common_name: str, *, organization: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization is not None:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _still_good(files: KeyPair, *, issuer: x509.Certificate | None = None) -> bool:
    """Whether both files are there, not near their end, and signed by this issuer."""
    if not files.certificate.exists() or not files.key.exists():
        return False
    certificate = _load(files.certificate)
    if certificate.not_valid_after_utc - _RENEW_BEFORE < datetime.now(UTC):
        return False
    return issuer is None or certificate.issuer == issuer.subject


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise ComponentError(f"{path} is no certificate; remove it and try again") from error


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ComponentError(f"{path} is no key of ours; remove it and try again")
    return key


def _write(files: KeyPair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    secrets_files.write(files.key, _key_pem(key))
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _key_pem(
    key: ec.EllipticCurvePrivateKey,
    form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8,
) -> str:
    encryption = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()
