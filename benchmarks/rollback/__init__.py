"""How soon a candidate that does harm is out of traffic, with real processes, and what it cost.

    model       a model server whose faults are known, as a process
    users       sticky users who ask every gateway in turn and judge by true labels, as a process
    house       an installation: two gateways of two processes, two controllers, one SQLite store
    runs        one candidate from its start to its last replica, and what the store says of it
    alarms      the same candidates under declared alarms, without any evidence
    takeover    the leading controller is killed in the middle of a fault
    killing     the kill switch while the store is away
    measure     all of it, one after the other
    measures    what is made of times, answers and routings: pure, and tested
    results     medians, goals, and the tables
    figures     the figures of docs/rollback.md
    page        what docs/rollback.md shows of it

The faults are the models' own: nothing in Greenlight is made to misbehave.
"""
