"""A web that misbehaves, on loopback, and a project that downloads from it.

server.py serves; each behaviour is one small function in answers.py, bodies.py, wires.py,
redirects.py or archives.py, registered under the first part of its path.
"""

from webfaults import answers, archives, bodies, redirects, wires

__all__ = ["answers", "archives", "bodies", "redirects", "wires"]
