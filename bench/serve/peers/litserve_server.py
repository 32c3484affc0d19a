"""LitServe, a worker a core."""

import litserve as ls
from classifier import PORT, WORKERS, Classifier
from fastapi import Request


class Api(ls.LitAPI):
    def setup(self, device):
        self.classifier = Classifier()

    def decode_request(self, request: Request):
        return self.classifier.pixels(request["file"].file.read())

    def predict(self, x):
        return self.classifier.run(x)[0]

    def encode_response(self, output):
        return {"top": self.classifier.top(output)}


if __name__ == "__main__":
    server = ls.LitServer(Api(), accelerator="cpu", workers_per_device=WORKERS)
    server.run(port=PORT, generate_client_file=False, log_level="warning", access_log=False)
