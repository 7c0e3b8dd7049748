"""A limit of bytes that all connections share."""

from askd.httpserver.shared_limit import SharedByteLimit


class Holders:
    """Holders of bytes by name; the first one holds them for the longest time."""

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}
        self.scans = 0
        self.evicted: list[str] = []
        self.limit = SharedByteLimit[str](
            1000,
            self._names,
            held_bytes=lambda name: self.bytes[name],
            order=lambda name: (False, list(self.bytes).index(name)),
            evict=self._evict,
        )

    def _names(self) -> list[str]:
        self.scans += 1
        return list(self.bytes)

    def _evict(self, name: str) -> None:
        self.evicted.append(name)
        self.bytes[name] = 0

    def add(self, name: str, count: int) -> None:
        """Let a holder hold more bytes."""
        self.bytes[name] = self.bytes.get(name, 0) + count
        self.limit.add(count)


def test_longest_holders_are_evicted() -> None:
    """Beyond the limit, as many of the longest holders are evicted as needed to reach three quarters of it."""
    holders = Holders()
    for name in "abcd":
        holders.add(name, 250)
    assert not holders.evicted
    holders.add("e", 1)
    assert holders.evicted == ["a", "b"]


def test_single_holder_is_not_evicted() -> None:
    """A response that is larger than the limit is sent."""
    holders = Holders()
    holders.add("a", 5000)
    assert not holders.evicted
    holders.add("b", 400)
    assert holders.evicted == ["a"]


def test_released_bytes_are_noticed() -> None:
    """Bytes that were released in the meantime do not count."""
    holders = Holders()
    for number in range(100):
        holders.add(str(number), 100)
        holders.bytes[str(number)] = 0
    assert not holders.evicted


def test_scans_are_rare() -> None:
    """Connections are scanned once per quarter of the limit, however small the pieces are."""
    holders = Holders()
    for number in range(10):
        holders.bytes[str(number)] = 0
    for _ in range(100_000):
        holders.add("3", 1)
    assert holders.scans <= 100_000 / 250 + 1
