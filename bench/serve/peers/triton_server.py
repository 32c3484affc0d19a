"""Triton's CPU build as the wheel nvidia-pytriton brings it: Python functions, an instance a core.

Its ONNX Runtime backend is not part of that wheel.
"""

import numpy as np
from classifier import FORM, PORT, SIZE, WORKERS, Classifier
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def instance():
    classifier = Classifier()

    @batch
    def infer(images):
        if FORM == "encoded":
            images = np.concatenate([classifier.pixels(row[0]) for row in images])
        return {"probabilities": classifier.run(images)}

    return infer


shape, dtype = ((1,), np.bytes_) if FORM == "encoded" else ((SIZE, SIZE, 3), np.uint8)
config = TritonConfig(
    http_port=PORT, grpc_port=PORT + 1, metrics_port=PORT + 2, http_address="127.0.0.1", log_verbose=0
)
with Triton(config=config) as triton:
    triton.bind(
        model_name="bench",
        infer_func=[instance() for _ in range(WORKERS)],
        inputs=[Tensor(name="images", dtype=dtype, shape=shape)],
        outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(-1,))],
        config=ModelConfig(max_batch_size=8, batcher=DynamicBatcher()),
    )
    triton.serve()
