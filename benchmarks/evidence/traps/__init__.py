"""Ways to be wrong about two arms that are alike, and the rule that mends each.

Every trap is one function of the number of runs. It plays a world in which the candidate does no
harm (or is no better), judges it the tempting way and by the rule, and says how often each is
wrong.
"""
