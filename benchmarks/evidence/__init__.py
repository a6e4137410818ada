"""What the evidence engine claims, shown by simulation: how often it errs, and how soon it sees.

    counting      crossings, rates, quantiles and the rows that they become
    streams       outcomes of units that come once: the nulls, the effects, the delays
    recurring     outcomes of units that come again while the split changes
    comparators   what people do otherwise: z tests, peeking, an asymptotic sequence
    null          how often each method errs where nothing is wrong
    sizes         how many outcomes each test takes where something is
    faults        how soon errors are seen, and by what kind of alarm
    first_events  first events of units that come again: latency, and healthy days
    small         splits that are not kept, and what an update costs
    traps         thirteen ways to be wrong, before and after the rule that mends each
    pieces        everything above by name, with how many runs
    figures, page what is drawn and written of it

Many runs are simulated side by side: every array has an entry per run. The tests are those of
`core.stats`, by the same arithmetic (`core.stats.many`).
"""
