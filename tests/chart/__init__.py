"""Tests of the chart, and what makes its generated files."""
