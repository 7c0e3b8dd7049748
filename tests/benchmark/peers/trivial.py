"""The least that code can do, for askd: an async function, and one that needs a thread."""


async def asynchronous(_text: str) -> str:
    """Give what the bare apps give."""
    return "Hi"


def synchronous(_text: str) -> str:
    """Give the same, from a thread."""
    return "Hi"
