"""What the pipeline from feedback to a fine-tuned model costs, each figure beside a naive baseline.

rows        collect, curate and export, each in a process of its own: pace and memory
whole       the same with whole lists in memory: what rows are compared with
asking      a provider that takes its time, asked several times at once and one by one
uploading   the files of a job on their way to such a provider
guarding    a call behind the circuit breaker, and the bare call
measure     all of it in one run, with what `benchmarks.collecting`, `benchmarks.curation` and
            `benchmarks.cache` measure alone
goals       what was to be reached, and whether it was
figures     memory, drawn
page        what docs/performance.md and benchmarks/README.md show of it
"""
