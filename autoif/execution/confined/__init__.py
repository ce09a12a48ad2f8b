"""What runs inside a worker: a fresh interpreter without site-packages that confines itself and forks job children.

Standard library only, and nothing of ``autoif`` is imported here: whatever a worker loads is copied by every fork and
can be reached by untrusted code.
"""
