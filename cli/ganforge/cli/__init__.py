"""ganforge.cli: the command line. One file per command; each parses, makes one call and prints."""
