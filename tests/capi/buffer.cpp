#include "support.h"

#include <cstdlib>
#include <numeric>

using namespace test;

namespace {

anet_tensor_desc fp32_desc(std::vector<int64_t> shape, std::vector<int64_t> strides = {}) {
  auto desc = initialised<anet_tensor_desc>();
  desc.dtype = ANET_DTYPE_FP32;
  desc.rank = static_cast<uint32_t>(shape.size());
  std::copy(shape.begin(), shape.end(), desc.shape);
  std::copy(strides.begin(), strides.end(), desc.strides);
  return desc;
}

Buffer create_buffer(anet_device* device, const anet_tensor_desc& desc) {
  anet_buffer* buffer = nullptr;
  must(anet_buffer_create, device, &desc, &buffer);
  return Buffer(buffer);
}

anet_status create_status(anet_device* device, const anet_tensor_desc& desc) {
  anet_buffer* buffer = nullptr;
  const Outcome outcome = attempt(anet_buffer_create, device, &desc, &buffer);
  CHECK((buffer != nullptr) == (outcome.status == ANET_OK));
  anet_buffer_release(buffer);
  return outcome.status;
}

void count_release(void* user_data) { ++*static_cast<int*>(user_data); }

struct Aligned {
  explicit Aligned(size_t size) : data(std::aligned_alloc(4096, size)) {}
  ~Aligned() { std::free(data); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  void* data;
};

} // namespace

TEST_CASE("dtypes have sizes and names") {
  const std::pair<anet_dtype, size_t> sizes[] = {
      {ANET_DTYPE_BOOL, 1},   {ANET_DTYPE_INT8, 1},  {ANET_DTYPE_UINT8, 1},  {ANET_DTYPE_INT16, 2},
      {ANET_DTYPE_UINT16, 2}, {ANET_DTYPE_INT32, 4}, {ANET_DTYPE_UINT32, 4}, {ANET_DTYPE_INT64, 8},
      {ANET_DTYPE_UINT64, 8}, {ANET_DTYPE_FP16, 2},  {ANET_DTYPE_BF16, 2},   {ANET_DTYPE_FP32, 4}};
  for (const auto& [dtype, size] : sizes) CHECK(anet_dtype_size(dtype) == size);
  CHECK(anet_dtype_size(ANET_DTYPE_UNDEFINED) == 0);
  CHECK(anet_dtype_size(13) == 0);
  CHECK(anet_dtype_name(ANET_DTYPE_FP32) == std::string("fp32"));
  CHECK(anet_dtype_name(ANET_DTYPE_BOOL) == std::string("bool"));
  CHECK(anet_dtype_name(-4) == std::string("undefined"));
}

TEST_CASE("a new buffer is zero and keeps what is written") {
  const Device device = open_device();
  const Buffer buffer = create_buffer(device.get(), fp32_desc({2, 3}));
  float values[6] = {9, 9, 9, 9, 9, 9};
  must(anet_buffer_read, buffer.get(), static_cast<void*>(values), sizeof(values));
  for (float value : values) CHECK(value == 0);
  std::iota(std::begin(values), std::end(values), 1.0f);
  must(anet_buffer_write, buffer.get(), static_cast<const void*>(values), sizeof(values));
  float copy[6] = {};
  must(anet_buffer_read, buffer.get(), static_cast<void*>(copy), sizeof(copy));
  CHECK(std::equal(std::begin(values), std::end(values), copy));

  for (size_t size : {size_t{0}, size_t{20}, size_t{28}}) {
    CHECK(attempt(anet_buffer_write, buffer.get(), static_cast<const void*>(values), size).status ==
          ANET_E_SHAPE_MISMATCH);
    CHECK(attempt(anet_buffer_read, buffer.get(), static_cast<void*>(values), size).status ==
          ANET_E_SHAPE_MISMATCH);
  }
}

TEST_CASE("dense copies go through padded strides") {
  const Device device = open_device();
  // 2 x 2 x 3 elements; rows are padded to 16 bytes, planes to 48.
  const Buffer buffer = create_buffer(device.get(), fp32_desc({2, 2, 3}, {48, 16, 4}));
  std::vector<float> values(12);
  std::iota(values.begin(), values.end(), 1.0f);
  must(anet_buffer_write, buffer.get(), static_cast<const void*>(values.data()), size_t{48});

  auto view = initialised<anet_buffer_view>();
  must(anet_buffer_map, buffer.get(), anet_map_access{ANET_MAP_READ}, &view);
  CHECK(view.desc.rank == 3);
  CHECK(view.desc.strides[0] == 48);
  CHECK(view.size_bytes >= 48 + 16 + 12);
  const auto* bytes = static_cast<const char*>(view.data);
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t j = 0; j < 2; ++j)
      for (int64_t k = 0; k < 3; ++k) {
        float seen = 0;
        std::memcpy(&seen, bytes + i * 48 + j * 16 + k * 4, sizeof(seen));
        CHECK(seen == values[static_cast<size_t>(i * 6 + j * 3 + k)]);
      }
  must(anet_buffer_unmap, buffer.get());

  std::vector<float> copy(12);
  must(anet_buffer_read, buffer.get(), static_cast<void*>(copy.data()), size_t{48});
  CHECK(copy == values);
}

TEST_CASE("a description comes back with its strides") {
  const Device device = open_device();
  const Buffer buffer = create_buffer(device.get(), fp32_desc({4, 5}));
  auto desc = initialised<anet_tensor_desc>();
  must(anet_buffer_get_desc, buffer.get(), &desc);
  CHECK(desc.dtype == ANET_DTYPE_FP32);
  CHECK(desc.rank == 2);
  CHECK(desc.shape[0] == 4);
  CHECK(desc.shape[1] == 5);
  CHECK(desc.strides[0] == 20);
  CHECK(desc.strides[1] == 4);
}

TEST_CASE("bad descriptions are refused") {
  const Device device = open_device();
  anet_tensor_desc desc = fp32_desc({2, 2});
  desc.dtype = ANET_DTYPE_UNDEFINED;
  CHECK(create_status(device.get(), desc) == ANET_E_TYPE_MISMATCH);
  desc.dtype = 99;
  CHECK(create_status(device.get(), desc) == ANET_E_TYPE_MISMATCH);
  desc = fp32_desc({2, 2});
  desc.rank = 9;
  CHECK(create_status(device.get(), desc) == ANET_E_SHAPE_MISMATCH);
  for (const anet_tensor_desc& bad :
       {fp32_desc({2, 0}), fp32_desc({-1, 2}), fp32_desc({2, 2}, {4, 4}), // rows overlap
        fp32_desc({2, 2}, {8, 8}),                                        // innermost
        fp32_desc({2, 2}, {10, 4}),                                       // half an element
        fp32_desc({2, 2}, {-8, 4}), fp32_desc({2, 2}, {8, 0}),            //
        fp32_desc({INT64_MAX, 2}), fp32_desc({2, 2}, {INT64_MAX - 3, 4}), // overflow
        fp32_desc({1 << 30, 1 << 30, 1 << 30})})
    CHECK(create_status(device.get(), bad) == ANET_E_SHAPE_MISMATCH);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // they end the process
  // Fits an int64 but no machine.
  CHECK(create_status(device.get(), fp32_desc({1 << 23, 1 << 23})) == ANET_E_OUT_OF_MEMORY);
#endif
}

TEST_CASE("maps nest and block copies") {
  const Device device = open_device();
  const Buffer buffer = create_buffer(device.get(), fp32_desc({2}));
  CHECK(attempt(anet_buffer_unmap, buffer.get()).status == ANET_E_INVALID_STATE);
  auto view = initialised<anet_buffer_view>();
  for (anet_map_access access : {0, 4, -1})
    CHECK(attempt(anet_buffer_map, buffer.get(), access, &view).status == ANET_E_INVALID_ARGUMENT);

  must(anet_buffer_map, buffer.get(), anet_map_access{ANET_MAP_READ_WRITE}, &view);
  must(anet_buffer_map, buffer.get(), anet_map_access{ANET_MAP_READ}, &view);
  float values[2] = {1, 2};
  must(anet_buffer_unmap, buffer.get());
  CHECK(attempt(anet_buffer_write, buffer.get(), static_cast<const void*>(values), sizeof(values))
            .status == ANET_E_BUSY);
  CHECK(
      attempt(anet_buffer_read, buffer.get(), static_cast<void*>(values), sizeof(values)).status ==
      ANET_E_BUSY);
  must(anet_buffer_unmap, buffer.get());
  must(anet_buffer_write, buffer.get(), static_cast<const void*>(values), sizeof(values));
}

TEST_CASE("imported memory is used in place and released once") {
  const Device device = open_device();
  Aligned memory(4096);
  int released = 0;
  const anet_tensor_desc desc = fp32_desc({4});
  anet_buffer* handle = nullptr;
  must(anet_buffer_import, device.get(), memory.data, size_t{16}, &desc, count_release,
       static_cast<void*>(&released), &handle);
  const float values[4] = {1, 2, 3, 4};
  must(anet_buffer_write, handle, static_cast<const void*>(values), sizeof(values));
  CHECK(std::memcmp(memory.data, values, sizeof(values)) == 0);
  anet_buffer_retain(handle);
  anet_buffer_release(handle);
  CHECK(released == 0);
  anet_buffer_release(handle);
  CHECK(released == 1);
}

TEST_CASE("a failed import releases the memory once too") {
  const Device device = open_device();
  Aligned memory(4096);
  int released = 0;
  void* user_data = &released;
  const anet_tensor_desc desc = fp32_desc({4});
  anet_buffer* handle = nullptr;
  const auto import = [&](anet_device* on, void* data, size_t size, const anet_tensor_desc* as,
                          anet_buffer** output) {
    released = 0;
    const Outcome outcome =
        attempt(anet_buffer_import, on, data, size, as, count_release, user_data, output);
    CHECK(released == 1);
    return outcome.status;
  };
  CHECK(import(nullptr, memory.data, 16, &desc, &handle) == ANET_E_INVALID_ARGUMENT);
  CHECK(import(device.get(), nullptr, 16, &desc, &handle) == ANET_E_INVALID_ARGUMENT);
  CHECK(import(device.get(), memory.data, 16, nullptr, &handle) == ANET_E_INVALID_ARGUMENT);
  CHECK(import(device.get(), memory.data, 16, &desc, nullptr) == ANET_E_INVALID_ARGUMENT);
  CHECK(import(device.get(), memory.data, 15, &desc, &handle) == ANET_E_OUT_OF_RANGE);
  CHECK(import(device.get(), static_cast<char*>(memory.data) + 4, 16, &desc, &handle) ==
        ANET_E_INVALID_ARGUMENT);
  CHECK(handle == nullptr);
}
