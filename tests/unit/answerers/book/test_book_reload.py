"""Tests of reloads: a changed book is served completely or not at all."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from askd.answerers.book import snapshot_builder
from askd.answerers.book.answerer import BookAnswerer, ReloadOutcome
from askd.answerers.book.formats import book_file_discovery
from askd.errors import LoadError
from askd.models import Question

Write = Callable[[str, str], Path]
Load = Callable[[Path | None], Awaitable[BookAnswerer]]


def yaml_book(answer: str) -> str:
    """Return a book of one entry."""
    return f"- {{ask: a, answer: {answer}}}\n"


def current_answer(book: BookAnswerer) -> str | None:
    """Return the book's answer to the question of `yaml_book`."""
    answer = book.try_immediate(Question(text="a"))
    return answer.text if answer else None


def save_by_rename(path: Path, text: str) -> None:
    """Save as most editors do: write a temporary file, then rename it."""
    temporary = path.with_name(f".{path.name}.swp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def save_in_place(path: Path, text: str) -> None:
    """Save as other editors do: truncate, then write."""
    path.write_text(text, encoding="utf-8")


async def wait_for_outcome(outcomes: asyncio.Queue[ReloadOutcome], expected: ReloadOutcome) -> None:
    """Wait for a reload with this outcome. Ignores earlier ones, which may have read a partly written file."""
    async with asyncio.timeout(20):
        while await outcomes.get() != expected:
            pass


@pytest.mark.parametrize("save", [save_by_rename, save_in_place])
@pytest.mark.parametrize("single", [True, False])
async def test_saved_file_is_reloaded(
    write: Write,
    load: Load,
    save: Callable[[Path, str], None],
    single: bool,  # noqa: FBT001 - test parameter
) -> None:
    """Every save is reloaded, for each way of saving, and whether the book is a file or a folder."""
    folder = write("a.yaml", yaml_book("one"))
    book = await load(folder / "a.yaml" if single else folder)
    version, outcomes = book.version, book.subscribe_reloads()
    for answer in ("two", "three"):
        save(folder / "a.yaml", yaml_book(answer))
        await wait_for_outcome(outcomes, "reloaded")
        assert current_answer(book) == answer
    assert book.version != version
    assert book.statistics().reloads == 2


async def test_added_and_removed_files(write: Write, load: Load) -> None:
    """A new file in a new folder is loaded; a removed file is unloaded."""
    folder = write("a.yaml", yaml_book("one"))
    book = await load(folder)
    outcomes = book.subscribe_reloads()
    write("sub/b.yaml", "- {ask: b, answer: c}")
    await wait_for_outcome(outcomes, "reloaded")
    assert book.statistics().entries == 2
    (folder / "sub" / "b.yaml").unlink()
    await wait_for_outcome(outcomes, "reloaded")
    assert book.statistics().entries == 1


class ConfigMap:
    """A ConfigMap as mounted by kubelet: files are links to `..data/…`, and `..data` is a link that is replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = iter(range(100))
        folder.mkdir()

    def publish(self, contents: dict[str, str]) -> None:
        """Write a new version, replace the link, and remove the old version."""
        data = self.folder / "..data"
        previous = data.resolve() if data.exists() else None
        version = self.folder / f"..version_{next(self._versions)}"
        for name, content in contents.items():
            (version / name).parent.mkdir(parents=True, exist_ok=True)
            (version / name).write_text(content, encoding="utf-8")
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").replace(data)
        for name in {Path(name).parts[0] for name in contents}:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for path in sorted(previous.rglob("*"), reverse=True) if previous else ():
            path.rmdir() if path.is_dir() else path.unlink()
        if previous:
            previous.rmdir()


@pytest.mark.parametrize("part", ["", "a.yaml"])
async def test_updated_configmap_is_reloaded(tmp_path: Path, load: Load, part: str) -> None:
    """Every update of a mounted ConfigMap is reloaded, for the whole folder and for one file in it."""
    mounted = ConfigMap(tmp_path / "mounted")
    mounted.publish({"a.yaml": yaml_book("v0"), "sub/b.yaml": "- {ask: b, answer: v0}"})
    book = await load(mounted.folder / part)
    outcomes = book.subscribe_reloads()
    assert book.statistics().entries == (1 if part else 2)
    for number in ("v1", "v2", "v3"):
        mounted.publish({"a.yaml": yaml_book(number), "sub/b.yaml": f"- {{ask: b, answer: {number}}}"})
        await wait_for_outcome(outcomes, "reloaded")
        assert current_answer(book) == number
    assert book.statistics().reload_failures == 0


async def test_link_target_is_watched(tmp_path: Path, write: Write, load: Load) -> None:
    """A book that is a link to a file in another folder is reloaded when that file changes."""
    folder = write("a.yaml", yaml_book("one"))
    link = tmp_path / "link.yaml"
    link.symlink_to(folder / "a.yaml")
    book = await load(link)
    outcomes = book.subscribe_reloads()
    save_by_rename(folder / "a.yaml", yaml_book("two"))
    await wait_for_outcome(outcomes, "reloaded")
    assert current_answer(book) == "two"


async def test_invalid_change_is_logged_and_not_served(write: Write, load: Load) -> None:
    """A failed reload is logged and counted, and the old version is served until the next valid change."""
    folder = write("a.yaml", yaml_book("one"))
    book = await load(folder)
    version, outcomes = book.version, book.subscribe_reloads()
    with capture_logs() as logs:
        save_by_rename(folder / "a.yaml", "- {ask: a}\n")
        await wait_for_outcome(outcomes, "failed")
    assert [(line["event"], line["log_level"]) for line in logs] == [("book_reload_failed", "error")]
    assert "a.yaml:1: the entry lacks `answer`" in logs[0]["error"]
    assert (current_answer(book), book.version, book.statistics().reload_failures) == ("one", version, 1)
    assert book.statistics().reload_failing
    save_by_rename(folder / "a.yaml", yaml_book("two"))
    await wait_for_outcome(outcomes, "reloaded")
    assert (current_answer(book), book.statistics().reloads, book.statistics().reload_failing) == ("two", 1, False)


async def test_removed_book_is_still_served(write: Write, load: Load) -> None:
    """If the folder is removed, the old version is served until the folder exists again."""
    folder = write("a.yaml", yaml_book("one"))
    book = await load(folder)
    outcomes = book.subscribe_reloads()
    (folder / "a.yaml").unlink()
    folder.rmdir()
    await wait_for_outcome(outcomes, "failed")
    assert current_answer(book) == "one"
    write("a.yaml", yaml_book("two"))
    await wait_for_outcome(outcomes, "reloaded")
    assert current_answer(book) == "two"


async def test_unchanged_content_keeps_the_version(write: Write, load: Load) -> None:
    """A save without a change of content does not count as a reload."""
    folder = write("a.yaml", yaml_book("one"))
    book = await load(folder)
    version, outcomes = book.version, book.subscribe_reloads()
    save_by_rename(folder / "a.yaml", yaml_book("one"))
    await wait_for_outcome(outcomes, "unchanged")
    assert (book.version, book.statistics().reloads) == (version, 0)


async def test_reloads_are_equal_to_a_fresh_load(write: Write, load: Load) -> None:
    """After several reloads, the version and the answer are the same as after a fresh load."""
    folder = write("a.yaml", yaml_book("one"))
    book = await load(folder)
    version, outcomes = book.version, book.subscribe_reloads()
    for answer in ("two", "three", "one"):
        save_by_rename(folder / "a.yaml", yaml_book(answer))
        await wait_for_outcome(outcomes, "reloaded")
    assert (book.version, current_answer(book)) == (version, "one")


async def test_reload_frees_the_old_snapshot(write: Write, load: Load) -> None:
    """A replaced snapshot, which may take half a gigabyte, is freed without the garbage collector."""
    folder = write("a.yaml", yaml_book("one"))
    book = await load(folder)
    outcomes = book.subscribe_reloads()
    assert book._snapshot
    old_store = weakref.ref(book._snapshot._store)
    gc.disable()
    try:
        save_by_rename(folder / "a.yaml", yaml_book("two"))
        await wait_for_outcome(outcomes, "reloaded")
        assert old_store() is None
    finally:
        gc.enable()


def test_change_during_the_load_is_detected(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that change during the load raise FilesChanged, whether the result is valid or not."""
    folder = write("a.yaml", yaml_book("one"))
    original = book_file_discovery.read_book_file
    for name, content in (("b.yaml", "- {ask: b, answer: c}"), ("a.yaml", "- {ask: a")):

        def read(path: Path, name: str = name, content: str = content) -> bytes:
            data = original(path) if name == "b.yaml" else b"- {ask"
            write(name, content)
            return data

        monkeypatch.setattr(snapshot_builder, "read_book_file", read)
        with pytest.raises(snapshot_builder.FilesChanged):
            snapshot_builder.load_snapshot(folder, lambda line: None, threading.Event())


async def test_initial_load_gives_up_on_changing_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the files keep changing, the initial load fails after a limited number of attempts."""
    folder, counts = write("a.yaml", yaml_book("one")), iter(range(1000))
    monkeypatch.setattr("askd.answerers.book.answerer._LOAD_RETRY_DELAY", 0)
    monkeypatch.setattr(snapshot_builder, "take_book_snapshot", lambda book: {str(next(counts)): (0, 0, 0, 0, 0, 0)})
    book = BookAnswerer(folder)
    with pytest.raises(LoadError, match="the files keep changing during the load"):
        await book.load(lambda line: None)
    await book.close()


async def test_cancelled_load_stops(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling the load stops the thread that reads the files."""
    read_started, read_allowed = threading.Event(), threading.Event()
    original = book_file_discovery.read_book_file

    def read(path: Path) -> bytes:
        read_started.set()
        read_allowed.wait(20)
        return original(path)

    monkeypatch.setattr(snapshot_builder, "read_book_file", read)
    book = BookAnswerer(write("a.yaml", yaml_book("one")))
    loading = asyncio.create_task(book.load(lambda line: None))
    await asyncio.to_thread(read_started.wait, 20)
    loading.cancel()
    read_allowed.set()
    with pytest.raises(asyncio.CancelledError):
        await loading
    await book.close()
    assert book.statistics().entries == 0


async def test_close_stops_watching(write: Write) -> None:
    """`close` stops the watcher, and may be called twice or before `load`. The built-in book is not watched."""
    tasks = asyncio.all_tasks()
    book = BookAnswerer(write("a.yaml", yaml_book("one")))
    await book.load(lambda line: None)
    assert len(asyncio.all_tasks() - tasks) == 1
    await book.close()
    await book.close()
    await BookAnswerer(None).close()
    built_in = BookAnswerer(None)
    await built_in.load(lambda line: None)
    assert asyncio.all_tasks() == tasks
    await built_in.close()


async def test_circular_links(write: Write, load: Load) -> None:
    """A folder that links to its own parent is read once."""
    folder = write("sub/a.yaml", yaml_book("one"))
    (folder / "sub" / "up").symlink_to(folder)
    assert (await load(folder)).statistics().entries == 1
