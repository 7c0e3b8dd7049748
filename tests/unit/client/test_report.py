"""One exchange, taken apart: pure parts, with times of the test's own."""

from service.client.exchange import Exchange, Step, server_timing, steps
from service.client.failed import Failed
from service.client.picture import WIDTH, bar, picture, seconds
from service.client.summary import outcomes, percentile, replicas, summary


def exchange(served_by: str = "a", took: float = 0.1) -> Exchange:
    """Return an exchange whose waiting was half the code's."""
    timing = {"code": took / 2, "total": took * 0.6}
    found = steps({"connect": (0.0, took * 0.1), "waiting": (took * 0.1, took * 0.9)}, timing)
    return Exchange(
        url="http://localhost:2024/ask?q=hello",
        status=200,
        answer="Hi",
        protocol="HTTP/1.1 over TLS 1.3",
        address="127.0.0.1:2024",
        addresses=["127.0.0.1", "::1"],
        served_by=served_by,
        id="x" * 128,
        seconds=took,
        sent=100,
        received=200,
        steps=found,
        server_timing=timing,
    )


def test_server_timing_is_read_in_seconds() -> None:
    """Stages with a duration count; descriptions and malformed parts are passed over."""
    assert server_timing("queue;dur=2.5, total;dur=4, cdn;desc=x, a;dur=-1, ;dur=1") == {
        "queue": 0.0025,
        "total": 0.004,
    }


def test_waiting_is_split_into_the_network_and_the_servers_stages() -> None:
    """What the server knows nothing of is the network's; what it names no stage for is the rest; the sum is kept."""
    found = steps({"waiting": (1.0, 2.0)}, {"queue": 0.1, "code": 0.5, "total": 0.8})
    assert [step.name for step in found] == ["waiting", "network", "queue", "code", "the rest"]
    assert [round(step.seconds, 6) for step in found] == [1.0, 0.2, 0.1, 0.5, 0.2]
    assert round(found[2].began, 6) == 1.1
    assert steps({"waiting": (1.0, 2.0)}, {}) == [Step("waiting", 1.0, 1.0)]


def test_bars_are_true_to_scale() -> None:
    """A bar begins where its step began; the shortest is still seen, and none leaves its column."""
    assert bar(0.5, 0.5, 1.0, "#") == " " * 17 + "#" * 17
    assert bar(0.0, 0.0, 1.0, "#") == "#"
    assert len(bar(1.0, 9.0, 1.0, "#")) == 34


def test_durations_are_readable() -> None:
    """Microseconds, milliseconds, seconds."""
    assert [seconds(value) for value in (0.0000123, 0.0123, 12.3)] == ["12 µs", "12.30 ms", "12.300 s"]


def test_a_timeline_fits_80_columns() -> None:
    """However long question, id and address are, no line is longer, and control characters are gone."""
    lines = list(picture("long " * 50 + "\x1b[31m", exchange("pod" * 40)))
    assert max(map(len, lines)) <= WIDTH
    assert not any("\x1b" in line for line in lines)
    assert any(line.startswith("  code") and "50.00 ms" in line for line in lines)


def test_percentiles_are_values_that_came() -> None:
    """Nearest rank: half of the values do not exceed the 50th, and the 100th is the largest."""
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 1) == 7.0


def test_replicas_and_outcomes_are_counted() -> None:
    """Each replica by how often it answered, each failure by its step; the table fits 80 columns."""
    found, lost = [exchange("a"), exchange("b" * 99), exchange("a")], [Failed(3, "connect", "nothing listens")]
    assert replicas(found).most_common(1) == [("a", 2)]
    assert outcomes(found, lost) == {"200": 3, "none (connect)": 1}
    lines = list(summary("hello", found, lost))
    assert max(map(len, lines)) <= WIDTH
    assert "4 times: 3 × 200, 1 × none (connect)" in lines[0]
