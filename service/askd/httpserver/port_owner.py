"""The process that listens on a port, from the tables of the kernel in /proc/net."""

import ipaddress
import pwd
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_TCP_LISTEN: Final = 0x0A
_PROC: Final = Path("/proc")


class _SocketEntry(NamedTuple):
    """A row of /proc/net/tcp or /proc/net/tcp6."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    state: int
    uid: int
    inode: int


def port_owner(address: str, port: int, *, proc: Path = _PROC) -> str | None:
    """Return the process that uses a port, such as `uvicorn (pid 4711)`.

    Args:
        address: IP address to listen on. A socket on another address of the machine does not conflict.

    Returns:
        `a process of user x` if its file descriptors are not readable, or None if no conflicting socket is visible.
    """
    rows = [
        row
        for row in _read_sockets(proc)
        # Sockets in TIME_WAIT have inode 0. They do not prevent a restart, because SO_REUSEADDR is set.
        if row.port == port and row.inode and _addresses_overlap(row.address, address)
    ]
    for row in sorted(rows, key=lambda row: row.state != _TCP_LISTEN):
        return _find_process(row.inode, proc) or f"a process of user {_user_name(row.uid)}"
    return None


def listening_ports(address: str, *, proc: Path = _PROC) -> list[tuple[int, str]]:
    """Return port and owner of all listening sockets that are reachable at `address`.

    Sockets of processes that may be inspected come first. The list is empty on systems without /proc.
    """
    rows = {
        row.port: row
        for row in _read_sockets(proc)
        if row.state == _TCP_LISTEN and _addresses_overlap(row.address, address)
    }
    owners = {port: _find_process(row.inode, proc) for port, row in rows.items()}
    listeners = [(port, owners[port] or f"a process of user {_user_name(row.uid)}") for port, row in rows.items()]
    return sorted(listeners, key=lambda listener: (owners[listener[0]] is None, listener[0]))


def _read_sockets(proc: Path) -> Iterator[_SocketEntry]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
            address, _, port = local.partition(":")
            yield _SocketEntry(_parse_address(address), int(port, 16), int(state, 16), int(uid), int(inode))


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Parse hexadecimal 32-bit words in host byte order. An IPv4-mapped address is returned as IPv4."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    address = ipaddress.ip_address(struct.pack(f"={len(words)}I", *words))
    return getattr(address, "ipv4_mapped", None) or address


def _addresses_overlap(bound: ipaddress.IPv4Address | ipaddress.IPv6Address, requested: str) -> bool:
    """Return whether the addresses are equal, or one is the wildcard address. `::` also covers IPv4."""
    address = ipaddress.ip_address(requested.partition("%")[0])
    if bound.version == address.version:
        return bound == address or bound.is_unspecified or address.is_unspecified
    return (bound if bound.version == 6 else address).is_unspecified


def _find_process(inode: int, proc: Path) -> str | None:
    """Search the file descriptors of all readable processes for the socket."""
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(file.readlink()) == f"socket:[{inode}]" for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
