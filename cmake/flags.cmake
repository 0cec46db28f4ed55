# Loops that gain from -O3 are in kernels/ and ask for it themselves.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
add_library(penumbra_warnings INTERFACE)
set(warnings -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND warnings -Wno-restrict)  # GCC bug 105651: false positives in std::string's operator+
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  list(APPEND warnings -Wno-unknown-pragmas)  # "GCC ivdep" is for GCC alone
endif()
if(PENUMBRA_WERROR)
  list(APPEND warnings -Werror)
endif()
target_compile_options(penumbra_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${warnings}>)
if(PENUMBRA_NATIVE)
  target_compile_options(penumbra_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-march=native>)
endif()
# Sums and products are rounded one by one, so that pixels, boxes and thresholds equal the recorded answers bit for
# bit; kernels/ lifts this for its own sources (cmake/kernels.cmake).
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
if(PENUMBRA_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "PENUMBRA_FUZZ=ON needs clang: add -DCMAKE_CXX_COMPILER=clang++")
  endif()
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link,address,undefined> $<$<COMPILE_LANGUAGE:CXX>:-g>
    $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=undefined>
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize-ignorelist=${CMAKE_SOURCE_DIR}/tests/fuzz/ignore.txt>)
  add_link_options(-fsanitize=address,undefined)
elseif(PENUMBRA_SANITIZE STREQUAL "address")
  # pointer-overflow: RapidJSON's empty stack adds to a null pointer, which is harmless and not ours.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=address,undefined> $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>
    $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=undefined> $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=pointer-overflow>)
  add_link_options(-fsanitize=address,undefined)
elseif(PENUMBRA_SANITIZE STREQUAL "thread")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=thread>)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's data-flow warnings are false alarms between the calls that are inserted; ordinary builds take them as errors.
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-error=array-bounds>
      $<$<COMPILE_LANGUAGE:CXX>:-Wno-error=maybe-uninitialized>)
  endif()
  add_link_options(-fsanitize=thread)
elseif(NOT PENUMBRA_SANITIZE STREQUAL "")
  message(FATAL_ERROR "PENUMBRA_SANITIZE: '${PENUMBRA_SANITIZE}' is neither address nor thread")
endif()
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
