"""The attacking clients. Each address runs in a process of its own."""
