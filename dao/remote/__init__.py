"""Stores at URLs: reading and writing objects through obstore."""
