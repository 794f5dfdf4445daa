"""The version of the library, which is part of what its records and targets are identified by."""

__version__ = "0.1.0"
