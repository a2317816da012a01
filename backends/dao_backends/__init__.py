"""The backends that come with dao; each is found through the entry-point group `dao.backends`."""
