"""A class that asks another server, which compose.yaml starts beside it."""

import os

import aiohttp


class Front:
    """Greets, and passes the question on."""

    async def setup(self) -> None:
        """Open the connections when the server starts."""
        self.session = aiohttp.ClientSession(os.environ.get("FAQ_URL", "http://localhost:2024"))

    async def answer(self, text: str) -> str | None:
        """Return the answer of the book with a greeting, or None if it has none."""
        async with self.session.get("/ask", params={"q": text}) as response:
            if response.status == 404:
                return None
            response.raise_for_status()
            body = await response.json()
            return f"Hello! {body['answer']}"

    async def close(self) -> None:
        """Close the connections when the server stops."""
        await self.session.close()
