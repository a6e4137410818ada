"""A tiny random encoder, a small made-up task, and BERT once more in plain numpy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from scipy.special import erf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from greenlight import artifacts
from greenlight.models.encoder import EncoderFiles
from greenlight.models.encoder_graph import EncoderConfig
from greenlight.ports import Example

Floats = npt.NDArray[np.float32]
Linear = Callable[[Floats, Floats, Floats], Floats]

HIDDEN, HEADS, LAYERS, INNER, PLACES = 16, 2, 2, 32, 64
CONFIG = EncoderConfig(
    model_type="bert",
    hidden_act="gelu",
    hidden_size=HIDDEN,
    num_attention_heads=HEADS,
    num_hidden_layers=LAYERS,
    layer_norm_eps=1e-12,
)
THEMES = {
    "card": ["card", "arrive", "post", "deliver", "lost", "track", "wait"],
    "money": ["money", "transfer", "send", "pay", "amount", "sum", "bank"],
    "pin": ["pin", "code", "number", "change", "forget", "reset", "secret"],
}
FILLERS = ["please", "my", "the", "when", "can", "i", "you", "help", "now", "today"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLERS, *(w for t in THEMES.values() for w in t)]


def examples(count: int, seed: int) -> list[Example]:
    """Texts of three fillers and two words of a theme, which is the label."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        label = str(rng.choice(list(THEMES)))
        words = [*rng.choice(FILLERS, 3), *rng.choice(THEMES[label], 2)]
        made.append(Example(" ".join(rng.permutation(words)), label))
    return made


def tensors(seed: int = 7) -> dict[str, Floats]:
    """Random weights by BERT's names, drawn in a fixed order."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": (PLACES, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        for name, (outputs, inputs) in {
            "attention.self.query": (HIDDEN, HIDDEN),
            "attention.self.key": (HIDDEN, HIDDEN),
            "attention.self.value": (HIDDEN, HIDDEN),
            "attention.output.dense": (HIDDEN, HIDDEN),
            "intermediate.dense": (INNER, HIDDEN),
            "output.dense": (HIDDEN, INNER),
        }.items():
            shapes |= {
                f"{prefix}{name}.weight": (outputs, inputs),
                f"{prefix}{name}.bias": (outputs,),
            }
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{prefix}{name}.weight": (HIDDEN,), f"{prefix}{name}.bias": (HIDDEN,)}
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def tokenizer() -> Tokenizer:
    """Whole words; pads to 128 as the real one's file does."""
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_padding(length=128)
    return made


def write_encoder(folder: Path) -> EncoderFiles:
    """The tiny encoder's files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {name: getattr(CONFIG, name) for name in CONFIG.__struct_fields__}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tokenizer().to_str())
    save_file(tensors(), folder / "model.safetensors")
    digest = artifacts.file_digest(folder / "model.safetensors")
    return EncoderFiles(folder=folder, origin="folder", digest=digest)


def exact(value: Floats, weights: Floats, bias: Floats) -> Floats:
    """A linear layer in float32."""
    result: Floats = value @ weights.T + bias
    return result


def rounded(value: Floats, weights: Floats, bias: Floats) -> Floats:
    """A linear layer with 8-bit weights per output and 8-bit activations per token."""
    first, second = weights[:, ::2], weights[:, 1::2]
    pairs = [np.clip(side * first, 0, None) + np.clip(side * second, 0, None) for side in (1, -1)]
    by_output = np.maximum(np.max(pairs, axis=(0, 2)) / 127.5, np.abs(weights).max(axis=1) / 127)
    by_token = np.abs(value).max(axis=-1, keepdims=True) * np.float32(1 / 127)
    whole_weights = np.rint(weights / by_output[:, None]).astype(np.int64)
    whole_values = np.floor(value / by_token + np.float32(0.5)).astype(np.int64)
    total = (whole_values @ whole_weights.T).astype(np.float32)
    result: Floats = (total * by_token * by_output + bias).astype(np.float32)
    return result


def reference(weights: dict[str, Floats], ids: list[int], linear: Linear, words: Floats) -> Floats:
    """The embedding of one text, token numbers in, by the book."""

    def normalise(value: Floats, name: str) -> Floats:
        centred = value - value.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        scaled: Floats = centred / spread * weights[name + ".weight"] + weights[name + ".bias"]
        return scaled

    def layer(value: Floats, name: str) -> Floats:
        return linear(value, weights[name + ".weight"], weights[name + ".bias"])

    def heads(value: Floats) -> Floats:
        return value.reshape(len(ids), HEADS, HIDDEN // HEADS).transpose(1, 0, 2)

    value = (
        words[ids]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    value = normalise(value, "embeddings.LayerNorm")
    for number in range(LAYERS):
        name = f"encoder.layer.{number}."
        query, key, content = (
            heads(layer(value, f"{name}attention.self.{part}"))
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(HIDDEN // HEADS)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ content).transpose(1, 0, 2).reshape(len(ids), HIDDEN)
        mixed = layer(mixed.astype(np.float32), name + "attention.output.dense")
        value = normalise(value + mixed, name + "attention.output.LayerNorm")
        inner = layer(value, name + "intermediate.dense")
        inner = (inner * 0.5 * (1 + erf(inner / np.sqrt(2)))).astype(np.float32)
        value = normalise(value + layer(inner, name + "output.dense"), name + "output.LayerNorm")
    mean = value.mean(axis=0)
    result: Floats = mean / np.linalg.norm(mean)
    return result
