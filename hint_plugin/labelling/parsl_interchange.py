"""The path that Parsl's launch commands of version 0.1 name; the program is in `hint_plugin.parallel`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("hint_plugin.parallel.parsl_interchange", run_name="__main__", alter_sys=True)
