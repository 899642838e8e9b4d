"""Answers to the exercises of chapter 17: other right ways, and known mistakes with their messages."""

RIGHT = {}
WRONG = {}
REFUSED = {}
