"""Changes on disk are served whole, or not at all."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.answerers.book import Book, Outcome, build, files
from service.errors import LoadError
from service.models import Question

Write = Callable[[str, str], Path]
Load = Callable[[Path | None], Awaitable[Book]]


def text(answer: str) -> str:
    """A book of one entry."""
    return f"- {{ask: a, answer: {answer}}}\n"


def told(book: Book) -> str | None:
    """Return what the book answers now."""
    answer = book.at_hand(Question(text="a"))
    return answer.text if answer else None


def rename_over(path: Path, text: str) -> None:
    """Save as most editors do: write beside, then rename."""
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def in_place(path: Path, text: str) -> None:
    """Save as the others do: truncate, then write."""
    path.write_text(text, encoding="utf-8")


async def until(outcomes: asyncio.Queue[Outcome], wanted: Outcome) -> None:
    """Wait for this outcome of a reload; those before it may be of a file caught half written."""
    async with asyncio.timeout(20):
        while await outcomes.get() != wanted:
            pass


@pytest.mark.parametrize("save", [rename_over, in_place])
@pytest.mark.parametrize("single", [True, False])
async def test_a_saved_file_is_served(
    write: Write,
    load: Load,
    save: Callable[[Path, str], None],
    single: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A file, given itself or by its folder, is read again however the editor saves it, every time."""
    folder = write("a.yaml", text("one"))
    book = await load(folder / "a.yaml" if single else folder)
    version, outcomes = book.version, book.outcomes()
    for answer in ("two", "three"):
        save(folder / "a.yaml", text(answer))
        await until(outcomes, "reloaded")
        assert told(book) == answer
    assert book.version != version
    assert book.statistics().reloads == 2


async def test_files_come_and_go(write: Write, load: Load) -> None:
    """A new file in a new folder is served, a removed one no more."""
    folder = write("a.yaml", text("one"))
    book = await load(folder)
    outcomes = book.outcomes()
    write("sub/b.yaml", "- {ask: b, answer: c}")
    await until(outcomes, "reloaded")
    assert book.statistics().entries == 2
    (folder / "sub" / "b.yaml").unlink()
    await until(outcomes, "reloaded")
    assert book.statistics().entries == 1


class ConfigMap:
    """A folder as kubelet mounts it: files are links to `..data/…`, and `..data` a link that is swapped at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = iter(range(100))
        folder.mkdir()

    def publish(self, contents: dict[str, str]) -> None:
        """Write the next version beside the present one, swap, and remove the old."""
        data = self.folder / "..data"
        before = data.resolve() if data.exists() else None
        version = self.folder / f"..version_{next(self._versions)}"
        for name, content in contents.items():
            (version / name).parent.mkdir(parents=True, exist_ok=True)
            (version / name).write_text(content, encoding="utf-8")
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").replace(data)
        for name in {Path(name).parts[0] for name in contents}:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for path in sorted(before.rglob("*"), reverse=True) if before else ():
            path.rmdir() if path.is_dir() else path.unlink()
        if before:
            before.rmdir()


@pytest.mark.parametrize("part", ["", "a.yaml"])
async def test_a_swapped_configmap_is_served(tmp_path: Path, load: Load, part: str) -> None:
    """Kubernetes' swap of a mounted ConfigMap is seen, for the folder and for one file in it, again and again."""
    mounted = ConfigMap(tmp_path / "mounted")
    mounted.publish({"a.yaml": text("v0"), "sub/b.yaml": "- {ask: b, answer: v0}"})
    book = await load(mounted.folder / part)
    outcomes = book.outcomes()
    assert book.statistics().entries == (1 if part else 2)
    for number in ("v1", "v2", "v3"):
        mounted.publish({"a.yaml": text(number), "sub/b.yaml": f"- {{ask: b, answer: {number}}}"})
        await until(outcomes, "reloaded")
        assert told(book) == number
    assert book.statistics().reload_failures == 0


async def test_a_link_elsewhere_is_followed(tmp_path: Path, write: Write, load: Load) -> None:
    """A book that is a link to a file in another folder is read again when that file changes."""
    folder = write("a.yaml", text("one"))
    link = tmp_path / "link.yaml"
    link.symlink_to(folder / "a.yaml")
    book = await load(link)
    outcomes = book.outcomes()
    rename_over(folder / "a.yaml", text("two"))
    await until(outcomes, "reloaded")
    assert told(book) == "two"


async def test_a_broken_version_is_logged_and_the_old_one_serves(write: Write, load: Load) -> None:
    """What cannot be loaded is counted and named with its place; the next good version heals."""
    folder = write("a.yaml", text("one"))
    book = await load(folder)
    version, outcomes = book.version, book.outcomes()
    with capture_logs() as logs:
        rename_over(folder / "a.yaml", "- {ask: a}\n")
        await until(outcomes, "failed")
    assert [(line["event"], line["log_level"]) for line in logs] == [("book.reload_failed", "error")]
    assert "a.yaml:1: the entry has no `answer`" in logs[0]["fault"]
    assert (told(book), book.version, book.statistics().reload_failures) == ("one", version, 1)
    assert book.statistics().reload_failing
    rename_over(folder / "a.yaml", text("two"))
    await until(outcomes, "reloaded")
    assert (told(book), book.statistics().reloads, book.statistics().reload_failing) == ("two", 1, False)


async def test_a_vanished_book_goes_on_serving(write: Write, load: Load) -> None:
    """Without its folder the old version serves; once it is back, the new one does."""
    folder = write("a.yaml", text("one"))
    book = await load(folder)
    outcomes = book.outcomes()
    (folder / "a.yaml").unlink()
    folder.rmdir()
    await until(outcomes, "failed")
    assert told(book) == "one"
    write("a.yaml", text("two"))
    await until(outcomes, "reloaded")
    assert told(book) == "two"


async def test_the_same_content_is_the_same_version(write: Write, load: Load) -> None:
    """A save without a change is read and not counted."""
    folder = write("a.yaml", text("one"))
    book = await load(folder)
    version, outcomes = book.version, book.outcomes()
    rename_over(folder / "a.yaml", text("one"))
    await until(outcomes, "unchanged")
    assert (book.version, book.statistics().reloads) == (version, 0)


async def test_reloads_leave_no_trace_in_answers(write: Write, load: Load) -> None:
    """After any number of reloads the version and the answers are those of a fresh load."""
    folder = write("a.yaml", text("one"))
    book = await load(folder)
    version, outcomes = book.version, book.outcomes()
    for answer in ("two", "three", "one"):
        rename_over(folder / "a.yaml", text(answer))
        await until(outcomes, "reloaded")
    assert (book.version, told(book)) == (version, "one")


async def test_the_old_version_frees_its_memory_at_once(write: Write, load: Load) -> None:
    """What a reload replaced is gone without waiting for the garbage collector: it may be half a gigabyte."""
    folder = write("a.yaml", text("one"))
    book = await load(folder)
    outcomes = book.outcomes()
    assert book._edition
    old = weakref.ref(book._edition._store)
    gc.disable()
    try:
        rename_over(folder / "a.yaml", text("two"))
        await until(outcomes, "reloaded")
        assert old() is None
    finally:
        gc.enable()


async def test_without_events_a_look_finds_changes(write: Write, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no watches left a warning says so, and changes are found by looking."""

    def none_left(*_: object, **__: object) -> Iterator[object]:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("watchfiles.watch", none_left)
    folder = write("a.yaml", text("one"))
    with capture_logs() as logs:
        book = await load(folder)
        outcomes = book.outcomes()
        rename_over(folder / "a.yaml", text("two"))
        await until(outcomes, "reloaded")
    assert told(book) == "two"
    assert [line["log_level"] for line in logs if line["event"] == "book.events_unavailable"] == ["warning"]


def test_what_changes_while_it_is_read_is_not_taken(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are half of one version and half of the next make no edition, faulty or not."""
    folder = write("a.yaml", text("one"))
    real = files.read
    for name, content in (("b.yaml", "- {ask: b, answer: c}"), ("a.yaml", "- {ask: a")):

        def read(path: Path, name: str = name, content: str = content) -> bytes:
            data = real(path) if name == "b.yaml" else b"- {ask"
            write(name, content)
            return data

        monkeypatch.setattr(files, "read", read)
        with pytest.raises(build.Changing):
            build.build_edition(folder, lambda line: None, threading.Event())


async def test_a_first_load_waits_for_complete_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that never stop changing end the start with a message, after a bounded number of tries."""
    folder, counts = write("a.yaml", text("one")), iter(range(1000))
    monkeypatch.setattr("service.answerers.book._PAUSE", 0)
    monkeypatch.setattr(files, "fingerprint", lambda book: ((str(next(counts)), 0, 0, 0, 0),))
    book = Book(folder)
    with pytest.raises(LoadError, match="the files change while they are read"):
        await book.load(lambda line: None)
    await book.close()


async def test_a_load_that_is_cancelled_stops(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is broken off ends the reading thread as well."""
    reading, go_on = threading.Event(), threading.Event()
    real = files.read

    def read(path: Path) -> bytes:
        reading.set()
        go_on.wait(20)
        return real(path)

    monkeypatch.setattr(files, "read", read)
    book = Book(write("a.yaml", text("one")))
    loading = asyncio.create_task(book.load(lambda line: None))
    await asyncio.to_thread(reading.wait, 20)
    loading.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await loading
    await book.close()
    assert book.statistics().entries == 0


async def test_closing_ends_the_threads(write: Write) -> None:
    """Nothing watches after `close`, and closing twice, or before loading, is no fault."""
    book = Book(write("a.yaml", text("one")))
    await book.load(lambda line: None)
    assert any(thread.name == "askd-book-watch" for thread in threading.enumerate())
    await book.close()
    await book.close()
    assert not any(thread.name == "askd-book-watch" for thread in threading.enumerate())
    await Book(None).close()


async def test_the_built_in_book_is_not_watched(load: Load) -> None:
    """It comes with the package and changes with it only."""
    book = await load(None)
    assert book._watch is None


async def test_links_in_a_circle_end(write: Write, load: Load) -> None:
    """A folder that links to its own parent is read once."""
    folder = write("sub/a.yaml", text("one"))
    (folder / "sub" / "up").symlink_to(folder)
    assert (await load(folder)).statistics().entries == 1
