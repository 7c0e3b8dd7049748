"""Answerer for books: YAML, JSON or Markdown files of questions and answers."""
