"""ModelStreamInfer: any number of requests over one call, answered in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from service.errors import QueueFull, ServiceError
from service.fairness.paced import run_paced
from service.fairness.pacing import MOST_SECONDS
from service.fairness.shared_limit import SharedLimit
from service.grpc.call import Call, Message
from service.grpc.errors import forget_frames, text_of
from service.grpc.inference import Inference
from service.grpc.protos import inference_pb2 as messages
from service.grpc.services.infer_request import FINAL, id_of
from service.grpc.services.open_inference import OpenInference

# Requests of one stream that are being answered at once.
REQUESTS_AT_ONCE = 16
# A stream without a request for so long is ended.
IDLE_SECONDS = 600.0


class InferenceStreams:
    """streams: open at once, shared between clients; each may have one message that arrives."""

    def __init__(self, inference: Inference, service: OpenInference, *, streams: int) -> None:
        self._inference = inference
        self._service = service
        self._streams = SharedLimit(streams)

    async def handle(self, call: Call) -> None:
        """An error of a request is an answer, and the stream goes on. Raises QueueFull."""
        client = call.client
        if not self._streams.take(client, 1):
            raise QueueFull("This client has as many streams open as it may.")
        try:
            await self._answer_all(call)
        finally:
            self._streams.release(client, 1)

    async def _answer_all(self, call: Call) -> None:
        answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(REQUESTS_AT_ONCE)
        receiving = asyncio.ensure_future(self._receive_all(call, answers))
        try:
            while (answer := await answers.get()) is not None:
                await call.send(await answer)
            await receiving
        finally:
            receiving.cancel()
            pending: list[asyncio.Task[Any]] = [receiving]
            while not answers.empty():
                if (left := answers.get_nowait()) is not None:
                    left.cancel()
                    pending.append(left)
            await asyncio.gather(*pending, return_exceptions=True)

    async def _receive_all(
        self, call: Call, answers: asyncio.Queue[asyncio.Task[bytes] | None]
    ) -> None:
        try:
            while (message := await call.receive_next(IDLE_SECONDS)) is not None:
                task = asyncio.ensure_future(self._answer_in_turn(call, message))
                # Also where it is cancelled before it begins.
                task.add_done_callback(_releasing(message))
                del message
                try:
                    await answers.put(task)
                except asyncio.CancelledError:
                    task.cancel()
                    raise
        finally:
            with suppress(asyncio.CancelledError):
                await answers.put(None)

    async def _answer_in_turn(self, call: Call, message: Message) -> bytes:
        return await run_paced(
            self._inference.pacer,
            self._inference.access.paced_client(call.key, call.address),
            lambda: self._answer(call, message),
            most_seconds=MOST_SECONDS,
        )

    async def _answer(self, call: Call, message: Message) -> bytes:
        answer = messages.ModelStreamInferResponse()
        # By it a client knows which of its requests failed; the message is released meanwhile.
        identifier = id_of(message.data)
        try:
            self._inference.access.admit(call.key, call.address)
            self._inference.check_room(call)
            answer.infer_response.CopyFrom(await self._service.infer(call, message))
            answer.infer_response.parameters[FINAL].bool_param = True
        except ServiceError as error:
            self._inference.runtime.metrics.rejections.labels(error.reason).inc()
            answer.error_message = text_of(error)
            answer.infer_response.id = identifier
            answer.infer_response.parameters[FINAL].bool_param = True
            forget_frames(error)
        return bytes(answer.SerializeToString())


def _releasing(message: Message) -> Callable[[asyncio.Task[bytes]], None]:
    return lambda _: message.release()
