"""docs/SEQUENCE_DIAGRAM.md: who calls whom, as written down while a story was played."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.diagrams.story import Story
from scripts.diagrams.text import block, plain
from scripts.diagrams.tracing import Message, collapsed

PEOPLE = ("Person", "eve", "ana", "ben", "Client")
ORDER = (
    *PEOPLE,
    *("Gateways", "Controller", "Gateway", "Heartbeat", "Pipeline", "Process A", "Process B"),
    *("Stage", "Source", "Trainer", "Model", "intent@1", "intent@2", "Spool", "Folders", "Store"),
    "Provider",
)
"""From left to right."""

ARROWS = {"call": "->>", "read": "->>", "answer": "-->>"}
VERBS = {"Folders": "open", "Provider": "look at", "Store": "read"}

TEXT = """\
# Who calls whom

<!-- Written by `python -m scripts.diagrams`, which plays the scenes with the real code. -->

Every arrow was a call: a small pipeline, a gateway and a controller were run, and what went over
the ports of [CLASS_DIAGRAM.md](CLASS_DIAGRAM.md) was written down. Repeats are told once (`× 6`),
reads in a row are one arrow, and the ledger's head, read before each commit, is left out. `+
ledger` means that the commit extends the chain in the same transaction.

## A turn of the pipeline

Nothing is live yet, and the data are forty texts, read seven at a time. A stage hands over by what
it commits: its result and what it made are one transaction, which holds only if the run's lease is
still held. The heartbeat is a thread that gives a sign of life once a second; here it gave one, in
the middle of the training. The second call of the trainer is the check on shuffled labels.

{turn}

## The same inputs again

What follows from equal inputs is taken over from the run that paid for it: no row is curated,
nothing is trained, no text is asked of the model. Rows are collected anew, since only that tells
whether they are the same.

{again}

## Killed in training, and gone on with

Process A is a process of its own that sends itself SIGKILL inside the trainer; the store is a file.
Process B is refused while A's lease may still be good, and then goes on at the first stage that has
no record. What A had finished is not called again; what it had half made is thrown away.

{killed}

## A model fine-tuned at a provider

The trainer of backend `openai` with the official SDK, and what went over HTTP between it and a
provider, here `greenlight finetune-server`. It looks before it acts: at the jobs, for one that
carries the digest of all that goes into this one, and at the files, for one that is named by its
content.

{fine-tuned}

## Killed while the job runs

Process A ends as by SIGKILL. Process B remembers nothing of it and need not: it finds the job by
its digest, uploads nothing, creates nothing, and follows it to its end. One job, one bill.

{taken-up}

## People sign, and traffic begins

Each word is signed with that person's key. The second one meets the quorum and moves the version.
The first version of a task gets all traffic at once; the second version, made by another run,
starts a rollout at its first weight.

{sign-off}

## A request and what its user says of it

The gateway reads the store when it starts and at each poll, never for a request. The user falls
into the candidate's share. Both events are answered when they are in the spool's file; the store
takes them later (here it was held back until the answer was out). In the end the candidate
fails, and control answers in the same call.

{request}

## From evidence to routing

Simulated users live behind simulated gateways; the controller is the real one. Shown are its first
pass and each pass that changed the routing. One commit holds the evidence, the decision, the next
epoch and the statuses, and it holds only if the controller still leads; gateways read the new epoch
at their next poll.

{decision}
"""


def page(story: Story) -> str:
    """The text of docs/SEQUENCE_DIAGRAM.md."""
    text = TEXT
    for name, messages in story.scenes.items():
        text = text.replace(f"{{{name}}}", block(sequence(messages)))
    return text


def sequence(messages: Sequence[Message]) -> str:
    """Messages as a Mermaid sequence diagram."""
    names = {name for message in messages for name in (message.source, message.target)}
    places = sorted(names, key=lambda name: (ORDER.index(name), name))
    ids = {name: f"p{number}" for number, name in enumerate(places, 1)}
    lines = ["sequenceDiagram", "    autonumber"]
    for name, id in ids.items():
        lines.append(f"    {'actor' if name in PEOPLE else 'participant'} {id} as {plain(name)}")
    lines += [_line(message, times, ids) for message, times in collapsed(messages)]
    return "\n".join(lines)


def _line(message: Message, times: int, ids: dict[str, str]) -> str:
    words = message.text + (f" (× {times})" if times > 1 else "")
    source, target = ids[message.source], ids[message.target]
    if message.kind == "note" or source == target:
        return f"    Note over {source}: {plain(words)}"
    if message.kind == "read":
        words = f"{VERBS[message.target]} {words}"
    return f"    {source}{ARROWS[message.kind]}{target}: {plain(words)}"
