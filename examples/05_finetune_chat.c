/* Fine-tunes a chat model of other tools on conversations, and writes it back for them.
 *
 *     build/release/examples/05_finetune_chat SmolLM2-135M-Instruct chats.jsonl tuned [steps]
 *
 * The folder is as Hugging Face publishes it: config.json, model.safetensors, tokenizer.json,
 * tokenizer_config.json. Each line of the data is {"messages": [{"role": "user", ...}, ...]}.
 */
#include <ane_train.h>

#include <stdio.h>
#include <stdlib.h>

/* By its address: C may read the second argument before it makes the call in the first. */
static void check(anet_status status, anet_error **error) {
  if (status == ANET_OK) return;
  fprintf(stderr, "%s: %s\n", anet_status_name(status), anet_error_message(*error));
  anet_error_release(*error);
  exit(1);
}

static int32_t report(const anet_fit_event *event, void *user_data) {
  (void)user_data;
  if (event->kind == ANET_EVENT_EVAL)
    printf("step %4lld  validation loss %.3f%s\n", (long long)event->step.step, event->eval.loss,
           event->improved ? " (best)" : "");
  return 0;
}

/* Rows of 256 tokens with as many conversations as fit: nothing is padded, and the session keeps
 * them from seeing each other. */
static anet_dataset *pack(const anet_examples *examples, int32_t sequential) {
  anet_dataset *rows = NULL;
  anet_error *error = NULL;
  anet_rows_options packed;
  anet_struct_init(&packed, sizeof packed);
  packed.sequence_length = 256;
  packed.layout = ANET_ROWS_PACKED;
  packed.sequential = sequential;
  check(anet_dataset_create_rows(examples, &packed, &rows, &error), &error);
  return rows;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s model-folder chats.jsonl output-folder [steps]\n", argv[0]);
    return 2;
  }
  const char *folder = argv[1];
  int64_t steps = argc > 4 ? strtoll(argv[4], NULL, 10) : 100;
  anet_error *error = NULL;
  anet_device *device = NULL;
  anet_model *model = NULL;
  anet_tokenizer *tokenizer = NULL;
  anet_chat_template *chat = NULL;
  check(anet_device_open("auto", NULL, &device, &error), &error);

  /* Weights, vocabulary and the way this model writes a conversation down. */
  anet_model_config config;
  anet_model_info info;
  anet_struct_init(&config, sizeof config);
  anet_struct_init(&info, sizeof info);
  check(anet_model_load(folder, NULL, &model, &error), &error);
  check(anet_model_get_config(model, &config, &error), &error);
  check(anet_model_get_info(model, &info, &error), &error);
  check(anet_tokenizer_load(folder, config.vocab_size, &tokenizer, &error), &error);
  check(anet_chat_template_load(folder, &chat, &error), &error);

  /* Every assistant turn is learned, with the token that ends it; nothing else is. */
  anet_examples *chats = NULL, *some = NULL, *rest = NULL;
  anet_examples_options reading;
  anet_struct_init(&reading, sizeof reading);
  reading.supervision = ANET_SUPERVISE_ASSISTANT;
  reading.chat_template = chat;
  reading.stop_ids = info.stop_ids;
  reading.stop_count = (uint32_t)info.stop_count;
  reading.strict = 1; /* a conversation that cannot be used is an error with its line */
  reading.device = device;
  check(anet_examples_open(argv[2], tokenizer, &reading, &chats, &error), &error);
  check(anet_examples_split(chats, 0.1, &some, &rest, &error), &error);
  anet_dataset *train = pack(some, 0), *validation = pack(rest, 1);
  printf("%llu conversations in %llu rows, %llu weights\n",
         (unsigned long long)anet_examples_count(some),
         (unsigned long long)anet_dataset_window_count(train),
         (unsigned long long)anet_model_weight_count(model));

  anet_session *session = NULL;
  anet_session_options options;
  anet_struct_init(&options, sizeof options);
  options.batch_size = 2;
  options.sequence_length = anet_dataset_sequence_length(train);
  options.documents = 1; /* for packed rows */
  options.learning_rate = 1e-4;
  options.clip_norm = 1.0;
  check(anet_session_create(device, model, &options, &session, &error), &error);

  /* Stops when three evaluations in a row were no better than the best. */
  anet_fit_options fit;
  anet_fit_result result;
  anet_struct_init(&fit, sizeof fit);
  anet_struct_init(&result, sizeof result);
  fit.steps = steps;
  fit.eval_every = steps < 10 ? 1 : steps / 10;
  fit.patience = 3;
  fit.callback = report;
  check(anet_session_fit(session, train, validation, &fit, &result, &error), &error);
  printf("%s after step %lld\n", result.end == ANET_FIT_NO_IMPROVEMENT ? "stopped early" : "done",
         (long long)result.step.step);

  /* Tokenizer, template and generation settings of the folder go along. */
  anet_export_options output;
  anet_struct_init(&output, sizeof output);
  output.format = ANET_EXPORT_HUGGING_FACE;
  output.type = ANET_EXPORT_BF16;
  output.companion = folder;
  check(anet_model_export(model, argv[3], &output, &error), &error);
  printf("wrote %s\n", argv[3]);

  anet_session_release(session);
  anet_dataset_release(validation), anet_dataset_release(train);
  anet_examples_release(rest), anet_examples_release(some), anet_examples_release(chats);
  anet_chat_template_release(chat);
  anet_tokenizer_release(tokenizer);
  anet_model_release(model);
  anet_device_release(device);
  return 0;
}
