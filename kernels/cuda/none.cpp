// A build without CUDA: every function exists, and each says so by name. Generated from the list of kernels.
#include "kernels/cuda/device.h"
#include "kernels/cuda/engine_count.h"
#include "kernels/kernels.h"

namespace pen::kernels::cuda {
namespace {

[[noreturn]] void not_built(const char* function) {
  fail(ErrorKind::device, std::string(function) + ": built without CUDA",
       "use --device cpu, or rebuild with cmake -DPENUMBRA_CUDA=ON where nvcc is installed");
}

// Arguments that are not needed here, without a warning for each.
template <class... Arguments>
void ignore(const Arguments&...) {}

}  // namespace

bool built() { return false; }
std::string build_description() { return {}; }
int device_count() { return 0; }
std::string device_description(int) { not_built("device_description"); }
void* device_allocate(int, std::size_t) { not_built("device_allocate"); }
std::uint64_t device_free_memory(int) { not_built("device_free_memory"); }
void device_release(int, void*) noexcept {}  // nothing can have been allocated
void device_copy(Device, void*, Device, const void*, std::size_t, void*) { not_built("device_copy"); }
void device_read_later(int, void*, const void*, std::size_t, void*) { not_built("device_read_later"); }
void device_zero(int, void*, std::size_t, void*) { not_built("device_zero"); }
void device_synchronize(int) { not_built("device_synchronize"); }
void* device_stream(int) { not_built("device_stream"); }
void* device_copy_stream(int) { not_built("device_copy_stream"); }
void* pinned_allocate(int, std::size_t) { not_built("pinned_allocate"); }
void pinned_release(void*) noexcept {}
void* event_create(int) { not_built("event_create"); }
void event_destroy(void*) noexcept {}
void event_record(int, void*, void*) { not_built("event_record"); }
void event_hold(int, void*, void*) { not_built("event_hold"); }
void event_wait(void*) { not_built("event_wait"); }
void recording_begin(int) { not_built("recording_begin"); }
void recording_end(int) { not_built("recording_end"); }
RecordingCounts recording_counts(int) { not_built("recording_counts"); }
EngineCount count_engines(const ConvSpec&, bool, const std::string&, int) { not_built("count_engines"); }

#define PEN_KERNEL_OF(kind, name, parameters, arguments) \
  void name parameters {                                 \
    ignore arguments;                                    \
    not_built(#name);                                    \
  }
#include "kernels/every_type.def"
#undef PEN_KERNEL_OF

}  // namespace pen::kernels::cuda
