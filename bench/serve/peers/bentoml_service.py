"""BentoML: a raw body is the input, a worker a core."""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from classifier import WORKERS, Classifier


@bentoml.service(workers=WORKERS, traffic={"timeout": 60})
class Bench:
    def __init__(self):
        self.classifier = Classifier()

    @bentoml.api(route="/predict")
    def predict(self, file: Annotated[Path, ContentType("application/octet-stream")]) -> dict:
        return self.classifier.answer(file.read_bytes())
