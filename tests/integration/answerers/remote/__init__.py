"""Tests of remote answerers over real sockets."""
