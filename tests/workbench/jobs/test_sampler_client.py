"""Text comes from another process: one generation after the other, cancelled at once, and never lost without a word."""

import asyncio
from contextlib import aclosing

import pytest

from tui_gpt.errors import RunError, UserError
from tui_gpt.run.messages import Chunk, Generate, Generated, Loaded, new_id
from tui_gpt.workbench.jobs.sampler_client import SamplerClient


@pytest.fixture
async def client(tmp_path):
    client = SamplerClient(tmp_path / "state" / "sampler.log", "tests.workbench.jobs.fake_sampler:serve")
    yield client
    await client.close()


def request_for(checkpoint: str, prompt: str, **options: object) -> Generate:
    return Generate(id=new_id(), checkpoint=checkpoint, prompt=prompt, **options)


async def text_of(client: SamplerClient, checkpoint: str = "a", prompt: str = "", **options: object) -> str:
    messages = [message async for message in client.generate(request_for(checkpoint, prompt, **options))]
    assert isinstance(messages[0], Loaded)
    assert isinstance(messages[-1], Generated)
    return "".join(message.text for message in messages if isinstance(message, Chunk))


async def test_the_process_starts_with_the_first_generation_and_stays(client):
    assert not client.is_running
    assert await text_of(client, tokens=3, seed=1) == "1 1 1 "
    process = client._process
    assert client.is_running
    assert client.loaded.step == 7
    assert await text_of(client, tokens=1, seed=2) == "2 "
    assert client._process is process
    assert "own output" in client.log.read_text()


async def test_completions_and_two_checkpoints_come_one_after_the_other(client):
    texts = await asyncio.gather(
        *(text_of(client, checkpoint, tokens=20, seed=seed) for seed in (1, 2) for checkpoint in ("a", "b"))
    )
    assert texts == ["1 " * 20, "1 " * 20, "2 " * 20, "2 " * 20]
    assert client.loaded.checkpoint == "b"


async def test_cancelling_ends_the_generation_with_what_was_written(client):
    messages = []
    async for message in client.generate(request_for("a", "slowly", tokens=100_000)):
        messages.append(message)
        if len(messages) == 3:
            client.cancel()
    assert messages[-1].cancelled
    assert messages[-1].tokens < 1000
    client.cancel()  # nothing is running: no matter
    assert await text_of(client, tokens=1) == "0 "


async def test_cancelling_before_the_process_has_started_counts(client):
    running = asyncio.create_task(text_of(client, prompt="slowly", tokens=100_000))
    await asyncio.sleep(0)
    client.cancel()
    assert len(await running) < 2000


async def test_a_worker_that_is_cancelled_leaves_the_sampler_ready(client):
    running = asyncio.create_task(text_of(client, prompt="slowly", tokens=100_000))
    while client.loaded is None:
        await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await text_of(client, tokens=2, seed=5) == "5 5 "


async def test_leaving_the_loop_early_cancels(client):
    async with aclosing(client.generate(request_for("a", "slowly", tokens=100_000))) as messages:
        async for message in messages:
            if isinstance(message, Chunk):
                break
    assert await text_of(client, tokens=1, seed=3) == "3 "


async def test_a_request_that_fails_is_an_error_in_words(client):
    with pytest.raises(UserError, match=r"damaged: is damaged\. Try another"):
        await text_of(client, "damaged")
    assert await text_of(client, tokens=1) == "0 "


async def test_a_sampler_that_is_killed_says_so_and_is_started_anew(client):
    with pytest.raises(RunError, match=r"the sampler ended with SIGKILL\. The machine may have run out of memory"):
        await text_of(client, prompt="die")
    assert not client.is_running
    assert client.loaded is None
    assert await text_of(client, tokens=1) == "0 "
    client._process.kill()  # while it idles
    client._process.join()
    assert await text_of(client, tokens=1) == "0 "


async def test_closing_ends_the_process_and_a_generation_with_it(client):
    running = asyncio.create_task(text_of(client, prompt="slowly", tokens=100_000))
    while client.loaded is None:
        await asyncio.sleep(0.005)
    process = client._process
    await client.close()
    with pytest.raises(RunError, match="closed"):
        await running
    assert not process.is_alive()
    assert (client.is_running, client.loaded) == (False, None)
    await client.close()  # again: no matter


async def test_closing_while_the_process_starts_leaves_none_behind(client):
    running = asyncio.create_task(text_of(client, tokens=1))
    await asyncio.sleep(0.001)
    await client.close()
    with pytest.raises(RunError, match="closed"):
        await running
    assert not client.is_running


async def test_a_home_that_takes_no_log_does_not_stop_the_sampler(client, tmp_path):
    (tmp_path / "file").write_text("")
    client.log = tmp_path / "file" / "sampler.log"
    assert await text_of(client, tokens=1) == "0 "
