"""The generic route: log p(data | φ) of any Pyro program whose hidden discrete sites can be enumerated."""
