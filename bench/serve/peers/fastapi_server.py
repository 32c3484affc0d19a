"""FastAPI under uvicorn, a process a core."""

import uvicorn
from classifier import PORT, WORKERS, Classifier
from fastapi import FastAPI, Request

app = FastAPI()
classifier = Classifier()


@app.post("/predict")
async def predict(request: Request):
    return classifier.answer(await request.body())


if __name__ == "__main__":
    uvicorn.run("fastapi_server:app", port=PORT, workers=WORKERS, access_log=False, log_level="warning")
