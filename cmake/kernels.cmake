# kernels/: plain loops (ref), CPU twins (cpu) and either the CUDA twins (cuda) or, without nvcc, loud stubs.
file(GLOB kernel_sources CONFIGURE_DEPENDS
  ${CMAKE_SOURCE_DIR}/kernels/*.cpp ${CMAKE_SOURCE_DIR}/kernels/ref/*.cpp ${CMAKE_SOURCE_DIR}/kernels/cpu/*.cpp)
if(PENUMBRA_HAVE_CUDA)
  file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cpp)
  list(REMOVE_ITEM cuda_sources ${CMAKE_SOURCE_DIR}/kernels/cuda/none.cpp)
else()
  set(cuda_sources ${CMAKE_SOURCE_DIR}/kernels/cuda/none.cpp)
endif()
penumbra_library(kernels SOURCES ${kernel_sources} ${cuda_sources} DEPENDS base LINK DNNL::dnnl OpenMP::OpenMP_CXX)
target_compile_options(pen_kernels PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O3;-ffp-contract=fast>)
if(PENUMBRA_SANITIZE STREQUAL "thread")
  # Threads of the plain loops are OpenMP's, which ThreadSanitizer does not understand: scripts/test gives them one. To
  # watch each of their reads would only make the steps of ResNet-50 in double very slow.
  file(GLOB plain_loops CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/ref/*.cpp)
  set_source_files_properties(${plain_loops} PROPERTIES COMPILE_OPTIONS -fno-sanitize=thread)
endif()
if(PENUMBRA_HAVE_CUDA)
  target_link_libraries(pen_kernels PRIVATE CUDA::cudart_static CUDA::cublas cuDNN::cudnn)
  string(REPLACE ";" " " architectures "${CMAKE_CUDA_ARCHITECTURES}")
  set_source_files_properties(${CMAKE_SOURCE_DIR}/kernels/cuda/libraries.cpp PROPERTIES
    COMPILE_DEFINITIONS "PENUMBRA_CUDA_ARCHITECTURES=\"${architectures}\"")
  # The lambdas of kernels/shared/ are compiled for both sides (--extended-lambda); --threads=0 compiles the
  # architectures side by side.
  set(cuda_flags --extended-lambda --threads=0 -Xcompiler=-Wall,-Wextra)
  if(PENUMBRA_WERROR)
    list(APPEND cuda_flags -Werror=all-warnings -Xcompiler=-Werror)
  endif()
  target_compile_options(pen_kernels PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_flags}>")
endif()
