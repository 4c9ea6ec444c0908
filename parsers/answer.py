"""The answers of a parser.

A parser looks at octets that may be a beginning only. It never knows whether more will
come, so "cut short" is not among its answers: whoever owns the stream concludes that from
NEED_MORE and what it knows of the capture.

This module stays uncompiled: constants of a compiled module are hidden from Python.
"""

FOUND = 1
"""The structure is there, whole."""

NEED_MORE = 0
"""Everything so far fits; the octets end too early."""

NO_MATCH = 2
"""These octets cannot be this structure, whatever follows."""
