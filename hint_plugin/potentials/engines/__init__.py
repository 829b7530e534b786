"""One file an engine; `hint_plugin.potentials.registry` knows them by name."""
