"""One file an engine; `hint_plugin.labelling.registry` knows them by name."""
