"""One file a verb: it parses its options, calls one function, and prints."""
