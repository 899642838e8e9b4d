"""Checks of chapter 17, where this leads."""
