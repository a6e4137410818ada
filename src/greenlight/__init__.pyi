from greenlight.adapters.runtimes.connections import ConnectionPoolManager
from greenlight.adapters.trainers.openai import ModelTrainer
from greenlight.core.breaker import CircuitBreaker
from greenlight.sources.feedback import DataCollector
from greenlight.stages.evaluate import ModelEvaluator
from greenlight.stages.pipeline import FineTuningPipeline
from greenlight.wiring.control import DeploymentManager

__version__: str

__all__ = [
    "CircuitBreaker",
    "ConnectionPoolManager",
    "DataCollector",
    "DeploymentManager",
    "FineTuningPipeline",
    "ModelEvaluator",
    "ModelTrainer",
]
