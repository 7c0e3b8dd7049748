"""Who holds a TCP port, as far as Linux' /proc shows it to us. Format: proc(5), proc_net_tcp of the kernel's docs."""

import ipaddress
import pwd
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_LISTENING: Final = 0x0A
_PROC: Final = Path("/proc")


class _Row(NamedTuple):
    """One socket of /proc/net/tcp or tcp6."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    state: int
    uid: int
    inode: int


def holder(address: str, port: int, *, proc: Path = _PROC) -> str | None:
    """Return `name (pid 4711)`, else `a process of user x` for one that we may not look into; None: nothing is seen.

    `address` is where listening was tried: a socket on another address of the machine does not count.
    """
    rows = [row for row in _rows(proc) if row.port == port and row.inode and _collides(row.address, address)]
    for row in sorted(rows, key=lambda row: row.state != _LISTENING):
        return _owner(row.inode, proc) or f"a process of user {_user(row.uid)}"
    return None


def listening(address: str, *, proc: Path = _PROC) -> list[tuple[int, str]]:
    """Return port and holder of all that listens where `address` is reached; those that may be looked into come first.

    Empty where the system does not show it.
    """
    rows = {row.port: row for row in _rows(proc) if row.state == _LISTENING and _collides(row.address, address)}
    owners = {port: _owner(row.inode, proc) for port, row in rows.items()}
    found = [(port, owners[port] or f"a process of user {_user(row.uid)}") for port, row in rows.items()]
    return sorted(found, key=lambda each: (owners[each[0]] is None, each[0]))


def _rows(proc: Path) -> Iterator[_Row]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
            address, _, port = local.partition(":")
            yield _Row(_address(address), int(port, 16), int(state, 16), int(uid), int(inode))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read hexadecimal words of 32 bits in this machine's byte order; an IPv4 address within IPv6 is given as IPv4."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    address = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    return getattr(address, "ipv4_mapped", None) or address


def _collides(held: ipaddress.IPv4Address | ipaddress.IPv6Address, wanted: str) -> bool:
    """Both are the same address, or one of them stands for all; `::` of either side covers IPv4 as well."""
    ours = ipaddress.ip_address(wanted.partition("%")[0])
    if held.version == ours.version:
        return held == ours or held.is_unspecified or ours.is_unspecified
    return (held if held.version == 6 else ours).is_unspecified


def _owner(inode: int, proc: Path) -> str | None:
    """Look through the open files of every process for the socket; what may not be read is passed over."""
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(file.readlink()) == f"socket:[{inode}]" for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
