"""The preprocessing of an import: read from files, stated by options, shown to people."""
