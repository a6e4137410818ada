"""What trains for `greenlight finetune-server`, in a process of its own (`tuning.worker`)."""

from __future__ import annotations

from greenlight.wiring.tuning import train_for_server

if __name__ == "__main__":
    train_for_server()
