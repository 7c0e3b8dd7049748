"""Answers from an HTTP API, the summaries of Wikipedia: `askd serve docs/examples/async_http/main.py`.

Then ask it:

    curl -G 'localhost:2024/ask' --data-urlencode 'q=Load balancing (computing)'
    curl 'localhost:2024/ask?q=Nosuchpage'          # 404: the API has no such page
"""

import os
from urllib.parse import quote

import aiohttp

API = os.environ.get("SUMMARY_API", "https://en.wikipedia.org/api/rest_v1/page/summary")


class Wikipedia:
    """Keeps its connections open between questions."""

    async def setup(self) -> None:
        """Open the session when the server starts."""
        self.session = aiohttp.ClientSession(headers={"User-Agent": "askd-example"})

    async def answer(self, title: str) -> dict[str, str] | None:
        """Return the summary of an article."""
        async with self.session.get(f"{API}/{quote(title, safe='')}") as response:
            if response.status == 404:
                return None  # no answer
            response.raise_for_status()
            body = await response.json()
            return {"answer": body["extract"], "title": body["title"]}

    async def close(self) -> None:
        """Close the session when the server stops."""
        await self.session.close()
