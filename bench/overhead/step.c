/* Steps on demand, for bench/binding_overhead.py: a line with a number on the standard input runs
 * so many steps of a session with a row of so many tokens; the answer is the seconds that they took
 * by the clock, those of the processor, and the bits of the last loss. step.py and the packages
 * step_rust and step_swift do the same in their languages.
 */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */

#include <ane_train.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { max_row_length = 256 };

static void check(anet_status status, anet_error** error) {
  if (status == ANET_OK) return;
  fprintf(stderr, "%s: %s\n", anet_status_name(status), anet_error_message(*error));
  exit(1);
}

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: %s configuration row-length\n", argv[0]);
    return 2;
  }
  const int32_t row_length = atoi(argv[2]) < max_row_length ? atoi(argv[2]) : max_row_length;
  anet_error* error = NULL;
  anet_device* device = NULL;
  anet_model* model = NULL;
  anet_session* session = NULL;
  anet_device_options threads;
  anet_model_config config;
  anet_session_options options;
  anet_batch batch;
  anet_step_result result;
  anet_struct_init(&threads, sizeof threads);
  anet_struct_init(&config, sizeof config);
  anet_struct_init(&options, sizeof options);
  anet_struct_init(&batch, sizeof batch);
  anet_struct_init(&result, sizeof result);

  threads.threads = 1;
  check(anet_device_open("cpu", &threads, &device, &error), &error);
  check(anet_model_config_get(argv[1], &config, &error), &error);
  config.layer_count = 2;
  config.vocab_size = 512;
  check(anet_model_create(&config, 1, &model, &error), &error);
  options.sequence_length = row_length;
  options.learning_rate = 1e-4;
  check(anet_session_create(device, model, &options, &session, &error), &error);

  int32_t tokens[max_row_length], targets[max_row_length];
  for (int32_t i = 0; i < row_length; ++i) {
    tokens[i] = 37 * i % config.vocab_size;
    targets[i] = 37 * (i + 1) % config.vocab_size;
  }
  batch.sequence_count = 1;
  batch.sequence_length = row_length;
  batch.tokens = tokens;
  batch.targets = targets;

  char line[32];
  while (fgets(line, sizeof line, stdin) != NULL) {
    const int64_t steps = strtoll(line, NULL, 10);
    const double start = now(CLOCK_MONOTONIC), busy = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int64_t i = 0; i < steps; ++i)
      check(anet_session_step(session, &batch, 1, &result, &error), &error);
    const double seconds = now(CLOCK_MONOTONIC) - start;
    const double processor = now(CLOCK_PROCESS_CPUTIME_ID) - busy;
    uint64_t bits;
    memcpy(&bits, &result.loss, sizeof bits);
    printf("%.9f %.9f %016" PRIx64 "\n", seconds, processor, bits);
    fflush(stdout);
  }
  anet_session_release(session);
  anet_model_release(model);
  anet_device_release(device);
  return 0;
}
