"""Other programs' files: the formats of the authors' released scripts, both ways, and training sets for other trainers.

``upstream.py`` reads and writes the scripts' intermediate files, so what people already made enters the pipeline at the
stage it belongs to. ``training_sets.py`` writes SFT samples and preference pairs for LLaMA-Factory, TRL and others.
"""
