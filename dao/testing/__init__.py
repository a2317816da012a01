"""Tools for those who test with dao."""
