"""Fine-tuning jobs at a provider that speaks OpenAI's protocol, by its official SDK."""
