"""A tiny random language model with its tokenizer, made on the spot."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from greenlight.models.open_weights import need
from greenlight.ports.source import Prompts
from tests.models import tiny

END = "<|end|>"
TEMPLATE = "What is it about: {labels}?\n{input}"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|turn|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
PLACES = 192
SPREAD = 0.3
"""Of the random weights: with the usual 0.02 the scores of all tokens would stay alike."""


def prompts(labels: list[str], template: str = TEMPLATE) -> Prompts:
    """Instructions called `p1`, as a dataset holds them."""
    return {
        "p1": {
            "kind": "prompt",
            "template": template,
            "model": "elsewhere",
            "labels": labels,
            "settings": {},
        }
    }


def write_model(folder: Path, *, seed: int = 0, chat: bool = False, gpt2: bool = False) -> Path:
    """A model of two layers in a folder, as transformers saves it.

    Args:
        folder: where to.
        seed: of its weights.
        chat: with a chat template of its own.
        gpt2: of another architecture, whose layers lie the other way round.
    """
    transformers, torch = need("transformers"), need("torch")
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=_tokenizer(), eos_token=END)
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    if gpt2:
        config = transformers.GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=PLACES,
            n_embd=32,
            n_layer=2,
            n_head=2,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            initializer_range=SPREAD,
        )
        network = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=PLACES,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            initializer_range=SPREAD,
        )
        network = transformers.LlamaForCausalLM(config)
    network.save_pretrained(folder)
    return folder


def _tokenizer() -> Tokenizer:
    """Bytes, and the words of the tiny task."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    learner = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=[END, "<|turn|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words = " ".join(tiny.WORDS)
    made.train_from_iterator(
        [words, TEMPLATE, "### user\n\n### assistant\n", "system"] * 9, learner
    )
    return made
