"""MLServer: an own runtime behind the Open Inference Protocol, a worker a core."""

import base64

import numpy as np
from classifier import Classifier
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Runtime(MLModel):
    async def load(self) -> bool:
        self.classifier = Classifier()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        body = base64.b64decode(payload.inputs[0].data[0])
        scores = self.classifier.run(self.classifier.pixels(body))[0]
        best = np.argsort(scores)[::-1][:5]
        output = ResponseOutput(name="top", shape=[5], datatype="FP32", data=[float(scores[i]) for i in best])
        return InferenceResponse(model_name=self.name, outputs=[output])
