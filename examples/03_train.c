/* Trains a small byte-level language model on a text file.
 *
 *     build/release/examples/03_train text.txt checkpoints [steps]
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

/* Called between steps, on this thread. Returning a positive number would stop the training. */
static int32_t report(const anet_fit_event *event, void *user_data) {
  (void)user_data;
  if (event->kind == ANET_EVENT_STEP && event->step.step % 10 == 0) {
    printf("step %4lld  loss %.3f  gradient %.2f  %.0f tokens/s\n", (long long)event->step.step,
           event->step.loss, event->step.grad_norm,
           (double)event->step.tokens / event->step.seconds);
  } else if (event->kind == ANET_EVENT_EVAL) {
    printf("step %4lld  validation loss %.3f\n", (long long)event->step.step, event->eval.loss);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s text.txt checkpoints [steps]\n", argv[0]);
    return 2;
  }
  int64_t steps = argc > 3 ? strtoll(argv[3], NULL, 10) : 100;
  anet_error *error = NULL;

  anet_device *device = NULL;
  check(anet_device_open("auto", NULL, &device, &error), &error);

  /* Text becomes windows of 128 tokens; the last tenth is kept aside to measure progress on text
   * that the model has not seen. */
  anet_tokenizer *tokenizer = NULL;
  anet_dataset *text = NULL, *train = NULL, *validation = NULL;
  anet_dataset_options data;
  anet_struct_init(&data, sizeof data);
  data.sequence_length = 128;
  data.seed = 1;
  check(anet_tokenizer_create_bytes(&tokenizer, &error), &error);
  check(anet_dataset_open_text(argv[1], tokenizer, &data, &text, &error), &error);
  check(anet_dataset_split(text, 0.1, &train, &validation, &error), &error);

  /* A Llama, small enough to learn something in a minute on a CPU. */
  anet_model *model = NULL;
  anet_model_config config;
  anet_struct_init(&config, sizeof config);
  config.vocab_size = anet_tokenizer_vocab_size(tokenizer);
  config.hidden_size = 128;
  config.intermediate_size = 352;
  config.layer_count = 4;
  config.head_count = 4;
  config.context_length = 256;
  config.tie_embeddings = 1;
  check(anet_model_create(&config, 42, &model, &error), &error);
  printf("%llu parameters, %llu windows\n", (unsigned long long)anet_model_weight_count(model),
         (unsigned long long)anet_dataset_window_count(train));

  /* Zero means the default, so only what differs is named. */
  anet_session *session = NULL;
  anet_session_options options;
  anet_struct_init(&options, sizeof options);
  options.batch_size = 8;
  options.sequence_length = data.sequence_length;
  options.learning_rate = 1e-3;
  options.clip_norm = 1.0;
  options.weight_decay = 0.1;
  options.seed = 1;
  check(anet_session_create(device, model, &options, &session, &error), &error);

  anet_fit_options fit;
  anet_struct_init(&fit, sizeof fit);
  fit.steps = steps;
  fit.eval_every = steps < 50 ? steps : 50;
  fit.eval_windows = 32;
  fit.callback = report;
  check(anet_session_fit(session, train, validation, &fit, NULL, &error), &error);

  /* Everything that resuming needs; example 04 goes on from here. */
  check(anet_session_save(session, argv[2], NULL, &error), &error);
  printf("saved below %s\n", argv[2]);

  /* Handles are reference-counted: any order will do. */
  anet_device_release(device);
  anet_session_release(session);
  anet_model_release(model);
  anet_dataset_release(validation);
  anet_dataset_release(train);
  anet_dataset_release(text);
  anet_tokenizer_release(tokenizer);
  return 0;
}
