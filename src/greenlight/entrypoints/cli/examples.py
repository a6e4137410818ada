"""The examples at the end of each command's help."""

from __future__ import annotations

from collections.abc import Mapping

HEAD = "Examples:"

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "": (
        "greenlight init                       # a project from nothing",
        "greenlight demo                       # or see the whole loop first",
        "greenlight status --watch",
        "greenlight rollout start --help       # every command has examples",
    ),
    "init": (
        "greenlight init",
        "greenlight init --template file --project parcels",
        "greenlight init --template chat --person ana:ml_lead --person ben:product_owner",
        "greenlight -C desk init --template banking",
    ),
    "demo": (
        "greenlight demo",
        "greenlight demo --source sample --seed 3",
        "greenlight demo --candidate same      # an A/A test: nothing may win",
    ),
    "validate": ("greenlight validate", "greenlight -C desk validate --fail-on-warn"),
    "doctor": (
        "greenlight doctor",
        "greenlight doctor --json",
        "greenlight doctor --fail-on-warn      # in a script: 1 for a fault, 3 for a warning",
    ),
    "up": ("greenlight up", "GREENLIGHT_GATEWAY_PORT=8500 greenlight up"),
    "gateway": (
        "greenlight gateway",
        "GREENLIGHT_GATEWAY_HOST=0.0.0.0 greenlight gateway --workers 4",
    ),
    "controller": (
        "greenlight controller",
        "GREENLIGHT_CONTROLLER_INTERVAL=5s greenlight controller",
    ),
    "worker": ("greenlight worker", "GREENLIGHT_WORKER_MEMORY=4GiB greenlight worker"),
    "finetune-server": (
        "greenlight finetune-server",
        "greenlight finetune-server --state tuning --base judge-base=cards.jsonl",
        "FINETUNE_KEY=… greenlight finetune-server --host 0.0.0.0 --key env:FINETUNE_KEY",
        "greenlight finetune-server --fault rate-limit:2@/v1/files --faults    # a bad day",
    ),
    "run": (
        "greenlight run intent",
        "greenlight run intent --from train    # on the data set that is there",
        "greenlight run intent --schedule      # when runs begin by themselves",
    ),
    "runs": ("greenlight runs list", "greenlight runs show 'intent#2' --watch"),
    "runs list": ("greenlight runs list", "greenlight runs list intent --limit 5"),
    "runs show": ("greenlight runs show 'intent#2'", "greenlight runs show 'intent#2' --watch"),
    "runs abort": ("greenlight runs abort 'intent#2'",),
    "eval": ("greenlight eval run intent@2", "greenlight eval seal intent@2"),
    "eval run": (
        "greenlight eval run intent@2",
        "greenlight eval run intent@2 --part intent --part live",
    ),
    "eval oos": ("greenlight eval oos intent@2", "greenlight eval oos intent@2 --draws 0"),
    "eval load": ("greenlight eval load intent@2 slo.json",),
    "eval seal": ("greenlight eval seal intent@2", "greenlight eval seal intent@2 --fail-on-warn"),
    "compare": (
        "greenlight compare intent@1 intent@2",
        "greenlight compare intent@1 intent@2 --show 20",
    ),
    "card": (
        "greenlight card intent@2",
        "greenlight card intent@2 --evaluation artifacts/eval/eval.json -o governance",
    ),
    "report": ("greenlight report pilot 'intent#2'",),
    "report pilot": (
        "greenlight report pilot 'intent#2'",
        "greenlight report pilot 'intent#2' -o governance",
    ),
    "plan": (
        "greenlight plan intent",
        "greenlight plan intent --effect 0.03 --per-day 2000",
    ),
    "rollout": ("greenlight rollout start intent intent@2",),
    "rollout abort": ('greenlight rollout abort intent -m "the campaign is off"',),
    "rollout rollback": ('greenlight rollout rollback intent -m "support is flooded"',),
    "rollout pause": ('greenlight rollout pause intent -m "a holiday, nobody watches"',),
    "rollout resume": ('greenlight rollout resume intent -m "back again"',),
    "rollout widen": ('greenlight rollout widen intent -m "few users, no harm for a week"',),
    "rollout promote": ('greenlight rollout promote intent -m "as good, and half the cost"',),
    "kill": (
        'greenlight kill intent -m "support is flooded"',
        'greenlight kill intent --lift -m "the cause is found"   # a new rollout may start',
    ),
    "drill": (
        "greenlight drill intent --fault errors",
        "greenlight drill intent --fault latency --trigger alarm    # takes some six minutes",
        "GREENLIGHT_PERSON_KEY=$(cat keys/kim) greenlight drill intent --fault quality --live",
    ),
    "drills": ("greenlight drills list",),
    "drills list": ("greenlight drills list intent --limit 5", "greenlight drills list --json"),
    "rollout start": (
        "greenlight rollout start intent intent@2",
        "greenlight rollout start intent intent@3 --aa",
        "greenlight rollout start intent intent@2 --wait    # in a script: 0 if it is promoted",
    ),
    "staging": ("greenlight staging list",),
    "staging record": ("greenlight staging record intent@2 -o intent@2.staging.json",),
    "staging accept": ("greenlight staging accept intent@2.staging.json",),
    "staging list": ("greenlight staging list", "greenlight staging list --json"),
    "status": (
        "greenlight status",
        "greenlight status intent --watch",
        "greenlight status --watch --json      # a line of JSON every second",
    ),
    "versions": ("greenlight versions list", "greenlight versions show intent@2"),
    "versions list": ("greenlight versions list", "greenlight versions list intent --json"),
    "versions show": (
        "greenlight versions show intent@2",
        "greenlight versions show intent@2 --lineage",
    ),
    "versions add": (
        'greenlight versions add intent bundles/9a3b0c44 -m "trained elsewhere"',
        "greenlight versions add intent --prompt ask.txt --model small "
        "--url http://models.internal/v1",
        "greenlight versions add intent --url http://models.internal:9000",
    ),
    "adopt": (
        "greenlight adopt support --url https://api.openai.com/v1 --model gpt-5-mini "
        '--key env:OPENAI_API_KEY -m "runs today"',
        'greenlight adopt intent --url http://models.internal:9000 -m "runs since March"',
    ),
    "rollouts": ("greenlight rollouts list", "greenlight rollouts show 0199d2f8"),
    "rollouts list": ("greenlight rollouts list", "greenlight rollouts list intent --limit 5"),
    "rollouts show": ("greenlight rollouts show 0199d2f8",),
    "rollouts evidence": (
        "greenlight rollouts evidence intent",
        "greenlight rollouts evidence 0199d2f8 -o case-0199d2f8",
    ),
    "incidents": ("greenlight incidents list", "greenlight incidents show intent"),
    "incidents list": ("greenlight incidents list", "greenlight incidents list intent --open"),
    "incidents show": ("greenlight incidents show 0199d2f8",),
    "decisions": ("greenlight decisions list", "greenlight decisions replay 0199d2f8"),
    "decisions list": (
        "greenlight decisions list intent",
        "greenlight decisions list --rollout 0199d2f8",
    ),
    "decisions show": ("greenlight decisions show 0199d2fc",),
    "decisions replay": ("greenlight decisions replay 0199d2f8",),
    "approve": (
        'GREENLIGHT_PERSON_KEY=$(cat keys/ana) greenlight approve intent@2 -m "better everywhere"',
        'greenlight approve intent@2 --revoke -m "spoke too soon"',
    ),
    "reject": ('greenlight reject intent@3 -m "fails on refunds"',),
    "keys": ("greenlight keys person ana --role ml_lead", "greenlight keys list"),
    "keys person": ("greenlight keys person ana --role ml_lead",),
    "keys ledger": ("greenlight keys ledger",),
    "keys create": (
        "greenlight keys create shop --scope predict --scope feedback",
        "greenlight keys create shop --scope predict --rate 20/s --burst 40 --expires 90d",
    ),
    "keys list": ("greenlight keys list",),
    "keys revoke": ('greenlight keys revoke shop -m "it stood in a log"',),
    "notify": ("greenlight notify test", "greenlight notify list"),
    "notify test": ("greenlight notify test", "greenlight notify test oncall --json"),
    "notify list": ("greenlight notify list",),
    "mlflow": ("greenlight mlflow sync", "greenlight mlflow status"),
    "mlflow sync": ("greenlight mlflow sync", "greenlight mlflow sync --json"),
    "mlflow status": ("greenlight mlflow status",),
    "import": (
        "greenlight import tickets.csv --task intent --text body --label topic",
        "greenlight import https://data.example/rows.jsonl --task intent",
    ),
    "export": (
        "greenlight export intent --format openai-chat -o intent.jsonl",
        "greenlight export intent --format csv --window 30d",
    ),
    "relabel": ("greenlight relabel list intent", "greenlight relabel label 0199d2f4 card"),
    "relabel list": ("greenlight relabel list intent --limit 10",),
    "relabel label": ('greenlight relabel label 0199d2f4 card -m "read the whole chat"',),
    "predict": (
        'greenlight predict intent "my card has not arrived" --unit user-7',
        'greenlight feedback "$(greenlight predict intent "where is it?" -q)" GOOD',
    ),
    "feedback": (
        "greenlight feedback 0199d2f4 GOOD",
        "greenlight feedback 0199d2f4 BAD --correction card_delivery_estimate",
    ),
    "datasets": ("greenlight datasets list", "greenlight datasets diff 4be1c3f0 c07d11aa"),
    "datasets list": ("greenlight datasets list intent",),
    "datasets show": ("greenlight datasets show 4be1c3f0",),
    "datasets diff": ("greenlight datasets diff 4be1c3f0 c07d11aa --show 5",),
    "purge": (
        "greenlight purge intent --older-than 90d --dry-run",
        "greenlight purge intent --unit ana.smith@example.com",
    ),
    "release": (
        "greenlight release check",
        'greenlight release sign -m "the targets of the spring release"',
    ),
    "release check": ("greenlight release check", "greenlight release check --json"),
    "release sign": (
        'GREENLIGHT_PERSON_KEY=$(cat keys/ana) greenlight release sign -m "as agreed in May"',
        'greenlight release sign policy -m "operations can live with it"',
    ),
    "release renew": ("greenlight release renew",),
    "audit": ("greenlight audit verify", "greenlight audit export -o ledger.jsonl"),
    "audit verify": (
        "greenlight audit verify",
        "greenlight audit verify --head heads.jsonl --key ed25519:AAAA",
        "greenlight audit verify --ledger ledger.jsonl",
    ),
    "audit head": ("greenlight audit head -o head.json",),
    "audit export": ("greenlight audit export -o ledger.jsonl",),
    "completion": (
        'eval "$(greenlight completion bash)"     # in ~/.bashrc',
        'eval "$(greenlight completion zsh)"      # in ~/.zshrc',
        "greenlight completion fish > ~/.config/fish/completions/greenlight.fish",
    ),
}
"""Command → lines as they are typed."""


def epilog(command: str) -> str | None:
    """The examples of a command as click shows them; None where there are none.

    Args:
        command: its name without `greenlight`; empty for the program itself.
    """
    lines = EXAMPLES.get(command)
    return None if lines is None else "\n".join(["\b", HEAD, *(f"  {line}" for line in lines)])
