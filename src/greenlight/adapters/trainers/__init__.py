"""Training backends by name. A backend and the libraries it needs load when it is first made."""

from __future__ import annotations

from collections.abc import Callable

from greenlight.ports import Trainer


def _tfidf_linear() -> Trainer:
    from greenlight.adapters.trainers.sparse import SparseTrainer
    from greenlight.models.features import WORDS

    return SparseTrainer("tfidf-linear", WORDS)


def _encoder_head() -> Trainer:
    from greenlight.adapters.trainers.encoder_head import EncoderHeadTrainer

    return EncoderHeadTrainer()


def _encoder_finetune() -> Trainer:
    from greenlight.adapters.trainers.encoder_finetune import EncoderFinetuneTrainer

    return EncoderFinetuneTrainer()


def _char_ngram() -> Trainer:
    from greenlight.adapters.trainers.sparse import SparseTrainer
    from greenlight.models.features import CHARACTERS

    return SparseTrainer("char-ngram", CHARACTERS)


def _token_tagger() -> Trainer:
    from greenlight.adapters.trainers.token_tagger import TokenTaggerTrainer

    return TokenTaggerTrainer()


def _openai() -> Trainer:
    from greenlight.adapters.trainers.openai import ModelTrainer

    return ModelTrainer()


def _hf_lora() -> Trainer:
    from greenlight.adapters.trainers.hf_lora import HfLoraTrainer

    return HfLoraTrainer()


TRAINERS: dict[str, Callable[[], Trainer]] = {
    "tfidf-linear": _tfidf_linear,
    "encoder-head": _encoder_head,
    "encoder-finetune": _encoder_finetune,
    "char-ngram": _char_ngram,
    "token-tagger": _token_tagger,
    "openai": _openai,
    "hf-lora": _hf_lora,
}
