"""Tests of the container image, which is built and run; they need docker."""
