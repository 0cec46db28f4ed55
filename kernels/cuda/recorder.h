// The compute stream of a GPU, collected into CUDA graphs instead of sent kernel by kernel.
#pragma once

#include <cstddef>
#include <exception>
#include <map>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/gpu.h"

namespace pen::kernels::cuda {

// The GPU has no memory for an executable graph.
class NoGraphMemory : public Error {
 public:
  explicit NoGraphMemory(int index)
      : Error(ErrorKind::device, str("out of memory on cuda:", index, ": there is none for a CUDA graph"),
              "a smaller --batch_size needs less, and a step without --cuda_graph a little less") {}
};

// While a recording is under way the stream is being captured. The graph of each part is launched as soon as the part
// ends: parameters may change from part to part, memory is used again in the order of the stream, and whatever the
// host decides meanwhile holds, all as without a recording. An executable graph of the same shape takes the new
// parameters (cudaGraphExecUpdate); only a new shape is instantiated.
//
// What a stream that is captured cannot do (wait, free memory, time plans, meet another stream) is done Aside. A part
// that could not be launched is gone, and what follows it would compute with what was there before: the recording goes
// on to its end, which then throws, whoever may have caught the first error.
// One recording at a time in the process, by the thread that queues the work.
class Recorder {
 public:
  explicit Recorder(int index) : index_(index) {}
  Recorder(const Recorder&) = delete;

  static Recorder& of(int index);            // lives as long as the process
  static Recorder* on(cudaStream_t stream);  // the one that captures this stream now, or null
  static Recorder* on(int index);

  void begin();  // an Error where a recording is under way
  void end();    // the last part is launched; an Error where a part was lost
  const RecordingCounts& counts() const { return counts_; }

  // Pinned memory with a copy of these bytes, which the part being recorded may read; null where there is no room.
  const void* staged(const void* source, std::size_t bytes);
  // Working memory, in the order of the stream: a captured stream must not ask the driver's pool, whose blocks would
  // belong to the graph. Kept for the recordings that follow.
  void* take(std::size_t bytes);
  void give(void* memory);
  void trim() noexcept;  // frees what nobody has; the GPU has to be idle

 private:
  friend class Aside;
  struct Executable {
    cudaGraphExec_t handle;
    std::size_t nodes;
    std::uint64_t used;
  };
  struct Staging {  // of one recording
    void* memory = nullptr;
    std::size_t used = 0;
    void* read = nullptr;  // an event behind its last reader
  };
  void open();
  void close();
  void close_or_throw();
  void launch(cudaGraph_t graph);
  cudaGraphExec_t instantiate(cudaGraph_t graph);
  cudaGraphExec_t executable(cudaGraph_t graph, std::size_t nodes);
  cudaStream_t stream() const { return gpu(index_).compute.get(); }

  const int index_;
  bool capturing_ = false;
  std::exception_ptr lost_;  // why a part of this recording was
  RecordingCounts counts_;
  std::vector<Executable> executables_;
  Staging staging_[2];  // two recordings may be on the GPU
  int turn_ = 0;
  std::multimap<std::size_t, void*> free_;  // working memory by its size
  std::map<void*, std::size_t> sizes_;      // of all of it
};

// For its length the stream is an ordinary one: what has been recorded is launched before, and what comes after it is
// recorded again. Without a recording under way it does nothing.
class Aside {
 public:
  explicit Aside(Recorder* recorder);
  explicit Aside(int index) : Aside(Recorder::on(index)) {}
  explicit Aside(cudaStream_t stream) : Aside(Recorder::on(stream)) {}
  ~Aside();
  Aside(const Aside&) = delete;

 private:
  Recorder* recorder_;
};

}  // namespace pen::kernels::cuda
