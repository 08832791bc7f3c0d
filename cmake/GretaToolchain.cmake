# Included before project(): the compilers of a GPU platform, unless the caller chose them (-DCMAKE_OBJCXX_COMPILER=...,
# -DCMAKE_CUDA_COMPILER=...).
#   rocm  ROCm's clang++ ($ROCM_PATH, else /opt/rocm) where it is installed, else clang++-19 or newer on PATH
#   cuda  nvcc on PATH, else in $CUDA_HOME or /usr/local/cuda; host code by the C++ compiler
set(GRETA_ROCM_ROOT "/opt/rocm")
if(DEFINED ENV{ROCM_PATH})
  set(GRETA_ROCM_ROOT "$ENV{ROCM_PATH}")
endif()
# The compiler of gfx942 code, in the cache variable GRETA_GFX942_COMPILER.
macro(greta_find_gfx942_compiler)
  find_program(GRETA_GFX942_COMPILER NAMES amdclang++ clang++ PATHS ${GRETA_ROCM_ROOT}/llvm/bin ${GRETA_ROCM_ROOT}/lib/llvm/bin
               NO_DEFAULT_PATH)
  find_program(GRETA_GFX942_COMPILER NAMES clang++-20 clang++-19)
endmacro()

if(GRETA_PLATFORM STREQUAL "rocm")
  # Only .hip files need a compiler that knows gfx942; .cpp files are the same objects on every platform (a compiler cache
  # then serves rocm and cuda from the host build). CMake has one compiler a language, so .hip files go by the name of OBJCXX,
  # with -x hip (CMake's own HIP language wants a ROCm installation).
  if(NOT CMAKE_OBJCXX_COMPILER)
    greta_find_gfx942_compiler()
    if(NOT GRETA_GFX942_COMPILER)
      message(FATAL_ERROR "rocm: no compiler for gfx942. Looked for ROCm's clang++ in ${GRETA_ROCM_ROOT}/llvm/bin and for "
                          "clang++-19 on PATH; install ROCm 6 or the package clang-19, or set -DCMAKE_OBJCXX_COMPILER.")
    endif()
    set(CMAKE_OBJCXX_COMPILER ${GRETA_GFX942_COMPILER} CACHE FILEPATH "clang++ that knows gfx942")
  endif()
elseif(GRETA_PLATFORM STREQUAL "cuda")
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(GRETA_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
    if(NOT GRETA_NVCC)
      message(FATAL_ERROR "cuda: nvcc is neither on PATH nor in /usr/local/cuda/bin; install the CUDA toolkit (13.0 is "
                          "what is tested) or set -DCMAKE_CUDA_COMPILER.")
    endif()
    set(CMAKE_CUDA_COMPILER ${GRETA_NVCC} CACHE FILEPATH "nvcc")
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 90a-real CACHE STRING "sm_90a: H100, H200")
  endif()
elseif(NOT GRETA_PLATFORM STREQUAL "host")
  message(FATAL_ERROR "GRETA_PLATFORM is '${GRETA_PLATFORM}'; known: host, rocm, cuda")
endif()
