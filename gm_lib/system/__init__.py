"""What no reader of the book needs to know: files, signals, processes, settings, names."""
