"""The insides of the presets of `StructureFeaturizer`, one module for each family of them."""
