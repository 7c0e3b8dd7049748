"""A model that is loaded at the start guesses languages: `askd serve docs/examples/model_loading/main.py`.

Then ask it:

    curl -G 'localhost:2024/ask' --data-urlencode 'q=Wo ist der Bahnhof?'       # {"answer":"de",…}
    curl 'localhost:2024/readyz'        # 503 while the model loads, then 200
"""

import json
import math
from collections import Counter
from pathlib import Path

MODEL = Path(__file__).with_name("model.json")
"""Sentences of each language. A real model would be weights."""


def _trigrams(text: str) -> Counter[str]:
    """Count the sequences of three characters."""
    padded = f"  {text.lower()} "
    return Counter(padded[index : index + 3] for index in range(len(padded) - 2))


class LanguageGuesser:
    """Compares the trigrams of a text with those of the model."""

    deterministic = True

    def setup(self) -> None:
        """Load the model once, before the first question."""
        texts = json.loads(MODEL.read_text(encoding="utf-8"))
        self.profiles = {language: _trigrams(" ".join(sentences)) for language, sentences in texts.items()}

    def answer(self, text: str) -> dict[str, str | float]:
        """Guess the language of a text."""
        counts = _trigrams(text)
        scores = {language: self._similarity(counts, profile) for language, profile in self.profiles.items()}
        language = max(scores, key=lambda name: scores[name])
        return {"answer": language, "score": round(scores[language], 2)}

    @staticmethod
    def _similarity(first: Counter[str], second: Counter[str]) -> float:
        product = sum(count * second[trigram] for trigram, count in first.items())
        return product / math.sqrt(sum(n * n for n in first.values()) * sum(n * n for n in second.values()))
