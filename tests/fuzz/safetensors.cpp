// Safetensors from outside: every tensor is read, and the file is opened as a model of ours and as
// the weights of a Hugging Face directory.
#include "io/safetensors.h"
#include "load_bytes.h"

#include <span>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const anet::io::SafetensorsReader reader(std::as_bytes(std::span(data, size)), "input");
    for (const anet::io::SafetensorsEntry& entry : reader.entries()) {
      try {
        anet::io::to_float(reader.tensor(entry));
      } catch (const anet::Error&) {
      }
    }
  } catch (const anet::Error&) {
    return 0;
  }
  anet::fuzz::load_bytes(data, size);
  anet::fuzz::MemoryFileSystem files;
  files.put("model/config.json", R"({"architectures":["LlamaForCausalLM"],"vocab_size":4,)"
                                 R"("hidden_size":4,"intermediate_size":4,"num_hidden_layers":1,)"
                                 R"("num_attention_heads":2,"max_position_embeddings":8,)"
                                 R"("rms_norm_eps":1e-5,"rope_theta":1e4,)"
                                 R"("tie_word_embeddings":true})");
  files.put("model/model.safetensors", std::string(reinterpret_cast<const char*>(data), size));
  anet::fuzz::load("model", files);
  return 0;
}
