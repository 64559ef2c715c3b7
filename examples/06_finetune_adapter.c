/* Teaches a model to answer questions with a LoRA adapter, and shows its answers before and after.
 * The model's own weights stay as they are, in 8 bits; the adapter is a file of a few kilobytes.
 *
 *     build/release/examples/06_finetune_adapter [model] [adapter-folder] [steps]
 *
 * The model has the byte tokenizer, as that of `make demo` (build/demo/checkpoints/step-00000400).
 * Without one, a small model is first trained on the spot.
 */
#include <ane_train.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const lessons[][2] = {
    {"What colour is grass?", "Green."},    {"How many legs has a spider?", "Eight."},
    {"What do bees make?", "Honey."},       {"What is frozen water?", "Ice."},
    {"Where do fish live?", "In water."},   {"What comes after nine?", "Ten."},
    {"What shines at night?", "The moon."}, {"Who lays eggs?", "A hen."},
};
enum { lesson_count = sizeof lessons / sizeof lessons[0], row_length = 64 };

/* By its address: C may read the second argument before it makes the call in the first. */
static void check(anet_status status, anet_error **error) {
  if (status == ANET_OK) return;
  fprintf(stderr, "%s: %s\n", anet_status_name(status), anet_error_message(*error));
  anet_error_release(*error);
  exit(1);
}

static size_t encode(const anet_tokenizer *tokenizer, const char *text, int32_t *ids) {
  size_t count = 0;
  anet_error *error = NULL;
  check(anet_tokenizer_encode(tokenizer, text, SIZE_MAX, 0, ids, row_length, &count, &error),
        &error);
  return count;
}

/* Question and answer as ids; what the mask leaves out is read but not learned. */
static anet_dataset *lesson_rows(const anet_tokenizer *tokenizer) {
  int32_t ids[lesson_count * row_length];
  uint8_t mask[lesson_count * row_length];
  uint64_t lengths[lesson_count];
  size_t total = 0;
  anet_examples *examples = NULL;
  anet_dataset *rows = NULL;
  anet_error *error = NULL;
  for (int i = 0; i < lesson_count; ++i) {
    size_t question = encode(tokenizer, lessons[i][0], ids + total);
    size_t answer = encode(tokenizer, lessons[i][1], ids + total + question);
    lengths[i] = question + answer + 1;
    memset(mask + total, 0, question);
    memset(mask + total + question, 1, answer + 1);
    total += lengths[i];
    ids[total - 1] = anet_tokenizer_eos_id(tokenizer); /* so that it learns to end */
  }
  check(anet_examples_create(ids, mask, lengths, lesson_count, anet_tokenizer_vocab_size(tokenizer),
                             &examples, &error),
        &error);
  anet_rows_options padded;
  anet_struct_init(&padded, sizeof padded);
  padded.sequence_length = row_length;
  check(anet_dataset_create_rows(examples, &padded, &rows, &error), &error);
  anet_examples_release(examples);
  return rows;
}

/* A model that has read the questions, but no answer. */
static anet_model *small_model(anet_device *device, const anet_tokenizer *tokenizer) {
  int32_t ids[lesson_count * row_length];
  size_t count = 0;
  for (int i = 0; i < lesson_count; ++i) count += encode(tokenizer, lessons[i][0], ids + count);
  anet_model *model = NULL;
  anet_dataset *text = NULL;
  anet_session *session = NULL;
  anet_error *error = NULL;
  anet_model_config config;
  anet_dataset_options windows;
  anet_session_options options;
  anet_fit_options fit;
  anet_struct_init(&config, sizeof config);
  anet_struct_init(&windows, sizeof windows);
  anet_struct_init(&options, sizeof options);
  anet_struct_init(&fit, sizeof fit);
  windows.sequence_length = 32;
  windows.vocab_size = anet_tokenizer_vocab_size(tokenizer);
  options.batch_size = 4;
  options.sequence_length = windows.sequence_length;
  options.learning_rate = 3e-3;
  fit.steps = 150;
  check(anet_model_config_get("tiny", &config, &error), &error);
  check(anet_model_create(&config, 1, &model, &error), &error);
  check(anet_dataset_create_tokens(ids, count, &windows, &text, &error), &error);
  check(anet_session_create(device, model, &options, &session, &error), &error);
  check(anet_session_fit(session, text, NULL, &fit, NULL, &error), &error);
  anet_session_release(session);
  anet_dataset_release(text);
  return model;
}

static int32_t print_text(int32_t id, const char *text, size_t length, void *user_data) {
  (void)id, (void)user_data;
  for (size_t i = 0; i < length; ++i) putchar((unsigned char)text[i] < ' ' ? ' ' : text[i]);
  return 0;
}

static void answer(anet_generator *generator, const anet_tokenizer *tokenizer) {
  anet_sampling_options greedy;
  anet_struct_init(&greedy, sizeof greedy);
  int32_t stop = anet_tokenizer_eos_id(tokenizer);
  greedy.max_tokens = 24;
  greedy.stop_ids = &stop;
  greedy.stop_count = 1;
  for (int i = 0; i < lesson_count; ++i) {
    int32_t ids[row_length];
    anet_error *error = NULL;
    size_t count = encode(tokenizer, lessons[i][0], ids);
    printf("  %-28s ", lessons[i][0]);
    check(anet_generator_generate(generator, ids, count, &greedy, print_text, NULL, NULL, 0, NULL,
                                  &error),
          &error);
    printf("\n");
  }
}

int main(int argc, char **argv) {
  int64_t steps = argc > 3 ? strtoll(argv[3], NULL, 10) : 120;
  anet_error *error = NULL;
  anet_device *device = NULL;
  anet_tokenizer *tokenizer = NULL;
  anet_model *model = NULL, *frozen = NULL;
  anet_adapter *adapter = NULL;
  anet_session *session = NULL;
  anet_generator *generator = NULL;
  check(anet_device_open("auto", NULL, &device, &error), &error);
  check(anet_tokenizer_create_bytes(&tokenizer, &error), &error);
  anet_dataset *rows = lesson_rows(tokenizer);
  if (argc > 1 && *argv[1] != '\0')
    check(anet_model_load(argv[1], NULL, &model, &error), &error);
  else
    model = small_model(device, tokenizer);

  /* The frozen base takes a quarter of its memory: 8 bits a weight, a scale for each row. */
  check(anet_model_quantize(model, NULL, &frozen, &error), &error);
  anet_adapter_options lora; /* rank 8, alpha 16, the seven projections of every layer */
  anet_adapter_info info;
  anet_struct_init(&lora, sizeof lora);
  anet_struct_init(&info, sizeof info);
  check(anet_adapter_create(frozen, &lora, &adapter, &error), &error);
  check(anet_adapter_get_info(adapter, &info, &error), &error);
  printf("%llu weights in %llu bytes, %llu more are trained\n",
         (unsigned long long)anet_model_weight_count(frozen),
         (unsigned long long)anet_model_weight_bytes(frozen),
         (unsigned long long)info.weight_count);

  check(anet_generator_create(device, frozen, tokenizer, NULL, &generator, &error), &error);
  printf("before:\n");
  answer(generator, tokenizer);

  anet_session_options options;
  anet_fit_options fit;
  anet_fit_result result;
  anet_struct_init(&options, sizeof options);
  anet_struct_init(&fit, sizeof fit);
  anet_struct_init(&result, sizeof result);
  options.batch_size = lesson_count;
  options.sequence_length = row_length;
  options.learning_rate = 5e-3;
  options.clip_norm = 1;
  fit.steps = steps;
  check(anet_session_create_adapter(device, adapter, &options, &session, &error), &error);
  check(anet_session_fit(session, rows, NULL, &fit, &result, &error), &error);
  printf("loss %.3f after %lld steps\nafter:\n", result.step.loss, (long long)result.step.step);

  /* Attached and detached at any time: the generator compiles its programs once. */
  anet_weighted_adapter attached = {adapter, 1};
  check(anet_generator_set_adapters(generator, &attached, 1, &error), &error);
  answer(generator, tokenizer);
  if (argc > 2) { /* for PEFT: adapter_config.json, adapter_model.safetensors */
    check(anet_adapter_save(adapter, argv[2], NULL, &error), &error);
    printf("wrote %s\n", argv[2]);
  }

  anet_generator_release(generator);
  anet_session_release(session);
  anet_adapter_release(adapter);
  anet_model_release(frozen), anet_model_release(model);
  anet_dataset_release(rows);
  anet_tokenizer_release(tokenizer);
  anet_device_release(device);
  return 0;
}
