/* Continues the training of example 03 from its checkpoint, then writes text with the model.
 *
 *     build/release/examples/04_resume_generate text.txt checkpoints "Once upon a time" [steps]
 */
#include <ane_train.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PROMPT = 256 };

/* By its address: C may read the second argument before it makes the call in the first. */
static void check(anet_status status, anet_error **error) {
  if (status == ANET_OK) return;
  fprintf(stderr, "%s: %s\n", anet_status_name(status), anet_error_message(*error));
  anet_error_release(*error);
  exit(1);
}

/* Receives text as it is written: whole UTF-8 characters, not null-terminated. */
static int32_t print_text(int32_t id, const char *text, size_t length, void *user_data) {
  (void)id;
  (void)user_data;
  fwrite(text, 1, length, stdout);
  fflush(stdout);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s text.txt checkpoints prompt [steps]\n", argv[0]);
    return 2;
  }
  int64_t steps = argc > 4 ? strtoll(argv[4], NULL, 10) : 20;
  anet_error *error = NULL;
  anet_device *device = NULL;
  check(anet_device_open("auto", NULL, &device, &error), &error);

  /* The newest loadable checkpoint below the folder, with the options it was trained with: the
   * weights, the optimizer and the position in the data are as they were. */
  anet_session *session = NULL;
  check(anet_session_resume(device, argv[2], NULL, &session, &error), &error);
  anet_session_options options;
  anet_struct_init(&options, sizeof options);
  check(anet_session_get_options(session, &options, &error), &error);
  int64_t step = 0;
  check(anet_session_get_step(session, &step, &error), &error);
  printf("resumed after step %lld\n", (long long)step);

  /* The same text, the same seed, the same split: the order of the windows is theirs alone, and
   * the session knows which one is next. */
  anet_tokenizer *tokenizer = NULL;
  anet_dataset *text = NULL, *train = NULL, *validation = NULL;
  anet_dataset_options data;
  anet_struct_init(&data, sizeof data);
  data.sequence_length = options.sequence_length;
  data.seed = options.seed;
  check(anet_tokenizer_create_bytes(&tokenizer, &error), &error);
  check(anet_dataset_open_text(argv[1], tokenizer, &data, &text, &error), &error);
  check(anet_dataset_split(text, 0.1, &train, &validation, &error), &error);

  anet_fit_options fit;
  anet_struct_init(&fit, sizeof fit);
  fit.steps = steps;
  anet_fit_result last;
  anet_struct_init(&last, sizeof last);
  check(anet_session_fit(session, train, NULL, &fit, &last, &error), &error);
  anet_eval_result eval;
  anet_struct_init(&eval, sizeof eval);
  check(anet_session_evaluate(session, validation, 32, &eval, &error), &error);
  printf("step %lld  loss %.3f  validation loss %.3f\n\n", (long long)last.step.step,
         last.step.loss, eval.loss);

  /* A generator sees the weights as they are at each call, also while training goes on. */
  anet_model *model = NULL;
  anet_generator *generator = NULL;
  anet_generator_options writing;
  anet_struct_init(&writing, sizeof writing);
  writing.precision = options.precision;
  check(anet_session_get_model(session, &model, &error), &error);
  check(anet_generator_create(device, model, tokenizer, &writing, &generator, &error), &error);

  int32_t prompt[MAX_PROMPT];
  size_t prompt_count = 0;
  check(anet_tokenizer_encode(tokenizer, argv[3], SIZE_MAX, 0, prompt, MAX_PROMPT, &prompt_count,
                              &error),
        &error);
  anet_sampling_options sampling;
  anet_struct_init(&sampling, sizeof sampling);
  sampling.max_tokens = 100;
  sampling.temperature = 0.8;
  sampling.top_p = 0.95;
  sampling.seed = 7;
  anet_generation_result result;
  anet_struct_init(&result, sizeof result);
  printf("%s", argv[3]);
  check(anet_generator_generate(generator, prompt, prompt_count, &sampling, print_text, NULL, NULL,
                                0, &result, &error),
        &error);
  printf("\n\n%.0f tokens/s\n", (double)result.generated_tokens / result.decode_seconds);

  anet_generator_release(generator);
  anet_model_release(model);
  anet_session_release(session);
  anet_dataset_release(validation);
  anet_dataset_release(train);
  anet_dataset_release(text);
  anet_tokenizer_release(tokenizer);
  anet_device_release(device);
  return 0;
}
