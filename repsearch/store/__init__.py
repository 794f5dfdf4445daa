"""Targets on disk: files, manifest, reader, writer, and the folder as a whole."""
