"""Tests of the guards, and the model of a loop that they run the limiter in."""
