include_guard(GLOBAL)   # by the top folder: every folder that links kernels needs the platform's language
# How .hip files are compiled on each platform: greta_hip_sources(files...) marks them in the calling folder (LANGUAGE is
# a source property of a folder), greta_hip_platform is the interface library with what they link and include.
#
# Every platform: contraction off, IEEE division and square root, subnormals kept, no fast math.
add_library(greta_hip_platform INTERFACE)
include(GretaGfx942)

if(GRETA_PLATFORM STREQUAL "host")

  find_package(Boost 1.71 REQUIRED COMPONENTS context)
  target_link_libraries(greta_hip_platform INTERFACE Boost::context ${CMAKE_DL_LIBS})
  set(GRETA_HIP_LANGUAGE CXX)
  # -g1: line tables, so that a fault in a kernel is reported with its source line.
  set(GRETA_HIP_OPTIONS -DGRETA_HOST_EXECUTOR=1 -g1)
  if(GRETA_ASAN)
    # g++ 12 tests the address of a thread-local variable (threadIdx) against null by the flags of the addition that
    # makes it. With the default model the linker turns that addition into a lea, which sets no flags: the test would
    # then jump at random. Every kernel is linked into a program, so the stronger model holds.
    list(APPEND GRETA_HIP_OPTIONS -ftls-model=local-exec)
  else()
    list(APPEND GRETA_HIP_OPTIONS -O3)
  endif()
  if(GRETA_RACES)
    # Kernels, and nothing else, call a hook at every access; it is ours (kernels/hip/host/tsan_hooks.cpp), not the
    # sanitizer's. Vector accesses would not be seen.
    list(APPEND GRETA_HIP_OPTIONS -fsanitize=thread)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
      list(APPEND GRETA_HIP_OPTIONS -mllvm -tsan-instrument-func-entry-exit=0 -fno-vectorize -fno-slp-vectorize)
    else()
      list(APPEND GRETA_HIP_OPTIONS --param=tsan-instrument-func-entry-exit=0 -fno-tree-vectorize)
    endif()
  endif()

elseif(GRETA_PLATFORM STREQUAL "rocm")

  set(GRETA_HIP_ARCHITECTURES gfx942 CACHE STRING "targets of --offload-arch")
  find_path(GRETA_HIP_INCLUDE hip/hip_runtime.h HINTS ${GRETA_ROCM_ROOT}/include)
  find_library(GRETA_AMDHIP amdhip64 HINTS ${GRETA_ROCM_ROOT}/lib)
  if(NOT GRETA_HIP_INCLUDE OR NOT GRETA_AMDHIP)
    message(FATAL_ERROR "rocm: hip/hip_runtime.h or libamdhip64 not found in ${GRETA_ROCM_ROOT} or the system; install ROCm "
                        "or the package libamdhip64-dev.")
  endif()
  target_include_directories(greta_hip_platform SYSTEM INTERFACE ${GRETA_HIP_INCLUDE})
  target_compile_definitions(greta_hip_platform INTERFACE __HIP_PLATFORM_AMD__=1)
  target_link_libraries(greta_hip_platform INTERFACE ${GRETA_AMDHIP})

  enable_language(OBJCXX)
  set(CMAKE_OBJCXX_STANDARD 20)
  set(CMAKE_OBJCXX_EXTENSIONS OFF)
  set(GRETA_HIP_LANGUAGE OBJCXX)
  target_compile_options(greta_flags INTERFACE
    $<$<COMPILE_LANGUAGE:OBJCXX>:-Wall -Wextra -march=x86-64-v3 -fno-fast-math -fno-math-errno>)
  if(GRETA_WERROR)
    target_compile_options(greta_flags INTERFACE $<$<COMPILE_LANGUAGE:OBJCXX>:-Werror>)
  endif()
  greta_gfx942_options(GRETA_HIP_OPTIONS ${CMAKE_OBJCXX_COMPILER})
  if(GRETA_HIP_OPTIONS_MISSING)
    message(FATAL_ERROR "rocm: ${GRETA_HIP_OPTIONS_MISSING}")
  endif()

elseif(GRETA_PLATFORM STREQUAL "cuda")

  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)   # CMake 3.25 does not know that nvcc has C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  find_package(CUDAToolkit REQUIRED)
  target_link_libraries(greta_hip_platform INTERFACE CUDA::cudart_static)
  target_include_directories(greta_hip_platform SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_definitions(greta_hip_platform INTERFACE GRETA_CUDA=1)
  set(nvcc_options -fmad=false -ftz=false -prec-div=true -prec-sqrt=true)
  # restrict: g++ 12 warns of string concatenation inside libstdc++ (GCC bug 105651), here without regard to system headers.
  set(nvcc_host_options -Wall,-Wextra,-Wno-restrict,-march=x86-64-v3,-ffp-contract=off,-fno-math-errno)
  if(GRETA_WERROR)
    list(APPEND nvcc_options -Werror=all-warnings)
    string(APPEND nvcc_host_options ,-Werror)
  endif()
  list(APPEND nvcc_options -Xcompiler=${nvcc_host_options})
  target_compile_options(greta_flags INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:${nvcc_options}>")
  set(GRETA_HIP_LANGUAGE CUDA)
  set(GRETA_HIP_OPTIONS "")

endif()

# Marks the .hip files among the arguments with the language and options of the platform.
function(greta_hip_sources)
  set(sources ${ARGN})
  list(FILTER sources INCLUDE REGEX "\\.hip$")
  if(sources)
    set_source_files_properties(${sources} PROPERTIES LANGUAGE ${GRETA_HIP_LANGUAGE})
    if(GRETA_HIP_OPTIONS)
      set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${GRETA_HIP_OPTIONS}")
    endif()
  endif()
endfunction()
