"""matscout: from a chemical search space to a ranked, reproducible list of new stable crystals."""

__version__ = "0.1.0"
