"""Remote answerers over real sockets."""
