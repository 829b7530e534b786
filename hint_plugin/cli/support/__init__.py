"""What verbs share: options, progress, tables, what is written beside the results."""
