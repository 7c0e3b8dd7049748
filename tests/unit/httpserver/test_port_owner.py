"""Who holds a port: read from a /proc of our own making, and from the real one."""

import ipaddress
import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import holders

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def encoded(address: str) -> str:
    """An address as the kernel prints it: hexadecimal words in the machine's byte order."""
    packed = ipaddress.ip_address(address).packed
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))


def row(address: str, port: int, *, state: str = "0A", uid: int = 0, inode: int = 77) -> str:
    """One line of /proc/net/tcp."""
    place = f"{encoded(address)}:{port:04X}"
    return f"   0: {place} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 1 0 100 0\n"


@pytest.fixture(name="proc")
def fake_proc(tmp_path: Path) -> Path:
    """Return a /proc where process 4711, called `uvicorn`, holds the socket 77, and 4712 holds nothing."""
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
    ("held", "wanted"),
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
def test_the_holder_has_name_and_pid(proc: Path, held: str, wanted: str) -> None:
    """The process that has the socket open is named, whether the address is the same or stands for all."""
    table = "tcp6" if ":" in held else "tcp"
    (proc / "net" / table).write_text(HEAD + row(held, 2023, inode=5) + row(held, 2024))
    assert holders.holder(wanted, 2024, proc=proc) == "uvicorn (pid 4711)"


@pytest.mark.parametrize(("held", "port"), [("127.0.0.2", 2024), ("127.0.0.1", 2025), ("::1", 2024)])
def test_others_are_passed_over(proc: Path, held: str, port: int) -> None:
    """A socket of another address or port is not the holder."""
    (proc / "net" / ("tcp6" if ":" in held else "tcp")).write_text(HEAD + row(held, port))
    assert holders.holder("127.0.0.1", 2024, proc=proc) is None


def test_a_listener_comes_before_a_connection(proc: Path) -> None:
    """Of several sockets with the port, the one that listens is named."""
    (proc / "net" / "tcp").write_text(HEAD + row("127.0.0.1", 9, state="01", inode=5) + row("127.0.0.1", 9))
    assert holders.holder("127.0.0.1", 9, proc=proc) == "uvicorn (pid 4711)"


def test_a_hidden_process_is_named_by_its_user(proc: Path) -> None:
    """Where the process cannot be looked into, its user is all that is told; one without a name is a number."""
    (proc / "net" / "tcp").write_text(HEAD + row("0.0.0.0", 1, inode=5) + row("0.0.0.0", 2, inode=6, uid=4_000_000))
    assert holders.holder("0.0.0.0", 1, proc=proc) == "a process of user root"
    assert holders.holder("0.0.0.0", 2, proc=proc) == "a process of user 4000000"


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    """On a system without /proc there is no holder and no error."""
    assert holders.holder("0.0.0.0", 1, proc=tmp_path / "absent") is None


def test_the_real_proc_names_this_process() -> None:
    """The real tables lead from a listening socket to the process that has it, here ourselves."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        found = holders.holder("127.0.0.1", held.getsockname()[1])
    assert str(found).endswith(f"(pid {os.getpid()})")


@settings(deadline=None)  # a busy machine is no fault
@given(st.ip_addresses())
def test_addresses_are_read_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Any address that the kernel prints is understood; IPv4 within IPv6 becomes IPv4."""
    expected = getattr(address, "ipv4_mapped", None) or address
    assert holders._address(encoded(str(address))) == expected
