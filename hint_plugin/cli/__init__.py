"""The `hint` command: one file a verb, thin, with imports inside."""
