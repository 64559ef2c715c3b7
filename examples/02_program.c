/* One level below training: run any MIL program, and let the library differentiate it.
 *
 *     build/release/examples/02_program
 *
 * MIL is the language that the Neural Engine's compiler reads, and the only one the library speaks.
 * The program below is y = sum(x * x * w), for which dy/dx = 2 * x * w and dy/dw = x * x.
 */
#include <ane_train.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const char *source =
    "program(1.3)\n"
    "{\n"
    "    func main<ios18>(tensor<fp32, [1, 4]> w, tensor<fp32, [1, 4]> x) {\n"
    "        tensor<fp32, [1, 4]> squared = mul(x = x, y = x)[name = string(\"squared\")];\n"
    "        tensor<fp32, [1, 4]> weighted = mul(x = squared, y = w)[name = "
    "string(\"weighted\")];\n"
    "        tensor<int32, [1]> axes = const()[name = string(\"axes\"), "
    "val = tensor<int32, [1]>([1])];\n"
    "        bool keep = const()[name = string(\"keep\"), val = bool(true)];\n"
    "        tensor<fp32, [1, 1]> y = reduce_sum(x = weighted, axes = axes, keep_dims = keep)"
    "[name = string(\"y\")];\n"
    "    } -> (y);\n"
    "}\n";

/* By its address: C may read the second argument before it makes the call in the first. */
static void check(anet_status status, anet_error **error) {
  if (status == ANET_OK) return;
  fprintf(stderr, "%s: %s", anet_status_name(status), anet_error_message(*error));
  if (anet_error_line(*error) > 0) {
    fprintf(stderr, " at %d:%d", (int)anet_error_line(*error), (int)anet_error_column(*error));
  }
  fprintf(stderr, "\n");
  anet_error_release(*error);
  exit(1);
}

static void fill(anet_buffer *buffer, const char *name) {
  static const float w[4] = {0.5f, 1, 2, 4}, x[4] = {1, 2, 3, 4}, one[4] = {1, 1, 1, 1};
  anet_error *error = NULL;
  anet_tensor_desc desc;
  anet_struct_init(&desc, sizeof desc);
  check(anet_buffer_get_desc(buffer, &desc, &error), &error);
  size_t bytes = anet_dtype_size(desc.dtype);
  for (uint32_t axis = 0; axis < desc.rank; ++axis) bytes *= (size_t)desc.shape[axis];
  const float *values = name[0] == 'w' ? w : name[0] == 'x' ? x : one;
  check(anet_buffer_write(buffer, values, bytes, &error), &error);
}

/* Compiles a function and runs it on `inputs`; whoever calls owns the `outputs`. */
static void run(anet_device *device, const anet_program *program, const char *function,
                anet_buffer **inputs, anet_buffer **outputs) {
  anet_error *error = NULL;
  anet_kernel *kernel = NULL;
  check(anet_kernel_compile(device, program, function, &kernel, &error), &error);
  size_t input_count = anet_kernel_port_count(kernel, ANET_INPUT);
  size_t output_count = anet_kernel_port_count(kernel, ANET_OUTPUT);
  anet_port port;
  anet_struct_init(&port, sizeof port);
  for (size_t i = 0; i < input_count; ++i) {
    if (inputs[i] != NULL) continue;
    /* Ports know their layout, so nobody computes a size by hand. */
    check(anet_kernel_create_buffer(kernel, ANET_INPUT, i, &inputs[i], &error), &error);
    check(anet_kernel_get_port(kernel, ANET_INPUT, i, &port, &error), &error);
    fill(inputs[i], port.name);
  }
  for (size_t i = 0; i < output_count; ++i) {
    check(anet_kernel_create_buffer(kernel, ANET_OUTPUT, i, &outputs[i], &error), &error);
  }
  check(anet_kernel_run(kernel, inputs, input_count, outputs, output_count, &error), &error);
  for (size_t i = 0; i < output_count; ++i) {
    float values[4] = {0};
    anet_tensor_desc desc;
    anet_struct_init(&desc, sizeof desc);
    check(anet_kernel_get_port(kernel, ANET_OUTPUT, i, &port, &error), &error);
    size_t count = 1;
    for (uint32_t axis = 0; axis < port.desc.rank; ++axis) count *= (size_t)port.desc.shape[axis];
    check(anet_buffer_read(outputs[i], values, count * sizeof *values, &error), &error);
    printf("%s: %s =", function, port.name);
    for (size_t k = 0; k < count; ++k) printf(" %g", (double)values[k]);
    printf("\n");
  }
  anet_kernel_release(kernel);
}

int main(void) {
  anet_error *error = NULL;
  anet_device *device = NULL;
  anet_program *program = NULL, *derivative = NULL;
  check(anet_device_open("cpu", NULL, &device, &error), &error);
  check(anet_program_parse(source, SIZE_MAX, NULL, 0, &program, &error), &error);

  /* Nothing is kept from the forward run here, so that the backward function reads w and x alone;
   * it then takes the seed d_y, which is 1. */
  anet_differentiate_options options;
  anet_struct_init(&options, sizeof options);
  options.taps = ANET_TAPS_NONE;
  check(anet_program_differentiate(program, "main", &options, &derivative, &error), &error);
  const char *text = NULL;
  check(anet_program_get_text(derivative, &text, NULL, &error), &error);
  printf("%s\n", text);

  anet_buffer *inputs[2] = {NULL}, *outputs[1] = {NULL};
  anet_buffer *backward_inputs[3] = {NULL}, *gradients[2] = {NULL};
  run(device, program, "main", inputs, outputs);
  run(device, derivative, "main_backward", backward_inputs, gradients);

  for (int i = 0; i < 3; ++i) anet_buffer_release(backward_inputs[i]);
  for (int i = 0; i < 2; ++i) anet_buffer_release(gradients[i]);
  for (int i = 0; i < 2; ++i) anet_buffer_release(inputs[i]);
  anet_buffer_release(outputs[0]);
  anet_program_release(derivative);
  anet_program_release(program);
  anet_device_release(device);
  return 0;
}
