"""Tokenizers in the configuration of each family of models, trained on text from this machine.

Vocabularies are real: `tokenizers` and `sentencepiece` learn them. The text is the documentation of
installed Python packages and samples of many scripts.
"""

import io
import json
import pathlib
import random
import struct
import sysconfig
import unicodedata

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPACE = "\u2581"

SAMPLES = """The quick brown fox jumps over the lazy dog. She said: "I'll go; they've gone, WE'RE not!"
Füchse laufen über die Straße; größer, schöner, weiter. L'été à la forêt, où naît l'œuvre.
¿Dónde está el niño? Não há pão. Žluťoučký kůň úpěl ďábelské ódy. Zażółć gęślą jaźń.
Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак і ґава.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ἐν ἀρχῇ ἦν ὁ λόγος.
天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。我们今天去学校学习语言模型。
いろはにほへと ちりぬるを。カタカナとひらがな、漢字まじりの文章です。ﾊﾝｶｸ
다람쥐 헌 쳇바퀴에 타고파. 한국어 문장을 나누어 봅시다.
صباح الخير، كيف حالك اليوم؟ اَلْعَرَبِيَّةُ لغة جميلة. ۱۲۳
שלום עולם, מה שלומך? בְּרֵאשִׁית בָּרָא
नमस्ते दुनिया, आप कैसे हैं? १२३ हिन्दी में लिखा हुआ।
สวัสดีชาวโลก ภาษาไทยไม่มีช่องว่างระหว่างคำ ๑๒๓
வணக்கம் உலகம். বাংলা ভাষা। ಕನ್ನಡ. తెలుగు. മലയാളം. ગુજરાતી. ਪੰਜਾਬੀ.
Xin chào thế giới, tiếng Việt có nhiều dấu. ქართული ენა. Հայերեն լեզու. አማርኛ ቋንቋ.
def main(argv: list[str]) -> int:\n    for i in range(10):\n\t\tprint(f"{i:>4} {argv[0]!r}")\n    return 0
int main(void) { for (int i = 0; i < 42; ++i) printf("%d\\n", i * 1234567); return 0; } // done
<html><body class="x">1.5e-10 + 0xFF == 3,141,592.65 && !x || y ^= z; a->b::c</body></html>
😀 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 ❤️‍🔥 ☕ ™ © ½ ² Ⅷ ㊗ ﷺ
"""


def training_text(limit=6_000_000):
    """Documentation and code of installed packages, and the samples."""
    folder = pathlib.Path(sysconfig.get_paths()["stdlib"])
    parts, size = [SAMPLES] * 40, 0
    for path in sorted(folder.glob("*.py")) + sorted(folder.glob("email/*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        parts.append(text)
        size += len(text)
        if size > limit:
            break
    return "".join(parts)


def lines_of(text):
    return text.splitlines(keepends=True)


def special(content, **flags):
    return AddedToken(content, special=True, normalized=False, **flags)


def train_byte_level(tokenizer, lines, size):
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines, trainer)


def qwen(lines, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False,
                                                    use_regex=False)
    train_byte_level(tokenizer, lines, size)
    tokenizer.add_special_tokens([special(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>",
                                                       "<|vision_start|>")])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in
                          ("<tool_call>", "</tool_call>", "<think>", "</think>")])
    return tokenizer, {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
                       "add_bos_token": False, "tokenizer_class": "Qwen2Tokenizer"}


def smollm2(lines, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    train_byte_level(tokenizer, lines, size)
    tokenizer.add_special_tokens([special(t) for t in
                                  ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>")])
    return tokenizer, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
                       "unk_token": "<|endoftext|>", "tokenizer_class": "GPT2Tokenizer"}


def llama3(lines, size):
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    train_byte_level(tokenizer, lines, size)
    tokenizer.add_special_tokens([special(t) for t in
                                  ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")] +
                                 [special(f"<|reserved_special_token_{i}|>") for i in range(20)])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(
            single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
            special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))])])
    # Some words of the vocabulary cannot be reached by merges: ignore_merges is for them.
    document = json.loads(tokenizer.to_str())
    merges = document["model"]["merges"]
    document["model"]["merges"] = [m for i, m in enumerate(merges) if i % 97 != 5]
    known = set()
    pieces = {c: True for c in pre_tokenizers.ByteLevel.alphabet()}
    kept = []
    for left, right in document["model"]["merges"]:
        if left in pieces and right in pieces:
            kept.append([left, right])
            pieces[left + right] = True
    document["model"]["merges"] = kept
    return Tokenizer.from_str(json.dumps(document)), {
        "bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>",
        "tokenizer_class": "PreTrainedTokenizerFast"}


def train_sentencepiece(lines, size):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line.strip("\r\n") for line in lines if line.strip()),
        model_writer=model, vocab_size=size, model_type="bpe", byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        add_dummy_prefix=True, allow_whitespace_only_pieces=True, character_coverage=0.995,
        max_sentence_length=20000, num_threads=1, minloglevel=2, input_sentence_size=0)
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def llama2(processor):
    """The conversion of a SentencePiece model to tokenizer.json: a merge for every pair of pieces
    whose concatenation is a piece, in the order of the scores."""
    count = processor.get_piece_size()
    vocab = {processor.id_to_piece(i): i for i in range(count)}
    merges = []
    for piece, index in vocab.items():
        if processor.is_byte(index) or processor.is_control(index) or processor.is_unknown(index):
            continue
        pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        merges += sorted(((-processor.get_score(index), vocab[a], vocab[b]), (a, b))
                         for a, b in pairs if a in vocab and b in vocab)
    merges = [pair for _, pair in sorted(merges, key=lambda item: item[0])]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True,
                                     byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE),
                                                 normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([special("<unk>"), special("<s>"), special("</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer, {"bos_token": {"content": "<s>", "__type": "AddedToken"},
                       "eos_token": {"content": "</s>"}, "unk_token": {"content": "<unk>"},
                       "tokenizer_class": "LlamaTokenizer", "add_bos_token": True,
                       "add_eos_token": False}


def llama2_bin(processor):
    """llama2.c's tokenizer.bin."""
    pieces = []
    for i in range(processor.get_piece_size()):
        text = processor.id_to_piece(i)
        if i == processor.bos_id() or i == processor.eos_id():
            text = f"\n{text}\n"
        pieces.append((processor.get_score(i), text.replace(SPACE, " ").encode()))
    data = struct.pack("<I", max(len(text) for _, text in pieces))
    for score, text in pieces:
        data += struct.pack("<fi", score, len(text)) + text
    return data


def variant(lines, size):
    """Everything that the families above leave out, in one."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=False))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip(left=False, right=True),
        normalizers.Replace(Regex(r"[\u2018\u2019`]+"), "'")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\d+"), "contiguous"),
        pre_tokenizers.Split("--", "merged_with_previous"),
        pre_tokenizers.Split(Regex(r"[.,;]"), "merged_with_next", invert=False),
        pre_tokenizers.Split(Regex(r"[^\x00]+"), "removed", invert=True),
        pre_tokenizers.Metaspace(prepend_scheme="first")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=["[UNK]"],
                                  limit_alphabet=400)
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_special_tokens([AddedToken("[CLS]", special=True, normalized=False, lstrip=True),
                                  AddedToken("[SEP]", special=True, normalized=False, rstrip=True)])
    tokenizer.add_tokens([AddedToken("Word", single_word=True, normalized=True),
                          AddedToken("ｗｉｄｅ", normalized=True),
                          AddedToken("inside", normalized=False, lstrip=True, rstrip=True)])
    return tokenizer, {"bos_token": "[CLS]", "eos_token": "[SEP]"}
