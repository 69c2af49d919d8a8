"""The server under attack, and what is done to it and observed of it."""
