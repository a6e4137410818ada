"""A fine-tuning service that speaks OpenAI's API: files, jobs, models, chat completions.

It trains on the CPU of this machine, so that data need not leave the house; see
docs/finetune-server.md.
"""
