"""The command line, ``python -m validation``.

Read `commands` (one function a command); `progress` is what a terminal shows meanwhile.
"""
