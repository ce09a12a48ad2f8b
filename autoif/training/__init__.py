"""Training: SFT and DPO on Lightning, in a process of its own.

``stages.py`` (torch-free) is what the graph calls; ``launch.py`` starts ``main.py`` on a resolved job file.
"""
