"""`greenlight demo`: the whole loop on BANKING77, from nothing, over real HTTP.

Nothing is scripted. v1 goes live; v2 is trained, gated, approved and rolled out, and takes the
traffic if the evidence says so; v3 passes every gate from its bundle, but the model server that is
deployed for it names its labels in another order, and only users can tell.
"""

from __future__ import annotations

from greenlight.entrypoints.demo.conductor import Options, run

__all__ = ["Options", "run"]
