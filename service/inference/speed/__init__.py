"""What is measured on this machine, and kept for the next start."""
