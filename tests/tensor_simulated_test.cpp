// What brings images to a GPU, on the simulated one (simulated_gpu.cpp, linked in front of the CUDA backend).
#include "tests/data_parts_test.cpp"
#include "tests/tensor_upload_test.cpp"
