"""A task that does nothing, with Celery's own means of not losing it: a durable quorum queue, persistent and confirmed messages, late acks."""

import os
import sys
import time

from celery import Celery, signals
from kombu import Queue

NAME = "noop"
results = os.environ.get("RESULTS")

app = Celery("celery_noop", broker=os.environ["BROKER"], backend=results)
app.conf.update(
    task_queues=[Queue(NAME, durable=True, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=NAME,
    task_default_delivery_mode=2,
    task_acks_late=True,
    task_ignore_result=results is None,
    worker_prefetch_multiplier=int(os.environ.get("PREFETCH", "64")),
    worker_send_task_events=False,
    broker_transport_options={"confirm_publish": bool(os.environ.get("CONFIRMS"))},
    broker_pool_limit=4,
    database_short_lived_sessions=False,
)


mark = os.open(os.environ["MARK"], os.O_WRONLY | os.O_APPEND)


@signals.worker_process_init.connect
def ready(**_):
    os.write(mark, b"r")


@app.task(name=NAME)
def noop(number):
    os.write(mark, b".")
    return number


def publish(first, count):
    """One connection, as a producer has."""
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(first, first + count):
            noop.apply_async((number,), producer=producer)


if __name__ == "__main__":
    began = time.monotonic()
    publish(int(sys.argv[1]), int(sys.argv[2]))
    print(time.monotonic() - began)
