"""The owner of a port, from a fake /proc and from the real one."""

import ipaddress
import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.httpserver import port_owner

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def encode_address(address: str) -> str:
    """Return an address as the kernel prints it: hexadecimal 32-bit words in host byte order."""
    packed = ipaddress.ip_address(address).packed
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))


def row(address: str, port: int, *, state: str = "0A", uid: int = 0, inode: int = 77) -> str:
    """Return a line of /proc/net/tcp."""
    local = f"{encode_address(address)}:{port:04X}"
    return f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 1 0 100 0\n"


@pytest.fixture(name="proc")
def fake_proc(tmp_path: Path) -> Path:
    """Return a /proc in which process 4711 (`uvicorn`) has socket 77 open, and 4712 has only files."""
    (tmp_path / "net").mkdir()
    for pid, name in (("4712", "sh"), ("4711", "uvicorn")):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "comm").write_text(name + "\n")
        (tmp_path / pid / "fd" / "0").symlink_to("/dev/null")
    (tmp_path / "4711" / "fd" / "3").symlink_to("socket:[77]")
    (tmp_path / "self").mkdir()
    (tmp_path / "4713").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("bound", "requested"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("::", "127.0.0.1"),
        ("127.0.0.1", "::"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("fe80::1", "fe80::1%eth0"),
    ],
)
def test_owner_has_name_and_pid(proc: Path, bound: str, requested: str) -> None:
    """The process is found if the addresses are equal or one of them is the wildcard address."""
    table = "tcp6" if ":" in bound else "tcp"
    (proc / "net" / table).write_text(HEADER + row(bound, 2023, inode=5) + row(bound, 2024))
    assert port_owner.port_owner(requested, 2024, proc=proc) == "uvicorn (pid 4711)"


@pytest.mark.parametrize(("bound", "port"), [("127.0.0.2", 2024), ("127.0.0.1", 2025), ("::1", 2024)])
def test_other_sockets_are_ignored(proc: Path, bound: str, port: int) -> None:
    """A socket on another address or port does not conflict."""
    (proc / "net" / ("tcp6" if ":" in bound else "tcp")).write_text(HEADER + row(bound, port))
    assert port_owner.port_owner("127.0.0.1", 2024, proc=proc) is None


def test_listening_socket_is_preferred(proc: Path) -> None:
    """If several sockets use the port, the owner of the listening one is returned."""
    (proc / "net" / "tcp").write_text(HEADER + row("127.0.0.1", 9, state="01", inode=5) + row("127.0.0.1", 9))
    assert port_owner.port_owner("127.0.0.1", 9, proc=proc) == "uvicorn (pid 4711)"


def test_process_of_another_user(proc: Path) -> None:
    """If the process cannot be inspected, its user is returned; a user without a name is a number."""
    (proc / "net" / "tcp").write_text(HEADER + row("0.0.0.0", 1, inode=5) + row("0.0.0.0", 2, inode=6, uid=4_000_000))
    assert port_owner.port_owner("0.0.0.0", 1, proc=proc) == "a process of user root"
    assert port_owner.port_owner("0.0.0.0", 2, proc=proc) == "a process of user 4000000"


def test_system_without_proc(tmp_path: Path) -> None:
    """On a system without /proc, no owner is found, and nothing fails."""
    assert port_owner.port_owner("0.0.0.0", 1, proc=tmp_path / "absent") is None


def test_real_proc_finds_this_process() -> None:
    """The owner of a port of this process is this process."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        owner = port_owner.port_owner("127.0.0.1", listener.getsockname()[1])
    assert str(owner).endswith(f"(pid {os.getpid()})")


@given(st.ip_addresses())
def test_addresses_are_parsed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Any address that the kernel prints is parsed; an IPv4-mapped one becomes IPv4."""
    expected = getattr(address, "ipv4_mapped", None) or address
    assert port_owner._parse_address(encode_address(str(address))) == expected
