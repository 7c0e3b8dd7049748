"""Counts typos: the edit distance of two words."""


def count_max_typos(word: str) -> int:
    """Return how many typos a word may have: 0 below 5 letters, 1 below 9, else 2."""
    return 0 if len(word) < 5 or not word.isalpha() else 1 if len(word) < 9 else 2


def count_typos(first: str, second: str, maximum: int) -> int:
    """Return the Damerau-Levenshtein distance (optimal string alignment), or `maximum` + 1 if it is greater."""
    if abs(len(first) - len(second)) > maximum:
        return maximum + 1
    before: list[int] = []
    previous = list(range(len(second) + 1))
    for row, letter in enumerate(first, 1):
        current = [row]
        for column, other in enumerate(second, 1):
            distance = min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (letter != other))
            if row > 1 and column > 1 and letter == second[column - 2] and first[row - 2] == other:
                distance = min(distance, before[column - 2] + 1)
            current.append(distance)
        if min(current) > maximum:
            return maximum + 1
        before, previous = previous, current
    return previous[-1]
