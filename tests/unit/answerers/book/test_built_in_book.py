"""The built-in book, measured: what people ask gets its answer, anything else gets none."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

import service
from service.answerers.book import Book
from service.errors import NoAnswer
from service.models import Question

SOURCE = Path(service.__file__).parent / "books" / "networking.yaml"

SUBJECTS = """
    server, client, port, API, framework, container, cloud, request, response, protocol, HTTP, TCP, DNS, TLS,
    load balancer, reverse proxy, probe, replica, autoscaler, rollout, drain, time-out, retry, cache, rate limit,
    metric, log, trace, Kubernetes, pod, Helm, image, thread, event loop, latency, throughput
"""

PARAPHRASES = {
    "whats a server": "What is a server?",
    "please explain what a load balancer does": "What is a load balancer?",
    "tell me about load balancers": "What is a load balancer?",
    "load balancing between servers": "What is a load balancer?",
    "can you explain to me how containers work?": "What is a container?",
    "what exactly is a Kubernetes pod": "What is a pod?",
    "define latency please": "What is latency?",
    "how do reverse proxies work": "What is a reverse proxy?",
    "what does a reverse proxy server do": "What is a reverse proxy?",
    "meaning of DNS": "What is DNS?",
    "difference between tcp and udp protocols": "What is the difference between TCP and UDP?",
    "HTTP status codes": "What is a status code?",
    "what is the purpose of an API gateway": "What is a gateway?",
    "container images": "What is an image?",
    "docker images": "What is an image?",
    "what is a k8s cluster": "What is a cluster?",
    "horizontal autoscaling": "What is an autoscaler?",
    "graceful shutdown of a server": "What is draining?",
    "rolling updates": "What is a rollout?",
    "how does rate limiting work": "What is a rate limit?",
    "structured logs": "What is a log?",
    "liveness probes": "What is a liveness probe?",
    "why are timeouts needed": "What is a time-out?",
    "what is the difference between a thread and a process": "What is a process?",
    "bearer tokens": "What is a token?",
    "what is python's global interpreter lock": "What is the GIL?",
    "how does the event loop work in asyncio": "What is an event loop?",
    "what are http headers": "What is a header?",
    "TLS certificates": "What is a certificate?",
    "what's an IP address then": "What is an IP address?",
    "network ports": "What is a port?",
    "what is a distributed trace": "What is a trace?",
    "helm charts in kubernetes": "What is Helm?",
    "web frameworks": "What is a framework?",
    "what is a message queue for": "What is a queue?",
    "exponential backoff for retries": "What is a retry?",
    "how do I roll back to a previous version": "What is a rollback?",
    "idempotent requests": "What is idempotence?",
    "is a container the same as a virtual machine": "What is the difference between a container and a virtual machine?",
    "websocket": "What is a WebSocket?",
    "hello there": "hello",
}

OFF_TOPIC = """
What is the capital of France? | who won the world cup in 1998 | how do I bake a chocolate cake | asdf qwerty zxcv
what is the weather in Paris today | how old is the president of the united states | what is love | tell me a joke
how many legs does a spider have | recipe for tomato soup | best restaurants in Berlin | who wrote Hamlet | xkcd
translate good morning into Spanish | what is 2 + 2 | how to tie a tie | what time is it | buy cheap shoes online
lorem ipsum dolor sit amet | how do I train my dog to sit | what is the boiling point of water | is there life on mars
should I buy stocks or bonds | how does photosynthesis work | write a poem about the sea | flights from London to Rome
the weather in the clouds over Spain | best port wine from Portugal | how to log trees in a forest | how are you?
how do I ship a shipping container to Brazil | restaurant server tips in America | image of a cute cat | who are they
who is the client of this lawyer | what is quantum chromodynamics | 人生的意义是什么 | жизнь на марсе | ?!
why | what is it
"""


@pytest.fixture
async def book() -> AsyncIterator[Book]:
    """The built-in book, loaded."""
    book = Book()
    await book.load(lambda line: None)
    yield book
    await book.close()


async def told(book: Book, text: str) -> str | None:
    """Return the answer's text, None where there is none."""
    try:
        return (await book.answer(Question(text=text))).text
    except NoAnswer:
        return None


@pytest.mark.parametrize("text", ["hello", "Hello!", "hi", "HEY", " hi. "])
async def test_it_greets(book: Book, text: str) -> None:
    """A greeting gets exactly `Hi`."""
    assert await told(book, text) == "Hi"


@pytest.mark.parametrize("subject", [subject.strip() for subject in SUBJECTS.split(",")])
async def test_it_knows_its_subject(book: Book, subject: str) -> None:
    """Each subject is at hand, asked for by its name or with a lead."""
    for text in (subject, f"What is a {subject}?", f"define {subject.lower()}"):
        assert book.at_hand(Question(text=text)), text


async def test_paraphrases_get_their_entry(book: Book) -> None:
    """Every labelled paraphrase gets the answer of the entry it means."""
    meant = {text: await told(book, question) for text, question in PARAPHRASES.items()}
    assert None not in meant.values()
    assert {text: await told(book, text) for text in PARAPHRASES} == meant


async def test_anything_else_gets_no_answer(book: Book) -> None:
    """No labelled question about something else, and no nonsense, gets an answer."""
    questions = [text.strip() for text in re.split(r"[|\n]", OFF_TOPIC) if text.strip()]
    assert {text: await told(book, text) for text in questions} == dict.fromkeys(questions)


def test_answers_are_short_and_plain() -> None:
    """One to three sentences each, without markup, and enough of them."""
    entries = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    assert len(entries) >= 30
    for entry in entries[1:]:
        sentences = re.findall(r"[.!?](?:\s|$)", entry["answer"].strip())
        assert 1 <= len(sentences) <= 3, entry["ask"]
        assert not set("`*<>_") & set(entry["answer"]), entry["ask"]
