// CUDA's side of kernels::device: memory, streams and the description of a GPU. A build without CUDA has every function
// too (none.cpp): the count is 0 and all others throw "built without CUDA". All errors are of kind `device`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/types.h"

namespace pen::kernels::cuda {

bool built();  // whether this build has the CUDA backend
// "13.0 for 80-real 90a-real 90-virtual, cuDNN 9.19.0, cuBLAS 13.1.0"; empty without CUDA
std::string build_description();
int device_count();  // GPUs that the driver shows; 0 without CUDA, without a driver or without a GPU
// "NVIDIA H200, 139.8 GiB, compute capability 9.0, 132 multiprocessors"
std::string device_description(int index);

// 256-byte aligned; null for 0 bytes and when the GPU has not so much.
void* device_allocate(int index, std::size_t bytes);
std::uint64_t device_free_memory(int index);
void device_release(int index, void* memory) noexcept;
// At least one side is on a GPU. Runs in the order of `stream` (null: the compute stream of the GPU that receives, or
// else of the one that sends). A copy to the CPU has ended when the call returns; after one from the CPU, ordinary
// memory may be changed at once, pinned memory when the stream has passed the copy.
void device_copy(Device to, void* destination, Device from, const void* source, std::size_t bytes, void* stream);
// To pinned memory, without waiting: it has ended when an event that is recorded behind it has passed.
void device_read_later(int index, void* pinned, const void* source, std::size_t bytes, void* stream);
void device_zero(int index, void* memory, std::size_t bytes, void* stream);
void device_synchronize(int index);   // waits for everything queued on the GPU; reports errors of past launches
void* device_stream(int index);       // the GPU's one compute stream (a cudaStream_t), made at the first call
void* device_copy_stream(int index);  // a second stream, for uploads

// Memory of the CPU that the GPU reads and writes by itself; null for 0 bytes.
void* pinned_allocate(int index, std::size_t bytes);
void pinned_release(void* memory) noexcept;
// Events (cudaEvent_t) without timing: made on a GPU, recorded in a stream of it, waited for by a stream or the caller.
void* event_create(int index);
void event_destroy(void* event) noexcept;
void event_record(int index, void* event, void* stream);
void event_hold(int index, void* event, void* stream);
void event_wait(void* event);

// What is queued on the compute stream between these two goes to the GPU as CUDA graphs (recorder.h): in as many parts
// as somebody has to wait in between. One recording at a time in the process.
void recording_begin(int index);
void recording_end(int index);  // launches what is left; an Error, too, where no recording is under way
RecordingCounts recording_counts(int index);
// Calls the handler of kernels::device::on_shortage, if there is one.
void tell_shortage(int index, std::size_t bytes, bool last);

}  // namespace pen::kernels::cuda
