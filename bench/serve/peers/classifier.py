"""What every Python server here does with a request: PIL and ONNX Runtime, as their tutorials have it.

The environment names the model (MODEL), its side in pixels (SIZE) and what comes in (FORM: encoded
images, or pixels as the model takes them).
"""

import io
import os

import numpy as np
import onnxruntime
from PIL import Image

MODEL = os.environ["MODEL"]
SIZE = int(os.environ["SIZE"])
FORM = os.environ["FORM"]
PORT = int(os.environ["PORT"])
WORKERS = int(os.environ["WORKERS"])


class Classifier:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])

    def pixels(self, body):
        """uint8 [1, SIZE, SIZE, 3] of a request's body."""
        if FORM == "pixels":
            return np.frombuffer(body, np.uint8).reshape(1, SIZE, SIZE, 3)
        image = Image.open(io.BytesIO(body)).convert("RGB").resize((SIZE, SIZE), Image.BICUBIC)
        return np.asarray(image)[None]

    def run(self, images):
        """float32 [n, classes] of uint8 [n, SIZE, SIZE, 3]."""
        return self.session.run(None, {"images": images})[0]

    def top(self, scores):
        """The five best classes of one image."""
        best = np.argsort(scores)[::-1][:5]
        return [{"label": int(i), "score": float(scores[i])} for i in best]

    def answer(self, body):
        return {"top": self.top(self.run(self.pixels(body))[0])}
