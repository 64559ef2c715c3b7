/* Fine-tunes a chat model with LoRA on conversations, stops half-way, resumes, and exports: the
 * whole way of an adapter. examples/python, examples/rust and examples/swift do the same in their
 * languages, and their losses are the same to the last bit.
 *
 *     build/release/examples/07_finetune_jsonl model-folder chats-folder output-folder [steps]
 *
 * The model is a folder of Hugging Face; chats-folder has train.jsonl and valid.jsonl, a
 * conversation a line: {"messages": [{"role": "user", "content": "..."}, ...]}.
 */
#include <ane_train.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { row_length = 128, batch_size = 2 };

/* By its address: C may read the second argument before it makes the call in the first. */
static void check(anet_status status, anet_error **error) {
  if (status == ANET_OK) return;
  fprintf(stderr, "%s: %s\n", anet_status_name(status), anet_error_message(*error));
  anet_error_release(*error);
  exit(1);
}

/* For reading, and all bits for comparing. */
static void print_loss(const char *what, int64_t step, double loss) {
  uint64_t bits;
  memcpy(&bits, &loss, sizeof bits);
  printf("%-10s %3" PRId64 "  loss %.4f  %016" PRIx64 "\n", what, step, loss, bits);
}

static int32_t report(const anet_fit_event *event, void *user_data) {
  (void)user_data;
  if (event->kind == ANET_EVENT_STEP) print_loss("step", event->step.step, event->step.loss);
  if (event->kind == ANET_EVENT_SAVE) printf("saved %s\n", strrchr(event->checkpoint, '/') + 1);
  return 0;
}

static int32_t print_text(int32_t id, const char *text, size_t length, void *user_data) {
  (void)id, (void)user_data;
  fwrite(text, 1, length, stdout);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s model-folder chats-folder output-folder [steps]\n", argv[0]);
    return 2;
  }
  const char *folder = argv[1], *chats = argv[2], *output = argv[3];
  int64_t steps = argc > 4 ? strtoll(argv[4], NULL, 10) : 20;
  char checkpoints[1024], adapter_path[1024], merged_path[1024];
  snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", output);
  snprintf(adapter_path, sizeof adapter_path, "%s/adapter", output);
  snprintf(merged_path, sizeof merged_path, "%s/model.gguf", output);
  anet_error *error = NULL;

  /* The model, its vocabulary, and the way it writes a conversation down. */
  anet_device *device = NULL;
  anet_model *model = NULL;
  anet_tokenizer *tokenizer = NULL;
  anet_chat_template *chat = NULL;
  anet_model_config config;
  anet_model_info info;
  anet_struct_init(&config, sizeof config);
  anet_struct_init(&info, sizeof info);
  check(anet_device_open("cpu", NULL, &device, &error), &error);
  check(anet_model_load(folder, NULL, &model, &error), &error);
  check(anet_model_get_config(model, &config, &error), &error);
  check(anet_model_get_info(model, &info, &error), &error);
  check(anet_tokenizer_load(folder, config.vocab_size, &tokenizer, &error), &error);
  check(anet_chat_template_load(folder, &chat, &error), &error);

  /* What the assistant says is learned, with the token that ends its turn; nothing else is. */
  anet_examples *conversations[2] = {NULL, NULL};
  anet_dataset *rows[2] = {NULL, NULL};
  for (anet_data_part part = ANET_DATA_TRAIN; part <= ANET_DATA_VALIDATION; ++part) {
    anet_examples_options reading;
    anet_rows_options packed;
    anet_struct_init(&reading, sizeof reading);
    anet_struct_init(&packed, sizeof packed);
    reading.part = part;
    reading.chat_template = chat;
    reading.stop_ids = info.stop_ids;
    reading.stop_count = (uint32_t)info.stop_count;
    reading.strict = 1; /* a conversation that cannot be used is an error with its line */
    packed.sequence_length = row_length;
    packed.layout = ANET_ROWS_PACKED;
    packed.seed = 7;
    check(anet_examples_open(chats, tokenizer, &reading, &conversations[part], &error), &error);
    check(anet_dataset_create_rows(conversations[part], &packed, &rows[part], &error), &error);
  }
  printf("%" PRIu64 " conversations for training, %" PRIu64 " for validation\n",
         anet_examples_count(conversations[0]), anet_examples_count(conversations[1]));

  /* The adapter: 8 columns beside each projection, all that is trained. */
  anet_adapter *adapter = NULL;
  anet_session *session = NULL;
  anet_adapter_options lora;
  anet_session_options options;
  anet_struct_init(&lora, sizeof lora);
  anet_struct_init(&options, sizeof options);
  lora.rank = 8;
  lora.seed = 42;
  options.precision = ANET_PRECISION_F32;
  options.batch_size = batch_size;
  options.sequence_length = row_length;
  options.documents = 1; /* packed conversations do not see each other */
  options.learning_rate = 2e-3;
  options.schedule = ANET_SCHEDULE_COSINE;
  options.total_steps = steps;
  options.clip_norm = 1;
  check(anet_adapter_create(model, &lora, &adapter, &error), &error);
  check(anet_session_create_adapter(device, adapter, &options, &session, &error), &error);

  /* The first half, saved at its end. */
  anet_eval_result evaluation;
  anet_fit_options fit;
  anet_struct_init(&evaluation, sizeof evaluation);
  anet_struct_init(&fit, sizeof fit);
  check(anet_session_evaluate(session, rows[1], 0, &evaluation, &error), &error);
  print_loss("validation", 0, evaluation.loss);
  fit.steps = steps / 2;
  fit.save_every = fit.steps;
  fit.checkpoint_root = checkpoints;
  fit.callback = report;
  check(anet_session_fit(session, rows[0], NULL, &fit, NULL, &error), &error);
  anet_session_release(session);
  anet_adapter_release(adapter);

  /* The second half, as if the first had never ended. */
  check(anet_session_resume_adapter(device, model, checkpoints, NULL, &session, &error), &error);
  check(anet_session_get_adapter(session, &adapter, &error), &error);
  fit.steps = steps - fit.steps;
  fit.save_every = 0;
  check(anet_session_fit(session, rows[0], NULL, &fit, NULL, &error), &error);
  check(anet_session_evaluate(session, rows[1], 0, &evaluation, &error), &error);
  print_loss("validation", steps, evaluation.loss);

  /* What it answers now. */
  char prompt[4096];
  size_t length = 0, count = 0;
  int32_t ids[row_length];
  const char *messages = "[{\"role\": \"user\", \"content\": \"What is the sum of one and two?\"}]";
  anet_generator *generator = NULL;
  anet_weighted_adapter attached = {adapter, 1};
  anet_sampling_options greedy;
  anet_struct_init(&greedy, sizeof greedy);
  greedy.max_tokens = 32;
  greedy.stop_ids = info.stop_ids;
  greedy.stop_count = (uint32_t)info.stop_count;
  check(anet_chat_template_render(chat, messages, NULL, NULL, 1, prompt, sizeof prompt, &length,
                                  &error),
        &error);
  check(anet_tokenizer_encode(tokenizer, prompt, length, ANET_TOKENIZE_PARSE_SPECIAL, ids,
                              row_length, &count, &error),
        &error);
  check(anet_generator_create(device, model, tokenizer, NULL, &generator, &error), &error);
  check(anet_generator_set_adapters(generator, &attached, 1, &error), &error);
  printf("answer: ");
  check(anet_generator_generate(generator, ids, count, &greedy, print_text, NULL, NULL, 0, NULL,
                                &error),
        &error);

  /* The adapter for PEFT, and the model with the adapter in its weights for llama.cpp. */
  anet_model *merged = NULL;
  anet_export_options gguf;
  anet_struct_init(&gguf, sizeof gguf);
  gguf.format = ANET_EXPORT_GGUF;
  gguf.type = ANET_EXPORT_FP16;
  gguf.companion = folder;
  check(anet_adapter_save(adapter, adapter_path, NULL, &error), &error);
  check(anet_model_merge(model, &attached, 1, &merged, &error), &error);
  check(anet_model_export(merged, merged_path, &gguf, &error), &error);
  printf("\nwrote adapter and model.gguf\n");

  anet_model_release(merged);
  anet_generator_release(generator);
  anet_session_release(session);
  anet_adapter_release(adapter);
  for (int part = 0; part < 2; ++part) {
    anet_dataset_release(rows[part]);
    anet_examples_release(conversations[part]);
  }
  anet_chat_template_release(chat);
  anet_tokenizer_release(tokenizer);
  anet_model_release(model);
  anet_device_release(device);
  return 0;
}
