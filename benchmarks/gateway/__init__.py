"""What the gateway costs, beside its own floor and beside what else there is, on one machine.

    upstream    a provider of chat completions that costs next to nothing
    floor       a proxy of the same stack that does nothing else: what is above it is the gateway's
    ours        installations of Greenlight in a folder, and how their gateway is started
    predict     a gateway with a model that costs nothing, as a process
    peers       LiteLLM, MLflow and TensorZero, each installed in a venv of its own
    inside      what runs with a peer's Python
    servers     everything above by name: how it is started, and what it is asked
    processes   starting, pausing and ending a server; its CPU and memory from /proc
    load        users, as a process: cheap, checks every answer, takes the time
    measure     one server in one round: CPU per request, latency, pace, streams
    rounds      the servers in turn, and the medians
    goals       what was to be reached, and whether it was
    page        what docs/performance.md shows of it

The server under test has one core; users and the provider have another. Every server is up all the
time, but all except the one that is measured are stopped (SIGSTOP), so that they cost nothing.
"""
