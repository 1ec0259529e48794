"""The local authority's certificates are accepted by Python's own strict TLS, and kept."""

import socket
import ssl
import threading
from pathlib import Path

from defib_dev.components.certificates import Authority, KeyPair


def handshake(authority: Authority, server: KeyPair, host: str) -> str:
    """Serve one connection with the certificate; the verified subject the client saw."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(server.certificate, server.key)
    client = ssl.create_default_context(cadata=authority.pem)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with serving.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            socket.create_connection(listener.getsockname()) as plain,
            client.wrap_socket(plain, server_hostname=host) as secured,
        ):
            certificate = secured.getpeercert()
            secured.send(b"x")
        thread.join()
    assert certificate is not None
    return str(certificate["subject"])


def test_a_server_certificate_is_good_for_localhost_and_its_address(tmp_path: Path) -> None:
    authority = Authority.ensure(tmp_path)
    server = authority.server("proxmox")
    for host in ("localhost", "127.0.0.1"):
        assert "proxmox" in handshake(authority, server, host)


def test_what_is_still_good_is_kept(tmp_path: Path) -> None:
    first = Authority.ensure(tmp_path)
    certificate = first.server("proxmox").certificate.read_bytes()
    second = Authority.ensure(tmp_path)
    assert second.pem == first.pem
    assert second.server("proxmox").certificate.read_bytes() == certificate


def test_a_new_authority_renews_what_the_old_one_signed(tmp_path: Path) -> None:
    Authority.ensure(tmp_path).server("proxmox")
    (tmp_path / "ca.crt").unlink()
    renewed = Authority.ensure(tmp_path)
    assert "proxmox" in handshake(renewed, renewed.server("proxmox"), "localhost")
