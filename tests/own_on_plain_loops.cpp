// Our own kernels beside cuDNN, compiled for plain loops: the tests' exec.cuh comes first on the way of includes.
#include "kernels/cuda/own.cu"
