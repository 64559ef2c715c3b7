"""Fine-tunes a chat model with LoRA on conversations, stops half-way, resumes, and exports.

    python examples/python/finetune.py model-folder chats-folder output-folder [steps]

The model is a folder of Hugging Face; chats-folder has train.jsonl and valid.jsonl, a conversation a
line: {"messages": [{"role": "user", "content": "..."}, ...]}. examples/07_finetune_jsonl.c does the
same in C, and the losses are the same to the last bit.
"""

import struct
import sys
from pathlib import Path

from ane_train import Adapter, ChatTemplate, Dataset, Device, Examples, Generator, Model, Session
from ane_train import Tokenize, Tokenizer

ROW_LENGTH = 128
BATCH_SIZE = 2


def print_loss(what: str, step: int, loss: float) -> None:
    """For reading, and all bits for comparing."""
    print(f"{what:<10} {step:3}  loss {loss:.4f}  {struct.pack('>d', loss).hex()}")


def train(session: Session, rows: Dataset, steps: int, checkpoints: Path | None = None) -> None:
    """Trains, and saves at the end where there is a place for checkpoints."""
    save_every = steps if checkpoints else 0
    for step in session.train(
        rows, steps=steps, save_every=save_every, checkpoint_root=checkpoints
    ):
        print_loss("step", step.step, step.loss)
        if step.checkpoint:
            print("saved", Path(step.checkpoint).name)


def main(folder: Path, chats: Path, output: Path, steps: int) -> None:
    checkpoints = output / "checkpoints"

    # The model, its vocabulary, and the way it writes a conversation down.
    device = Device("cpu")
    model = Model.load(folder)
    tokenizer = Tokenizer.load(folder, model.config.vocab_size)
    chat = ChatTemplate.load(folder)

    # What the assistant says is learned, with the token that ends its turn; nothing else is.
    def read(part: str) -> tuple[int, Dataset]:
        conversations = Examples.open(
            chats,
            tokenizer,
            part=part,
            chat_template=chat,
            stop_ids=model.info.stop_ids,
            strict=True,  # a conversation that cannot be used is an error with its line
        )
        return len(conversations), conversations.rows(ROW_LENGTH, layout="packed", seed=7)

    train_count, rows = read("train")
    validation_count, validation = read("validation")
    print(f"{train_count} conversations for training, {validation_count} for validation")

    # The adapter: 8 columns beside each projection, all that is trained.
    adapter = Adapter.create(model, rank=8, seed=42)
    with Session(
        device,
        adapter,
        precision="f32",
        batch_size=BATCH_SIZE,
        sequence_length=ROW_LENGTH,
        documents=True,  # packed conversations do not see each other
        learning_rate=2e-3,
        schedule="cosine",
        total_steps=steps,
        clip_norm=1,
    ) as session:
        # The first half, saved at its end.
        print_loss("validation", 0, session.evaluate(validation).loss)
        train(session, rows, steps // 2, checkpoints)

    # The second half, as if the first had never ended.
    with Session.resume(device, checkpoints, model=model) as session:
        train(session, rows, steps - steps // 2)
        print_loss("validation", steps, session.evaluate(validation).loss)
        adapter = session.adapter

    # What it answers now.
    messages = [{"role": "user", "content": "What is the sum of one and two?"}]
    prompt = tokenizer.encode(chat.render(messages, generation_prompt=True), Tokenize.PARSE_SPECIAL)
    generator = Generator(device, model, tokenizer)
    generator.set_adapters(adapter)
    print("answer: ", end="")
    for piece in generator.stream(prompt, max_tokens=32, stop_ids=model.info.stop_ids):
        print(piece, end="", flush=True)

    # The adapter for PEFT, and the model with the adapter in its weights for llama.cpp.
    adapter.save(output / "adapter")
    model.merge(adapter).export(output / "model.gguf", format="gguf", type="fp16", companion=folder)
    print("\nwrote adapter and model.gguf")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(f"usage: {sys.argv[0]} model-folder chats-folder output-folder [steps]")
    model_folder, chats_folder, output_folder = map(Path, sys.argv[1:4])
    main(model_folder, chats_folder, output_folder, int(sys.argv[4]) if len(sys.argv) > 4 else 20)
