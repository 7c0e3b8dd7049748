"""Import the user's code and run it."""
